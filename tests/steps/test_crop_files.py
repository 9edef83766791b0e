"""`Crop` around the image centre takes image files of any size."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cellprep as cp

SIDES = [(30, 41), (25, 25), (44, 33), (28, 60), (31, 31), (39, 26)]
PICTURES = [
    np.random.default_rng(number).integers(0, 256, (*side, 3), np.uint8)
    for number, side in enumerate(SIDES)
]
FROM_THE_MIDDLE = cp.Recipe([cp.Crop(20, center="image")])


def encoded(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def folder_of(path, pictures=PICTURES):
    for number, picture in enumerate(pictures):
        (path / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (path / "ab"[number % 2] / f"{number}.png").write_bytes(encoded(picture))
    return path


def middle_of(picture, side=20):
    top, left = (length // 2 - side // 2 for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def by_number(dataset):
    """The image of each row by the number in its id."""
    numbers = [int(str(id).rpartition("/")[2].partition(".")[0]) for id in dataset.ids]
    return dict(zip(numbers, dataset.images[:], strict=True))


def test_the_middle_of_each_file_is_cut_out_without_resampling(tmp_path):
    cells = cp.read(folder_of(tmp_path / "in"))
    with pytest.raises(cp.CellprepError, match="begin with a Crop around the image centre"):
        cells.shape  # noqa: B018
    made = FROM_THE_MIDDLE(cells)
    assert made.shape == (6, 20, 20, 3)
    for number, image in by_number(made).items():
        np.testing.assert_array_equal(image, middle_of(PICTURES[number]))


def test_rows_may_be_chosen_before_and_other_steps_follow(tmp_path):
    cells = cp.read(folder_of(tmp_path / "in"))
    chosen = cells.without(["a/0.png"]).relabel(classes={"a": "x"})
    made = cp.Recipe([cp.Crop(20, center="image", resize_to=10), cp.RandAugment(copies=1)])(chosen)
    assert made.shape == (10, 10, 10, 3)
    assert made.counts() == {"x": 4, "b": 6}
    resized = Image.fromarray(middle_of(PICTURES[1])).resize((10, 10), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(made.images[made.ids.tolist().index("b/1.png")], resized)


def test_the_corner_in_the_file_is_recorded_and_replayed(tmp_path):
    cells = cp.read(folder_of(tmp_path / "in"))
    made = cp.Recipe([cp.Crop(20, center="image"), cp.RandAugment(copies=1)])(cells)
    cp.write(made, tmp_path / "out", progress=False)
    index = pd.read_parquet(tmp_path / "out" / "index.parquet")
    for row in index.itertuples():
        height, width = SIDES[int(row.id[2:-4])]
        assert (index["read.top"][row.Index], index["read.left"][row.Index]) == (
            height // 2 - 10,
            width // 2 - 10,
        )
    replayed = cp.replay(tmp_path / "out", cells)
    np.testing.assert_array_equal(replayed, cp.read(tmp_path / "out").images[:])
    with pytest.raises(cp.CellprepError, match="from the middle of image files"):
        cp.replay(tmp_path / "out", cp.read(tmp_path / "in", size=20))


def test_files_below_the_size_of_the_window_are_bad_ones(tmp_path):
    cells = cp.read(folder_of(tmp_path / "in", [*PICTURES, PICTURES[0][:15]]))
    made = FROM_THE_MIDDLE(cells).readable()
    assert made.bad == {"a/6.png": "is 15x41 pixels, smaller than the window of 20x20"}
    assert len(made) == 6


def test_equal_files_give_the_pixels_that_arrays_give(tmp_path):
    pictures = [PICTURES[0][:25, :25], PICTURES[1], PICTURES[4][:25, :25]]
    made = FROM_THE_MIDDLE(cp.read(folder_of(tmp_path / "in", pictures)))
    expected = cp.crop(np.stack(pictures), 20, center="image")
    for number, image in by_number(made).items():
        np.testing.assert_array_equal(image, expected[number])


def test_images_in_tar_files_are_cropped_too(tmp_path):
    with tarfile.open(tmp_path / "cells.tar", "w") as tar:
        for number, picture in enumerate(PICTURES):
            for suffix, data in (("png", encoded(picture)), ("cls", b"%d" % (number % 2))):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    made = FROM_THE_MIDDLE(cp.read(tmp_path / "cells.tar"))
    for number, image in by_number(made).items():
        np.testing.assert_array_equal(image, middle_of(PICTURES[number]))


def test_splits_on_disk_are_cropped_together(tmp_path):
    folder_of(tmp_path / "in" / "train", PICTURES[:4])
    folder_of(tmp_path / "in" / "test", PICTURES[4:])
    made = FROM_THE_MIDDLE(cp.read(tmp_path / "in", part="all"))
    assert made.shape == (6, 20, 20, 3)
    assert sorted({*made.parts}) == ["test", "train"]
    record = made.plan.evaluate(np.arange(6))[1]
    assert record["read.top"].values.max() == 12


def test_a_printed_data_set_does_not_hide_sizes(tmp_path):
    cells = cp.read(folder_of(tmp_path / "in", [*PICTURES[1:2] * 5, PICTURES[0]]))
    assert repr(cells).startswith("Dataset(6 images of 25x25 and other sizes, 2 classes")
    assert "6 images of 20x20" in repr(FROM_THE_MIDDLE(cells))
