"""Masks of one bit per pixel: components and morphology against SciPy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.measure
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from cellprep.kernels.popcount import popcount
from cellprep.kernels.segment import bits, cell, components, morphology

from .stained import quick, seeds

widths = st.sampled_from((1, 2, 31, 62, 63, 64, 65, 100, 127, 128, 129))


def blobs(seed: int, n: int = 3, h: int = 23, w: int = 31) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    return rng.random((n, h, w)) < rng.uniform(0, 1, (n, 1, 1))


def packed(mask: NDArray[np.bool_], margin: int = 1) -> NDArray[np.uint64]:
    out = bits.empty_masks(1, *mask.shape, margin)[0]
    bits.pack(np.ascontiguousarray(mask).view(np.uint8), np.uint8(1), out)
    return out


def unpacked(mask: NDArray[np.uint64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    out = np.empty(shape, np.uint8)
    bits.unpack(mask, out)
    return out.view(np.bool_)


def check_components(masks: NDArray[np.bool_]) -> None:
    """Against SciPy's, on one set of buffers, since they are reused from image to image."""
    runs = components.buffers_for_runs(packed(masks[0]).size)
    for mask in masks:
        filled, largest = packed(mask), packed(mask)
        components.fill_holes(filled, runs)
        share = components.keep_heaviest(largest, largest.copy(), runs)
        expected, count = ndimage.label(mask)
        np.testing.assert_array_equal(unpacked(filled, mask.shape), ndimage.binary_fill_holes(mask))
        areas = np.bincount(expected.ravel(), minlength=count + 1)[1:]
        best = 1 + areas.argmax() if count else 1
        np.testing.assert_array_equal(unpacked(largest, mask.shape), expected == best)
        assert share == (areas.max() / areas.sum() if count else 0)
    every = masks.astype(np.uint8)
    cell.keep_largest(every)
    for mask, largest in zip(masks, every, strict=True):
        expected = skimage.measure.label(mask, connectivity=1)
        areas = np.bincount(expected.ravel(), minlength=2)[1:]
        np.testing.assert_array_equal(largest, expected == 1 + areas.argmax())


def check_morphology(masks: NDArray[np.bool_], radius: int) -> None:
    dy, dx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = dy**2 + dx**2 <= radius**2 + radius
    margin = max(radius, 1)
    discs = morphology.buffers_for_discs(*masks.shape[1:], margin)
    for mask in masks:
        eroded = ndimage.binary_erosion(mask, disc, border_value=1)
        dilated, both = packed(mask, margin), packed(mask, margin)
        morphology.dilate(dilated, radius, discs)
        np.testing.assert_array_equal(
            unpacked(dilated, mask.shape), ndimage.binary_dilation(mask, disc)
        )
        morphology.erode(both, radius, discs)
        np.testing.assert_array_equal(unpacked(both, mask.shape), eroded)
        morphology.dilate(both, radius, discs)
        np.testing.assert_array_equal(
            unpacked(both, mask.shape), ndimage.binary_dilation(eroded, disc)
        )
    every = masks.astype(np.uint8)
    cell.widen(every, radius)
    np.testing.assert_array_equal(every, [ndimage.binary_dilation(m, disc) for m in masks])


@quick
@given(seeds, st.integers(1, 30), widths)
def test_components_equal_those_of_scipy(seed: int, h: int, w: int) -> None:
    check_components(blobs(seed, 3, h, w))


@quick
@given(seeds, st.integers(1, 30), widths, st.integers(0, 6))
def test_morphology_equals_that_of_scipy(seed: int, h: int, w: int, radius: int) -> None:
    check_morphology(blobs(seed, 3, h, w), radius)


@pytest.mark.parametrize("radius", [40, 63, 64, 65])
def test_a_disc_may_be_larger_than_the_image(radius: int) -> None:
    masks = np.zeros((3, 7, 66), bool)
    masks[0, 3, 65] = masks[1:, 0, 1] = True
    check_morphology(np.concatenate([masks, ~masks]), radius)


@pytest.mark.parametrize("w", [8, 63, 64, 65, 130])
@pytest.mark.parametrize(
    "pattern",
    [
        lambda y, x: y < 0,
        lambda y, x: y >= 0,
        lambda y, x: (y + x) % 2 == 0,
        lambda y, x: x % 2 == 0,
        lambda y, x: y % 2 == 0,
        lambda y, x: np.maximum(abs(y - 10), abs(x - x.max() // 2)) % 3 == 0,
        lambda y, x: (y % 2 == 0) | (x == np.where(y % 4 == 1, 0, x.max())),
    ],
    ids=["empty", "full", "checkers", "columns", "rows", "rings", "snake"],
)
def test_patterns_give_the_same_result_as_scipy(pattern, w: int) -> None:
    mask = pattern(*np.mgrid[:21, :w])
    masks = np.stack([mask, ~mask, mask[::-1], mask[:, ::-1]])
    check_components(masks)
    check_morphology(masks, 2)


@quick
@given(seeds, st.integers(1, 9), widths, st.integers(1, 9))
def test_packed_masks_have_the_same_pixels(seed: int, h: int, w: int, margin: int) -> None:
    rng = np.random.default_rng(seed)
    values, least = rng.integers(0, 256, (2, h, w)).astype(np.uint8), np.uint8(rng.integers(1, 256))
    masks = values >= least
    one, other = packed = bits.empty_masks(2, h, w, margin)
    for mask, levels in zip(packed, values, strict=True):
        bits.pack(levels, least, mask)
    framed = np.unpackbits(one.view(np.uint8), axis=1, bitorder="little")
    np.testing.assert_array_equal(framed[margin:-margin, :w], masks[0])
    assert framed.sum() == masks[0].sum()
    assert framed.shape[1] >= w + margin
    out = np.empty((h, w), np.uint8)
    bits.unpack(one, out)
    np.testing.assert_array_equal(out, masks[0])

    padded = np.pad(masks[0].astype(int), 1)
    sides = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    assert bits.outline(one) == (masks[0].sum(), sides)
    assert bits.count_common(one, other) == (masks[0] & masks[1]).sum()


@quick
@given(seeds, st.integers(0, 255), st.integers(0, 255))
def test_operations_on_spans_equal_those_on_single_bits(seed: int, start: int, stop: int) -> None:
    start, stop = sorted((start, stop))
    string = np.random.default_rng(seed).integers(0, 2**64, 4, np.uint64)
    single = np.unpackbits(string.view(np.uint8), bitorder="little")
    assert bits.ones_in_span(string, start, stop) == single[start:stop].sum()
    assert [popcount(word) for word in string] == single.reshape(4, 64).sum(axis=1).tolist()
    position = np.uint64(start % 64)
    assert bits.lowest_one((string[0] | np.uint64(1)) << position) == position
    bits.flip_span(string, start, stop)
    single[start:stop] ^= 1
    np.testing.assert_array_equal(np.unpackbits(string.view(np.uint8), bitorder="little"), single)


def test_an_empty_mask_has_no_largest_component() -> None:
    masks = np.zeros((1, 9, 30), np.uint8)
    cell.keep_largest(masks)
    assert not masks.any()
