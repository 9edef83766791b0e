"""Positions of the windows of `Crop`, and what fills the area beyond the border."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp
from cellprep.kernels.segment import centers

quick = settings(max_examples=40, deadline=None, derandomize=True)


def windows(dataset: cp.Dataset) -> dict[str, np.ndarray]:
    _, record = dataset.plan.evaluate(np.arange(len(dataset)))
    return {name.removeprefix("crop."): column.values for name, column in record.items()}


@quick
@given(st.integers(0, 2**32 - 1))
def test_the_centre_has_half_of_the_cell_on_either_side(seed: int) -> None:
    masks = np.random.default_rng(seed).random((3, 12, 17)) < 0.3
    for mask, (y, x) in zip(masks, centers.centers(masks), strict=True):
        for line, middle in ((mask.sum(axis=1), y), (mask.sum(axis=0), x)):
            assert 2 * line[:middle].sum() <= line.sum()
            assert 2 * line[middle + 1 :].sum() <= line.sum()


@pytest.mark.parametrize("fill", ["reflect", "edge", 40])
def test_the_area_beyond_the_border_is_filled_as_requested(cells, fill) -> None:
    images = cells[0][:4]
    side = images.shape[1]
    mode = {"reflect": {"mode": "symmetric"}, "edge": {"mode": "edge"}}
    padded = np.pad(
        images, ((0, 0), (40, 40), (40, 40), (0, 0)), **mode.get(fill, {"constant_values": fill})
    )
    made = cp.Recipe([cp.Crop(side + 10, fill=fill)])(cp.Dataset.from_arrays(images, [0, 1, 0, 1]))
    at = windows(made)
    assert at["found"].all()
    for image, whole, top, left in zip(made.images[:], padded, at["top"], at["left"], strict=True):
        rows, columns = slice(top + 40, top + side + 50), slice(left + 40, left + side + 50)
        np.testing.assert_array_equal(image, whole[rows, columns])


def test_an_image_without_a_cell_is_cropped_around_its_centre_and_recorded() -> None:
    images = np.full((2, 20, 26, 3), 200, np.uint8)
    images[1, 2:9, 3:10] = 90, 40, 140
    at = windows(cp.Recipe([cp.Crop(10)])(cp.Dataset.from_arrays(images, [0, 1])))
    assert at["found"].tolist() == [False, True]
    assert (at["top"][0], at["left"][0]) == (5, 8)
    assert (at["top"][1], at["left"][1]) == (0, 1)


def test_crops_of_several_sizes_locate_the_cells_once(cells, monkeypatch) -> None:
    images, labels = cells
    calls = []
    find = centers.find_centers

    def counted(images):
        calls.append(len(images))
        return find(images)

    monkeypatch.setattr(centers, "find_centers", counted)
    dataset = cp.Dataset.from_arrays(images, labels, [str(n) for n in range(8)])
    made = cp.crops(dataset, sizes=(24, 32, 40), resize_to=24)
    assert calls == []
    for size, crop in made.items():
        alone = cp.Recipe([cp.Crop(size, resize_to=24)])(dataset)
        np.testing.assert_array_equal(crop.to_arrays()[0], alone.to_arrays()[0])
        assert windows(crop).keys() == windows(alone).keys()
    assert sum(calls) == len(images)


def test_replay_uses_the_recorded_windows(cells, tmp_path) -> None:
    images, labels = cells
    dataset = cp.Dataset.from_arrays(images, labels, [str(n) for n in range(8)])
    made = cp.crops(dataset, sizes=(30,))[30]
    cp.write(made, tmp_path / "out", progress=False)
    np.testing.assert_array_equal(cp.replay(tmp_path / "out", dataset), made.images[:])


@pytest.mark.parametrize("side", [96, 256])
def test_windows_contain_the_annotated_cells(data, side) -> None:
    """At 1.3 times the bounding box, in at least 97 % of the photographs."""
    complete = []
    for path in sorted((data / "bcisc" / "images").glob("*.jpg")):
        with Image.open(path) as image:
            photograph = np.asarray(image.convert("RGB").resize((side, side), 4))
        with Image.open(data / "bcisc" / "masks" / f"{path.stem}.png") as image:
            annotated = np.asarray(image.convert("L").resize((side, side), 4)) > 127
        y, x = np.nonzero(annotated)
        size = min(side, round(1.3 * (max(np.ptp(y), np.ptp(x)) + 1)))
        at = windows(cp.Recipe([cp.Crop(size)])(cp.Dataset.from_arrays(photograph[None], [0])))
        top, left = int(at["top"][0]), int(at["left"][0])
        complete.append(annotated[top : top + size, left : left + size].sum() == annotated.sum())
    assert np.mean(complete) >= 0.97


def relative(images: np.ndarray, masks: np.ndarray | None = None, **settings) -> cp.Dataset:
    """Images of one class after a crop of 1.3 times the cell, or as the settings say."""
    step = cp.Crop(**{"size": 1.3, "relative": True, "resize_to": 32, **settings})
    labels = np.zeros(len(images), int)
    return cp.Recipe([step])(cp.Dataset.from_arrays(images, labels, ["cell"], masks=masks))


@quick
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 1.3, 2.5]), st.sampled_from([None, "edge"]))
def test_a_relative_window_is_centred_on_the_box_of_the_cell(seed, size, fill) -> None:
    random = np.random.default_rng(seed)
    masks = np.zeros((4, 30, 41), bool)
    for mask in masks:
        (top, bottom), (left, right) = (np.sort(random.integers(0, n, 2)) for n in (30, 41))
        mask[top : bottom + 1, left : right + 1] = True
    images = random.integers(0, 256, (*masks.shape, 3), np.uint8)
    made = relative(images, masks, size=size, fill=fill)
    at = windows(made)
    for mask, top, left, side in zip(masks, at["top"], at["left"], at["side"], strict=True):
        y, x = np.nonzero(mask)
        longer = max(np.ptp(y), np.ptp(x)) + 1
        wanted = int(np.floor(size * longer + 0.5))
        assert side == (wanted if fill else min(wanted, 30))
        for start, line, n in ((top, y, 30), (left, x, 41)):
            centre = start + (side - 1) / 2
            if fill or 0 < start < n - side:
                assert abs(centre - (line.min() + line.max()) / 2) <= 0.5
            if longer <= side:
                assert start <= line.min() <= line.max() < start + side
    for n, (top, left, side) in enumerate(zip(at["top"], at["left"], at["side"], strict=True)):
        if not fill:
            cut = Image.fromarray(images[n, top : top + side, left : left + side])
            expected = np.asarray(cut.resize((32, 32), Image.Resampling.BILINEAR))
            np.testing.assert_array_equal(made.images[n], expected)


def test_relative_windows_make_all_cells_equally_large(cells) -> None:
    images, _ = cells
    before = cp.segment(images)
    after = relative(images, before, size=1.5, fill=200).masks[:]
    longer = centers.boxes(after)[:, 2:].max(axis=1)
    assert np.ptp(centers.boxes(before)[:, 2:].max(axis=1)) > 15
    assert (abs(longer - 32 / 1.5) <= 2).all()


def test_a_relative_window_without_a_cell_is_the_largest_square() -> None:
    images = np.random.default_rng(0).integers(0, 1, (2, 20, 26, 3), np.uint8)
    at = windows(relative(images))
    assert at["found"].tolist() == [False, False]
    assert (at["top"][0], at["left"][0], at["side"][0]) == (0, 3, 20)


def test_relative_windows_are_replayed_and_masks_follow(cells, tmp_path) -> None:
    images, labels = cells
    masks = cp.segment(images)
    dataset = cp.Dataset.from_arrays(images, labels, [str(n) for n in range(8)], masks=masks)
    step = cp.Crop(1.3, relative=True, resize_to=40)
    made = cp.Recipe([step, cp.RandAugment(copies=1)])(dataset)
    cp.write(made, tmp_path / "out", masks=True, progress=False)
    np.testing.assert_array_equal(cp.replay(tmp_path / "out", dataset), made.images[:])
    alone = cp.Recipe([step])(dataset)
    again = cp.segment(alone.images[:])
    found = alone.masks[:]
    assert 2 * (found & again).sum() / (found.sum() + again.sum()) > 0.9


def test_relative_needs_a_cell_and_a_size_of_the_result() -> None:
    for wrong in ({"resize_to": None}, {"center": "image"}):
        with pytest.raises(cp.CellprepError, match="`relative` needs center='cell' and a `resize"):
            relative(np.zeros((1, 8, 8, 3), np.uint8), **wrong)
    with pytest.raises(cp.CellprepError, match=r"`size` must be a number in \[1, 4\], got 80"):
        cp.Crop(80, relative=True, resize_to=96)
    with pytest.raises(cp.CellprepError, match=r"`size` must be a whole number .* got 1.3"):
        cp.Crop(1.3, resize_to=96)
