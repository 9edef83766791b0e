"""Where the windows of `Crop` lie, and what lies beyond the border."""

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
def test_half_of_the_cell_lies_on_either_side_of_its_middle(seed: int) -> None:
    masks = np.random.default_rng(seed).random((3, 12, 17)) < 0.3
    for mask, (y, x) in zip(masks, centers.centers(masks), strict=True):
        for line, middle in ((mask.sum(axis=1), y), (mask.sum(axis=0), x)):
            assert 2 * line[:middle].sum() <= line.sum()
            assert 2 * line[middle + 1 :].sum() <= line.sum()


@pytest.mark.parametrize("fill", ["reflect", "edge", 40])
def test_beyond_the_border_lies_what_was_asked(cells, fill) -> None:
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


def test_an_image_without_a_cell_is_cut_in_its_middle_and_says_so() -> None:
    images = np.full((2, 20, 26, 3), 200, np.uint8)
    images[1, 2:9, 3:10] = 90, 40, 140
    at = windows(cp.Recipe([cp.Crop(10)])(cp.Dataset.from_arrays(images, [0, 1])))
    assert at["found"].tolist() == [False, True]
    assert (at["top"][0], at["left"][0]) == (5, 8)
    assert (at["top"][1], at["left"][1]) == (0, 1)


def test_several_sizes_look_for_the_cells_once(cells, monkeypatch) -> None:
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


def test_what_was_found_is_in_the_record(cells, tmp_path) -> None:
    images, labels = cells
    dataset = cp.Dataset.from_arrays(images, labels, [str(n) for n in range(8)])
    made = cp.crops(dataset, sizes=(30,))[30]
    cp.write(made, tmp_path / "out", progress=False)
    np.testing.assert_array_equal(cp.replay(tmp_path / "out", dataset), made.images[:])


@pytest.mark.parametrize("side", [96, 256])
def test_windows_hold_the_drawn_cells(data, side) -> None:
    """Of 1.3 times the cell's box, in at least 97 % of the photographs."""
    held = []
    for path in sorted((data / "bcisc" / "images").glob("*.jpg")):
        with Image.open(path) as image:
            photograph = np.asarray(image.convert("RGB").resize((side, side), 4))
        with Image.open(data / "bcisc" / "masks" / f"{path.stem}.png") as image:
            drawn = np.asarray(image.convert("L").resize((side, side), 4)) > 127
        y, x = np.nonzero(drawn)
        size = min(side, round(1.3 * (max(np.ptp(y), np.ptp(x)) + 1)))
        at = windows(cp.Recipe([cp.Crop(size)])(cp.Dataset.from_arrays(photograph[None], [0])))
        top, left = int(at["top"][0]), int(at["left"][0])
        held.append(drawn[top : top + size, left : left + size].sum() == drawn.sum())
    assert np.mean(held) >= 0.97
