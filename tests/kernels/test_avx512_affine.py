"""Affine transformations with AVX-512 compute the same bytes as pixel by pixel."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellprep.kernels.augment import affine
from cellprep.kernels.avx512 import vectors

pytestmark = pytest.mark.skipif(
    not vectors.SUPPORTED, reason="this processor does not permute bytes (AVX-512 VBMI)"
)
FILLS = st.one_of(st.sampled_from(["reflect", "edge"]), st.integers(0, 255))


@st.composite
def maps(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Four images of noise, and maps for three: rotated, flipped, shifted far away, shrunk."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    matrices = affine.similarity(
        (height, width),
        rotation=rng.choice(np.array([0, 90, *rng.uniform(-180, 180, 4)], np.float32), 3),
        shift_x=rng.choice(np.array([0, 0.5, *rng.uniform(-2, 2, 4)], np.float32), 3),
        shift_y=rng.choice(np.array([0, 0.5, *rng.uniform(-0.2, 0.2, 4)], np.float32), 3),
        zoom=rng.uniform(0.4, 2, 3).astype(np.float32),
        flip_x=rng.random(3) < 0.5,
        flip_y=rng.random(3) < 0.5,
    )
    return rng.integers(0, 256, (4, height, width, 3)).astype(np.uint8), matrices


def plain(*arguments) -> None:
    with mock.patch.object(vectors, "SUPPORTED", False):
        affine.warp(*arguments)


@settings(deadline=None, max_examples=200)
@given(maps(), FILLS)
def test_avx512_equals_pixel_by_pixel(case, fill) -> None:
    images, matrices = case
    at, to = np.array([1, 2, 2]), np.array([2, 0, 1])  # the last image stays
    slow, fast = images.copy(), images.copy()
    plain(images, at, slow, to, matrices, fill)
    with mock.patch.object(affine, "_MOST_FRAMED", 1000):
        affine.warp(images, at, fast, to, matrices, fill)
    assert np.array_equal(fast, slow)
    assert np.array_equal(fast[3], images[3])


def test_an_empty_batch_is_allowed() -> None:
    images, none = np.zeros((2, 8, 8, 3), np.uint8), np.arange(0)
    for way in (plain, affine.warp):
        way(images, none, images, none, np.zeros((0, 2, 3)), "reflect")


def test_a_map_that_reads_far_outside_takes_the_plain_path() -> None:
    images, first = np.full((1, 32, 32, 3), 9, np.uint8), np.array([0])
    matrices = np.array([[[1, 0, 1e6], [0, 1, 0]]], np.float64)
    with mock.patch.object(affine.avx512, "warp", side_effect=AssertionError):
        affine.warp(images, first, images, first, matrices, "edge")
    assert (images == 9).all()
