"""Corrupt: what its suites sample, and what a corrupted test set guarantees."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellprep as cp
from cellprep.operations import suites

from ..operations.images import SIZES, noisy, resized

stats = pytest.importorskip("scipy.stats")

MICROSCOPY, HEAVY = (suites.SUITES[name].names for name in ("microscopy", "heavy"))
sizes = st.sampled_from(SIZES[:3])


# -- what the suites sample ------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MICROSCOPY)
def test_change_grows_with_severity(photographs, name, size) -> None:
    images = resized(photographs, *size)
    change = [
        np.abs(cp.corrupt(images, corruption=name, severity=s).astype(int) - images).mean()
        for s in range(1, 6)
    ]
    assert change[0] > 0.05
    least = 0.9 if name == "pixelate" else 1  # boxes that fit a small side exactly change less
    assert all(later >= least * earlier for earlier, later in pairwise(change))
    assert change[4] > 1.3 * change[0]


@pytest.mark.parametrize("name", HEAVY)
def test_every_heavy_change_is_visible(photographs, name) -> None:
    made = cp.corrupt(photographs, suite="heavy", corruption=name)
    change = np.abs(made.astype(int) - photographs).mean(axis=(1, 2, 3))
    assert np.median(change) > 1


def record(step: cp.Corrupt, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    dataset = cp.Dataset.from_arrays(np.zeros((n, 2, 2, 3), np.uint8), np.zeros(n, int))
    found = cp.Recipe([step], seed)(dataset).plan.evaluate(np.arange(n))[1]
    return {name.removeprefix("corrupt."): column.values for name, column in found.items()}


def test_microscopy_samples_corruptions_and_severities_uniformly() -> None:
    found = record(cp.Corrupt(), 11_000)
    pairs = [found["corruption"], found["severity"].astype(str)]
    counts = np.unique(np.char.add(*pairs), return_counts=True)[1]
    assert len(counts) == 55
    assert stats.chisquare(counts).pvalue > 1e-3


def test_severities_share_angle_and_positions() -> None:
    low, high = (record(cp.Corrupt(severity=s, corruption="motion_blur"), 50) for s in (1, 5))
    assert (low["c_1"] == high["c_1"]).all()
    assert (low["seed"] == high["seed"]).all()
    assert -45 <= low["c_1"].min() < -35
    assert 35 < low["c_1"].max() <= 45
    assert (low["a_1"] == 3).all()
    assert (high["b_1"] == 9).all()


def test_heavy_applies_two_to_four_different_changes_to_most_images() -> None:
    n = 8000
    found = record(cp.Corrupt("heavy"), n)
    change = {v[0]: number for number, variants in enumerate(suites._HEAVY) for v in variants}
    made = np.stack([found[f"op_{slot}"] for slot in range(1, 5)], axis=1)
    count = (made != "none").sum(axis=1)
    assert (count == 0).mean() == pytest.approx(0.05, abs=0.01)
    assert stats.chisquare(np.bincount(count)[2:]).pvalue > 1e-3
    numbers = [[change[name] for name in row if name != "none"] for row in made.tolist()]
    assert all(len(set(row)) == len(row) for row in numbers)
    assert (
        stats.chisquare(np.bincount(np.concatenate([r for r in numbers if r]).astype(int))).pvalue
        > 1e-3
    )
    firsts = np.bincount([row[0] for row in numbers if row])
    assert stats.chisquare(firsts).pvalue > 1e-3


def test_heavy_parameters_lie_in_their_ranges() -> None:
    for variants in suites._HEAVY:
        for name, *ranges in variants:
            found = record(cp.Corrupt("heavy", corruption=name), 400)
            same = [v[1:] for v in variants if v[0] == name]
            for position, column in enumerate(("a_1", "b_1", "c_1")):
                low = min(np.min(v[position]) if position < len(v) else 0 for v in same)
                high = max(np.max(v[position]) if position < len(v) else 0 for v in same)
                assert low <= found[column].min()
                assert found[column].max() <= high
                if suites.TABLE[name].whole and position < len(ranges):
                    assert np.unique(found[column]).tolist() == list(range(low, high))


# -- a corrupted test set --------------------------------------------------------------------


@given(st.sampled_from(HEAVY + MICROSCOPY), sizes, st.integers(0, 99))
@settings(max_examples=60)
def test_a_row_is_corrupted_independently_of_all_others(name, size, seed) -> None:
    images = noisy(*size)
    suite = "heavy" if name in HEAVY else "microscopy"
    step = cp.Corrupt(suite, corruption=name)
    whole = cp.Recipe([step], seed)(
        cp.Dataset.from_arrays(images, [0, 0, 0], ["a"], ["x", "y", "z"])
    )
    record = whole.plan.evaluate(np.arange(3))[1]
    parameters = {key.split(".")[1]: column.values[1:2] for key, column in record.items()}
    made, row = images.copy(), np.array([1])
    step.apply_to(made, row, made, row, **parameters)
    assert (made[[0, 2]] == images[[0, 2]]).all()
    assert (made[1] == whole.images[1]).all()


@pytest.mark.parametrize("step", [cp.Corrupt(), cp.Corrupt("heavy")], ids=repr)
def test_rows_are_kept_and_replay_is_byte_identical(step, cells, tmp_path) -> None:
    images, labels = cells
    ids = np.array([f"smear {n}" for n in range(len(images))])
    source = cp.Dataset.from_arrays(images, labels, ids=ids)
    made = cp.Recipe([cp.KMeansMask(), cp.Jitter(), step, step], seed=3)(source)
    assert (made.ids == ids).all()
    assert (made.labels == labels).all()
    for format_, name in {"shards": "out", "npz": "out.npz"}.items():
        cp.write(made, tmp_path / name, format=format_)
        written = cp.read(tmp_path / name).to_arrays()[0]
        assert (written == made.to_arrays()[0]).all()
    assert (cp.replay(tmp_path / "out", source) == written).all()
    assert (cp.replay(tmp_path / "out", source, at=[7, 2]) == written[[7, 2]]).all()


def test_augmix_is_replayed_from_its_recorded_mixture_alone(cells) -> None:
    images, _ = cells
    step = cp.Corrupt("heavy", corruption="augmix")
    found = record(step, len(images))
    mixtures = [json.loads(text) for text in found["details"].tolist()]
    assert all(len(mixture) == 3 for mixture in mixtures)
    lengths = {len(chain) for mixture in mixtures for _, chain in mixture}
    assert lengths == {1, 2, 3}
    rows, expected = np.arange(len(images)), images.copy()
    step.apply_to(expected, rows, expected, rows, **found)
    other_seeds = found | {"seed": found["seed"] + np.uint64(1)}
    replayed = images.copy()
    step.apply_to(replayed, rows, replayed, rows, **other_seeds)
    assert (replayed == expected).all()
    old = {name: column for name, column in found.items() if name != "details"}  # version 0.1
    replayed = images.copy()
    step.apply_to(replayed, rows, replayed, rows, **old)
    assert (replayed == expected).all()
    resampled = images.copy()
    step.apply_to(resampled, rows, resampled, rows, **(old | {"seed": other_seeds["seed"]}))
    assert (resampled != expected).any()


def test_a_corrupted_set_can_be_split(cells) -> None:
    """Corrupting makes no copies: every image occurs once."""
    dataset = cp.Recipe([cp.Corrupt("heavy")])(cp.Dataset.from_arrays(*cells))
    splits = cp.split(dataset, train=0.5, test=0.5)
    assert sum(map(len, splits.values())) == len(cells[0])


@pytest.mark.parametrize("suite", suites.SUITES)
@pytest.mark.parametrize("keep_originals", [True, False])
def test_copies_are_corrupted_differently_and_originals_kept(suite, keep_originals, cells) -> None:
    images, labels = (array[:12] for array in cells)
    step = cp.Corrupt(suite, copies=3, keep_originals=keep_originals)
    made = cp.Recipe([step], seed=2)(cp.Dataset.from_arrays(images, labels))
    numbers = [0, 1, 2, 3] if keep_originals else [1, 2, 3]
    assert made.copies.tolist() == numbers * 12
    assert made.labels.tolist() == np.repeat(labels, len(numbers)).tolist()
    pixels, record = made.to_arrays()[0], made.to_pandas()
    assert record[made.copies > 0].groupby("id")["corrupt.seed"].nunique().eq(3).all()
    if keep_originals:
        assert (pixels[made.copies == 0] == images).all()
        assert record["corrupt.seed"][made.copies == 0].isna().all()
        without = cp.Recipe([replace(step, keep_originals=False)], seed=2)
        copies = without(cp.Dataset.from_arrays(images, labels)).to_arrays()[0]
        assert (pixels[made.copies > 0] == copies).all()


def test_copies_are_replayed_with_their_masks_and_cannot_be_split(cells, tmp_path) -> None:
    images, labels = (array[:20] for array in cells)
    source = cp.Dataset.from_arrays(images, labels, masks=images[..., 1] < 128)
    made = cp.Recipe([cp.Corrupt("heavy", copies=2)], seed=3)(source)
    cp.write(made, tmp_path / "out", masks=True)
    written = cp.read(tmp_path / "out")
    assert (written.images[:] == made.images[:]).all()
    assert (written.masks[:] == made.masks[:]).all()
    assert (cp.replay(tmp_path / "out", source) == made.images[:]).all()
    with pytest.raises(cp.CellprepError, match="splitting after corrupt would put copies"):
        cp.split(made, train=0.5, test=0.5)


def test_settings_of_copies_are_saved_only_if_set() -> None:
    assert cp.Corrupt("heavy").to_dict() == {"step": "Corrupt", "suite": "heavy"}
    recipe = cp.Recipe([cp.Corrupt("heavy", copies=2, keep_originals=False)])
    assert cp.Recipe.from_toml(recipe.to_toml()) == recipe


def test_the_function_returns_labels_if_given(cells) -> None:
    images, labels = (array[:4] for array in cells)
    assert cp.corrupt(images).shape == images.shape
    made, repeated = cp.corrupt(images, labels, copies=2)
    assert len(made) == 12
    assert (repeated == np.repeat(labels, 3)).all()
    with pytest.raises(cp.CellprepError, match=r"`copies` needs `labels`.*call corrupt\(images"):
        cp.corrupt(images, copies=2)


@pytest.mark.parametrize("name", HEAVY)
def test_masks_move_with_geometric_changes_only(name) -> None:
    masks = np.zeros((12, 60, 80), bool)
    masks[:, 20:45, 25:60] = True
    masks[:, 30:40, 60:70] = True
    step = cp.Corrupt("heavy", corruption=name)
    images = np.where(masks[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=3)
    found = record(step, 12)
    moved = step.move_masks(masks, np.arange(12), **found)
    if suites.TABLE[name].moves:
        step.apply_to(images, np.arange(12), images, np.arange(12), **found)
        assert ((images[..., 0] > 127) != moved).mean() < 0.01
        assert (moved != masks).any(axis=(1, 2)).mean() > 0.9
    else:
        assert (moved == masks).all()


def test_invalid_settings_are_refused() -> None:
    for settings_, words in {
        ("microscopic",): "did you mean 'microscopy'",
        ("microscopy", 0): r"`severity` must be a whole number in \[1, 5\], got 0",
        ("microscopy", 6): "got 6",
        ("microscopy", 2.5): "got 2.5",
        ("microscopy", True): "got True",
        ("microscopy", 2, "pixelated"): "did you mean 'pixelate'",
        ("microscopy", None, "cutout"): "`corruption` got 'cutout'",
        ("heavy", 3): "which samples every strength from its range; omit it",
        ("heavy", None, "gausian_noise"): "did you mean 'gaussian_noise'",
        ("heavy", None, None, 0): r"`copies` must be a whole number in \[1, 10000\], got 0",
        ("heavy", None, None, None, False): "`keep_originals` got False without `copies`",
    }.items():
        with pytest.raises(cp.CellprepError, match=words):
            cp.Corrupt(*settings_)
    with pytest.raises(cp.CellprepError, match="step Corrupt: `suite` got 'haevy'; did you mean"):
        cp.Recipe.from_toml('[[steps]]\nstep = "Corrupt"\nsuite = "haevy"')


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 40), (9, 5)])
def test_tiny_images_keep_their_shape(shape) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, *shape, 3), np.uint8)
    for suite, table in suites.SUITES.items():
        for name in (None, *table.names):
            assert cp.corrupt(images, suite=suite, corruption=name).shape == images.shape
