"""Affine moves eight pixels at a time make the bytes that the plain way makes."""

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
def moves(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Four images of noise, and a map for each of three: turned, flipped, far away, shrunk."""
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
@given(moves(), FILLS)
def test_eight_at_a_time_are_the_plain_way(case, fill) -> None:
    images, matrices = case
    places, rows = np.array([1, 2, 2]), np.array([2, 0, 1])  # the last image is left alone
    slow, fast = images.copy(), images.copy()
    plain(images, places, slow, rows, matrices, fill)
    with mock.patch.object(affine, "_MOST_FRAMED", 1000):
        affine.warp(images, places, fast, rows, matrices, fill)
    assert np.array_equal(fast, slow)
    assert np.array_equal(fast[3], images[3])


def test_no_image_is_moved() -> None:
    images, none = np.zeros((2, 8, 8, 3), np.uint8), np.arange(0)
    for way in (plain, affine.warp):
        way(images, none, images, none, np.zeros((0, 2, 3)), "reflect")


def test_a_map_that_looks_far_away_takes_the_plain_way() -> None:
    images, first = np.full((1, 32, 32, 3), 9, np.uint8), np.array([0])
    matrices = np.array([[[1, 0, 1e6], [0, 1, 0]]], np.float64)
    with mock.patch.object(affine, "_by_eights", side_effect=AssertionError):
        affine.warp(images, first, images, first, matrices, "edge")
    assert (images == 9).all()
