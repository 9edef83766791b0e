"""Moves and sizes against the libraries that define them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import transform

import cellprep as cp
from cellprep.kernels import resize
from cellprep.kernels.augment import affine, windows

NONE = {"rotation": 0, "shift_x": 0, "shift_y": 0, "zoom": 1, "flip_x": False, "flip_y": False}


def matrix(side=(96, 96), **settings) -> np.ndarray:
    dtypes = {"flip_x": bool, "flip_y": bool}
    columns = {
        name: np.array([value], dtypes.get(name, np.float32))
        for name, value in (NONE | settings).items()
    }
    return affine.similarity(side, **columns)


def warp(image, matrices, fill) -> np.ndarray:
    images = image[None].copy()
    first = np.array([0])
    affine.warp(images, first, images, first, matrices, fill)
    return images[0]


MOVES = [
    {"rotation": 17},
    {"rotation": -140, "zoom": 1.4},
    {"shift_x": 0.21, "shift_y": -0.13, "zoom": 0.7},
    {"rotation": 33, "shift_x": -0.4, "flip_x": True},
    {"flip_y": True, "zoom": 0.5, "rotation": 5},
]


@pytest.mark.parametrize("move", MOVES, ids=str)
@pytest.mark.parametrize(
    ("fill", "mode"), [("reflect", "symmetric"), ("edge", "edge"), (77, "constant")]
)
def test_warp_is_that_of_scikit_image(photographs, move, fill, mode) -> None:
    image = photographs[0][:, :90]
    to_input = np.vstack([matrix(image.shape[:2], **move)[0], [0, 0, 1]])
    ours = warp(image, matrix(image.shape[:2], **move), fill)
    theirs = transform.warp(
        image,
        to_input,
        order=1,
        mode=mode,
        preserve_range=True,
        cval=fill if mode == "constant" else 0,
    )
    difference = np.abs(ours - theirs)
    assert difference.mean() < 0.3
    assert difference.max() <= 0.6  # theirs is exact and not rounded


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        ({}, lambda image: image),
        ({"flip_x": True}, lambda image: image[:, ::-1]),
        ({"flip_y": True}, lambda image: image[::-1]),
        ({"rotation": 90}, np.rot90),
        ({"rotation": 180}, lambda image: image[::-1, ::-1]),
        ({"rotation": -90}, lambda image: np.rot90(image, 3)),
        ({"shift_x": 0.25}, lambda image: np.hstack([image[:, :24][:, ::-1], image[:, :72]])),
        ({"shift_y": -0.5}, lambda image: np.vstack([image[48:], image[48:][::-1]])),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_moves_by_whole_pixels_are_exact(photographs, move, expected) -> None:
    image = photographs[1]
    assert (warp(image, matrix(**move), "reflect") == expected(image)).all()


def test_warp_leaves_the_other_images_alone(photographs) -> None:
    moved = photographs[:4].copy()
    rows = np.array([2, 0])
    affine.warp(moved, rows, moved, rows, np.repeat(matrix(flip_x=True), 2, axis=0), "edge")
    expected = photographs[:4].copy()
    expected[[0, 2]] = expected[[0, 2], :, ::-1]
    assert (moved == expected).all()


@pytest.mark.parametrize(
    "size",
    [(48, 48), (33, 70), (96, 96), (96, 41), (13, 96), (300, 96), (150, 101), (1, 1), (7, 200)],
    ids=str,
)
def test_resize_is_that_of_pillow(photographs, size) -> None:
    ours = resize.resize(photographs[:3], *size)
    theirs = np.stack(
        [
            np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
            for image in photographs[:3]
        ]
    )
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 1
    if 96 in size:  # Pillow chooses which axis comes first, and rounds in between
        assert (difference == 0).mean() > 0.99


def test_windows() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 11, 3), np.uint8)
    crops = windows.windows(images, np.array([0, 4, 2]), np.array([6, 0, 3]), 5)
    for crop, image, (top, left) in zip(crops, images, [(0, 6), (4, 0), (2, 3)], strict=True):
        assert (crop == image[top : top + 5, left : left + 5]).all()


def test_crop_finds_the_cell() -> None:
    """A dark purple disc anywhere: the window holds all of it, its middle near the window's."""
    y, x = np.mgrid[:64, :80]
    middles = [(20, 60), (40, 15), (32, 40)]
    images = np.full((3, 64, 80, 3), (235, 220, 225), np.uint8)
    for image, (row, column) in zip(images, middles, strict=True):
        image[(y - row) ** 2 + (x - column) ** 2 < 100] = (90, 40, 140)
    crops = cp.crop(images, 30)
    inside = (crops == (90, 40, 140)).all(axis=-1)
    assert (
        inside.sum(axis=(1, 2)) == (images == (90, 40, 140)).all(axis=-1).sum(axis=(1, 2))
    ).all()
    for mask in inside:
        rows, columns = np.nonzero(mask)
        assert abs(rows.mean() - 14.5) < 2
        assert abs(columns.mean() - 14.5) < 2


def test_crop_without_a_cell_takes_the_middle() -> None:
    images = np.full((1, 20, 30, 3), 200, np.uint8)
    dataset = cp.Recipe([cp.Crop(10)])(cp.Dataset.from_arrays(images, [0]))
    record = dataset.plan.evaluate(np.arange(1))[1]
    assert (record["crop.top"].values[0], record["crop.left"].values[0]) == (5, 10)
