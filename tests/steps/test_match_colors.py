"""MatchColors: whose colours an image gets, what is recorded, and replay without other images."""

from __future__ import annotations

import numpy as np
import pytest

import cellprep as cp
from cellprep.kernels.augment.match import statistics
from cellprep.plan.source import ArraySource

STATISTICS = [f"match_colors.{kind}_{c}" for kind in ("mean", "stddev") for c in (1, 2, 3)]


@pytest.fixture(scope="module")
def smears(cells) -> cp.Dataset:
    """Cells with text ids, in the order of their ids."""
    images, labels = cells
    ids = [f"smear {n:02}" for n in range(len(labels))]
    return cp.Dataset.from_arrays(images, labels, ids=ids)


def record_of(dataset) -> dict[str, np.ndarray]:
    record = dataset.plan.evaluate(np.arange(len(dataset)))[1]
    return {name: column.values for name, column in record.items()}


@pytest.mark.parametrize("color_space", ["rgb", "lab"])
def test_the_record_names_the_other_image_and_has_its_statistics(color_space, smears) -> None:
    record = record_of(cp.Recipe([cp.MatchColors(color_space=color_space)])(smears))
    at = np.searchsorted(smears.ids, record["match_colors.other"])
    assert (smears.ids[at] == record["match_colors.other"]).all()
    assert len(set(at)) > len(smears) / 2
    expected = statistics(smears.images[:], color_space)[at]
    assert (np.stack([record[name] for name in STATISTICS], axis=1) == expected).all()
    assert 0.2 < record["match_colors.strength"].mean() < 0.3
    assert record["match_colors.strength"].max() <= 0.5


def test_copies_do_not_count_in_the_colors_of_the_set(smears) -> None:
    step = cp.MatchColors(strength=1)
    alone = cp.Recipe([step])(smears)
    balanced = cp.Recipe([cp.Balance(target=20), step])(smears)
    assert set(np.unique(balanced.ids)) == set(smears.ids)
    kept = balanced.copies == 0
    assert (balanced.images[kept] == alone.images[:]).all()
    copies = cp.Recipe([cp.RandAugment(copies=1, keep_originals=False), step])(smears)
    record = record_of(copies)
    at = np.searchsorted(smears.ids, record["match_colors.other"])
    before = cp.Recipe([cp.RandAugment(copies=1, keep_originals=False)])(smears)
    assert record["match_colors.mean_1"] == pytest.approx(before.images[:][at][..., 0].mean((1, 2)))


def test_an_image_depends_on_the_set_of_ids_and_not_on_their_order(smears) -> None:
    recipe = cp.Recipe([cp.MatchColors()])
    images, ids = smears.images[:], smears.ids
    made = recipe(smears)
    turned = recipe(cp.Dataset.from_arrays(images[::-1], smears.labels[::-1], ids=ids[::-1]))
    assert (turned.images[::-1] == made.images[:]).all()
    for name, values in record_of(made).items():
        assert (record_of(turned)[name][::-1] == values).all()
    assert (cp.match_colors(images[:-1], ids=ids[:-1]) != made.images[:-1]).any()


def test_replay_needs_no_other_image(smears, tmp_path) -> None:
    made = cp.Recipe([cp.MatchColors(color_space="lab"), cp.RandAugment(copies=1)])(smears)
    cp.write(made, tmp_path / "made", progress=False)
    one = cp.Dataset.from_arrays(smears.images[3:4], ["cell"], ids=smears.ids[3:4])
    at = np.flatnonzero(made.ids == smears.ids[3])
    assert (cp.replay(tmp_path / "made", one, at) == made.images[at]).all()


def test_rate_is_the_share_of_changed_images(smears) -> None:
    images = np.tile(smears.images[:], (8, 1, 1, 1))
    made = cp.match_colors(images, strength=1, rate=0.25)
    assert 0.17 < (made != images).any(axis=(1, 2, 3)).mean() < 0.33


def test_a_set_of_one_image_is_refused_and_an_empty_one_is_not(smears) -> None:
    with pytest.raises(cp.CellprepError, match=r"needs other images .* got a set of one") as error:
        cp.match_colors(smears.images[:1])
    assert "\n" not in str(error.value)
    nothing = cp.Balance(target=dict.fromkeys(smears.class_names, 0))
    assert cp.Recipe([nothing, cp.MatchColors()])(smears).images[:].shape == (0, 48, 48, 3)


@pytest.mark.parametrize("settings", [{"strength": 1.5}, {"rate": -1}, {"color_space": "hsv"}])
def test_bad_settings_get_an_error_of_one_line(settings) -> None:
    with pytest.raises(cp.CellprepError, match=next(iter(settings))) as error:
        cp.MatchColors(**settings)
    assert "\n" not in str(error.value)


def test_the_colors_are_measured_once_and_block_by_block(monkeypatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1000, 4, 4, 3), np.uint8)
    blocks, read = [], ArraySource.images
    monkeypatch.setattr(
        ArraySource, "images", lambda self, at: blocks.append(len(at)) or read(self, at)
    )
    dataset = cp.Recipe([cp.MatchColors()])(cp.Dataset.from_arrays(images, [0] * 1000))
    assert not blocks
    assert dataset.images[5].shape == (4, 4, 3)
    assert max(blocks) <= 512
    assert sum(blocks) == 1001
    assert dataset.images[6].shape == (4, 4, 3)
    assert sum(blocks) == 1002
