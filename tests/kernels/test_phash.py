"""Perceptual hashes equal those of imagehash, bit for bit, for any image."""

from __future__ import annotations

import imagehash
import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cellprep.kernels import HASHES
from cellprep.kernels.hashing.lanczos import rows_first
from cellprep.kernels.hashing.perceptual import perceptual_hashes

REFERENCE = {
    "phash": imagehash.phash,
    "dhash": imagehash.dhash,
    "ahash": imagehash.average_hash,
    "whash": imagehash.whash,
}
KINDS = ("noise", "flat", "square", "disc", "columns", "mirrored", "black and white")


def pictures(kind: str, n: int, height: int, width: int, seed: int) -> np.ndarray:
    """Images with many ties: flat, symmetric, of two levels."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (n, height, width, 3), np.uint8)
    one, other = rng.integers(0, 256, (2, n, 1, 1, 3))
    y, x = np.mgrid[:height, :width]
    far = np.maximum(abs(2 * y - height + 1), abs(2 * x - width + 1))
    round_ = np.hypot(2 * y - height + 1, 2 * x - width + 1)
    radius = rng.uniform(0, max(height, width) + 1, (n, 1, 1))
    if kind == "flat":
        noise[:] = one
    elif kind == "square":
        noise[:] = np.where((far < radius)[..., None], one, other)
    elif kind == "disc":
        noise[:] = np.where((round_ < radius)[..., None], one, other)
    elif kind == "columns":
        noise[:] = noise[:, :1]
    elif kind == "mirrored":
        noise = np.maximum(noise, noise[:, :, ::-1])
    elif kind == "black and white":
        noise = np.where(noise > 127, 255, 0).astype(np.uint8)
    return noise


def expected(images: np.ndarray, kind: str) -> list[str]:
    return [str(REFERENCE[kind](Image.fromarray(image))) for image in images]


def found(images: np.ndarray, kind: str) -> list[str]:
    return [f"{bits:016x}" for bits in perceptual_hashes(images, kind).tolist()]


@settings(max_examples=150)
@given(st.sampled_from(KINDS), st.integers(1, 130), st.integers(1, 130), st.integers(0, 2**32 - 1))
def test_hashes_equal_those_of_imagehash(kind, height, width, seed) -> None:
    # Pillow before 13 filtered the columns of a tall image first.
    if int(PIL.__version__.split(".")[0]) < 13:
        height = min(height, width)
    images = pictures(kind, 2, height, width, seed)
    for name in HASHES:
        assert found(images, name) == expected(images, name), name


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (8, 8), (32, 32), (7, 9), (64, 64), (257, 511)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_hashes_of_extreme_sizes(shape, kind) -> None:
    images = pictures(kind, 3, *shape, seed=5)
    for name in HASHES:
        assert found(images, name) == expected(images, name), name


@pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13, reason="needs the filter order of Pillow 13"
)
@pytest.mark.parametrize("shape", [(500, 3), (97, 63), (97, 64), (97, 65), (1000, 32), (300, 1)])
def test_tall_images_are_filtered_vertically_first(shape) -> None:
    assert rows_first(97, 64, 32, 32)
    assert not rows_first(97, 65, 32, 32)
    images = pictures("noise", 3, *shape, seed=6)
    for name in HASHES:
        assert found(images, name) == expected(images, name), name


def test_hashes_of_photographs(photographs) -> None:
    for name in HASHES:
        assert found(photographs, name) == expected(photographs, name), name


def test_hashes_of_photographs_at_their_original_size(data) -> None:
    for file in sorted(data.glob("*/*/*.jp*g"))[::40]:
        image = np.asarray(Image.open(file).convert("RGB"))[None]
        for name in HASHES:
            assert found(image, name) == expected(image, name), (file, name)
