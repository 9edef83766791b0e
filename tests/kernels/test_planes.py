"""RandAugment on planes, by steps of 64 bytes, makes the bytes that the plain way makes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellprep.kernels import OPERATIONS
from cellprep.kernels.augment import chain
from cellprep.kernels.avx512 import planes, vectors

pytestmark = pytest.mark.skipif(
    not vectors.SUPPORTED, reason="this processor does not permute bytes (AVX-512 VBMI)"
)
SIDES = st.one_of(st.integers(1, 130), st.integers(250, planes.WIDEST))


@st.composite
def chains(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Images (of noise, of one value, of a few values), and two operations for each."""
    height, width = draw(SIDES), draw(SIDES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = rng.integers(0, 256, (4, height, width, 3)).astype(np.uint8)
    images[1] = images[1, 0, 0]
    images[2] = rng.choice(np.array([3, 60, 251], np.uint8), images[2].shape, p=(0.9, 0.09, 0.01))
    operations = rng.integers(0, len(OPERATIONS) + 1, (4, 2))
    values = rng.choice(np.array([-1, -0.5, 0, 0.5, 1, *rng.uniform(-1, 1, 9)]), (4, 2))
    values[operations == OPERATIONS.index("solarization")] *= 110
    values[operations == OPERATIONS.index("contrast")] += 1
    return images, operations, values.astype(np.float32)


@settings(deadline=None, max_examples=150)
@given(chains(), st.floats(0, 256, width=32))
def test_planes_are_the_plain_way(case, threshold) -> None:
    images, operations, values = case
    thresholds = np.full(values.shape, threshold, np.float32)
    plain, fast = images.copy(), images.copy()
    places, rows = np.array([1, 2, 2]), np.array([2, 0, 1])  # the last image is left alone
    for way, made in ((chain._by_pixels, plain), (chain._by_planes, fast)):
        way(images, places, made, rows, operations[rows], values[rows], thresholds[rows])
    assert np.array_equal(fast, plain)
    assert np.array_equal(fast[3], images[3])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_at_96(operation, cells) -> None:
    images = cells[0][:32]
    shape = (len(images), 1)
    values = np.linspace(-1, 1, len(images), dtype=np.float32).reshape(shape)
    values = {"solarization": 110 * values, "contrast": 1 + values}.get(operation, values)
    thresholds = np.full(shape, 128, np.float32)
    operations = np.full(shape, OPERATIONS.index(operation))
    plain, fast = images.copy(), images.copy()
    every = np.arange(len(images))
    for way, made in ((chain._by_pixels, plain), (chain._by_planes, fast)):
        way(made, every, made, every, operations, values, thresholds)
    assert np.array_equal(fast, plain)
