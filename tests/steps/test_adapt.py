"""`Adapt`: another laboratory's images brought to the size and colours of the training images."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp
from cellprep.kernels.augment import affine, color

NAMES = [str(n) for n in range(8)]


@pytest.fixture(scope="module")
def elsewhere(cells) -> cp.Dataset:
    """The cells as another laboratory would photograph them: smaller, and in other colours."""
    images = cells[0].copy()
    every = np.arange(len(images))
    affine.zoom(images, every, np.full(len(every), 0.7, np.float32))
    gains, offsets = np.float32([[0.8, 0.7, 0.9]]), np.float32([[10, 20, 0]])
    color.channel_gain(
        images, every, gains.repeat(len(every), axis=0), offsets.repeat(len(every), axis=0)
    )
    return cp.Dataset.from_arrays(images, cells[1], NAMES)


@pytest.fixture(scope="module")
def here(cells) -> cp.Profile:
    return cp.profile(cells[0])


def record(dataset: cp.Dataset) -> dict[str, np.ndarray]:
    columns = dataset.plan.evaluate(np.arange(len(dataset)))[1]
    return {name.removeprefix("adapt."): column.values for name, column in columns.items()}


def test_one_zoom_makes_the_median_cell_as_large_as_in_training(elsewhere, here) -> None:
    made = cp.Recipe([cp.Adapt(here)])(elsewhere)
    assert record(made).keys() == {"zoom"}
    zoom = record(made)["zoom"]
    assert (zoom == zoom[0]).all()
    assert zoom[0] == pytest.approx(np.sqrt(here.share / cp.profile(elsewhere).share), rel=1e-6)
    assert cp.profile(made).share == pytest.approx(here.share, rel=0.1)
    by_hand = elsewhere.images[:]
    affine.zoom(by_hand, np.arange(len(by_hand)), zoom)
    assert (made.images[:] == by_hand).all()


@pytest.mark.parametrize("color", ["channels", "background"])
def test_colours_become_those_of_training(color, elsewhere, here) -> None:
    made = cp.profile(cp.Recipe([cp.Adapt(here, scale=False, color=color)])(elsewhere))
    if color == "channels":
        np.testing.assert_allclose(made.mean, here.mean, atol=1.5)
        np.testing.assert_allclose(made.spread, here.spread, atol=1.5)
    else:
        np.testing.assert_allclose(made.background_mean, here.background_mean, atol=3)


def test_zoom_and_gains_are_limited(elsewhere, here) -> None:
    tiny = replace(here, share=1e-6, background_mean=(255, 1, 100))
    found = record(cp.Recipe([cp.Adapt(tiny, color="background")])(elsewhere))
    assert found["zoom"][0] == found["green_gain"][0] == 0.25
    assert (found["red_offset"] == 0).all()


@given(st.integers(0, 2**32 - 1))
def test_channel_gain_equals_numpy(seed) -> None:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (3, 4, 5, 3), np.uint8)
    rows = np.array([2, 0])
    gains = random.uniform(0, 4, (2, 3)).astype(np.float32)
    offsets = random.uniform(-300, 300, (2, 3)).astype(np.float32)
    expected = images.copy()
    exact = images[rows].astype(np.float32) * gains[:, None, None] + offsets[:, None, None]
    expected[rows] = np.floor(exact.clip(0, 255) + np.float32(0.5))
    color.channel_gain(images, rows, gains, offsets)
    assert (images == expected).all()


def test_a_written_set_is_replayed_and_its_masks_follow(elsewhere, here, tmp_path) -> None:
    masks = cp.segment(elsewhere.images[:])
    known = cp.Dataset.from_arrays(elsewhere.images[:], elsewhere.labels, NAMES, masks=masks)
    step = cp.Adapt(here, color="channels")
    made = cp.Recipe([step, cp.RandAugment(copies=1)])(known)
    cp.write(made, tmp_path / "out", masks=True, progress=False)
    assert (cp.replay(tmp_path / "out", known) == made.images[:]).all()
    alone = cp.Recipe([step])(known)
    moved = alone.masks[:]
    again = cp.segment(alone.images[:])
    assert 2 * (moved & again).sum() / (moved.sum() + again.sum()) > 0.9
    assert record(alone)["zoom"][0] == pytest.approx(
        np.sqrt(here.share / np.median(masks.mean(axis=(1, 2)))), rel=1e-4
    )


def test_a_path_is_read_at_once_and_saved_as_numbers(elsewhere, here, cells, tmp_path) -> None:
    cp.write(cp.Dataset.from_arrays(*cells, NAMES), tmp_path / "train", progress=False)
    (tmp_path / "train.json").write_text(json.dumps(here.to_dict()))
    for path in (tmp_path / "train", str(tmp_path / "train.json")):
        assert cp.Adapt(path) == cp.Adapt(here)
    text = f'[[steps]]\nstep = "Adapt"\nprofile = {json.dumps(str(tmp_path / "train"))}\n'
    recipe = cp.Recipe.from_toml(text)
    assert recipe == cp.Recipe([cp.Adapt(here)])
    assert "[steps.profile]" in recipe.to_toml()
    assert (cp.adapt(elsewhere.images[:], tmp_path / "train") == recipe(elsewhere).images[:]).all()


def test_what_cannot_be_adapted_is_refused(elsewhere, here) -> None:
    few = cp.Dataset.from_arrays(elsewhere.images[:19], elsewhere.labels[:19], NAMES)
    with pytest.raises(
        cp.CellprepError, match=r"needs 20 images in which a cell is found.* got 19"
    ):
        cp.Recipe([cp.Adapt(here)])(few).images[:]
    with pytest.raises(cp.CellprepError, match=r"needs 20 images in which a cell is found.* got 0"):
        cp.adapt(np.full((30, 16, 16, 3), 9, np.uint8), here)
    masked = cp.Recipe([cp.KMeansMask(), cp.Adapt(here, color=True)])(elsewhere)
    with pytest.raises(cp.CellprepError, match="KMeansMask has painted; put Adapt before it"):
        masked.images[:]
    without = replace(here, share=None, background_mean=None)
    for settings, message in {
        (False, False): "nothing is left to adapt",
        (True, False): "the `profile` lacks the share of the cell",
        (False, "channels"): "the `profile` has no background",
    }.items():
        with pytest.raises(cp.CellprepError, match=message):
            cp.Adapt(without, *settings)
    with pytest.raises(cp.CellprepError, match="`profile`: there is no file or folder 'nowhere'"):
        cp.Adapt("nowhere")
    with pytest.raises(cp.CellprepError, match="step Adapt: `profile`: a profile has no 'shar'"):
        cp.Recipe.from_toml('[[steps]]\nstep = "Adapt"\n[steps.profile]\nshar = 1')


def test_cells_of_another_laboratory_are_enlarged(data) -> None:
    """Those of bcisc cover half as much of their images as those of pbc96."""
    sets = []
    for pattern in ("pbc96/*/*.jpg", "bcisc/images/*.jpg"):
        files = sorted(data.glob(pattern))
        files = files[:: len(files) // 60][:60]
        sets.append([np.asarray(Image.open(f).convert("RGB").resize((96, 96), 2)) for f in files])
    trained_on = cp.profile(np.stack(sets[0]))
    assert 0.28 < trained_on.share < 0.36
    theirs = cp.Dataset.from_arrays(np.stack(sets[1]), np.zeros(60, int), ["cell"])
    made = cp.Recipe([cp.Adapt(trained_on)])(theirs)
    assert 1.3 < record(made)["zoom"][0] < 1.55
    assert cp.profile(made).share == pytest.approx(trained_on.share, rel=0.15)


def test_every_epoch_has_the_zoom_that_was_measured_once(elsewhere, here) -> None:
    made = cp.Recipe([cp.Jitter(), cp.Adapt(here, color="channels")])(elsewhere)
    first, fresh = record(made), record(made.epoch(2))
    assert fresh["zoom"][0] == first["zoom"][0]
    assert (fresh["jitter.rotation"] != first["jitter.rotation"]).any()
