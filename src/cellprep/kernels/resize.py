"""Images and masks of another size."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from .levels import to_level


def resize(images: Images, height: int, width: int) -> Images:
    """Images of another size by a triangle filter that widens when shrinking.

    Two passes, along the rows and then the columns, each rounded to 8 bits; within one level of
    Pillow's `Image.resize(..., BILINEAR)`.

    Returns
    -------
    (n, height, width, 3) uint8
    """
    n, high, wide, _ = images.shape
    across = np.empty((n, high, width, 3), np.uint8)
    _resample_rows(images, *_triangles(wide, width), across)
    out = np.empty((n, height, width, 3), np.uint8)
    _resample_columns(across, *_triangles(high, height), out)
    return out


def resize_masks(masks: Masks, side: int) -> Masks:
    """Square masks of another size, each pixel from the one that its middle lies in."""
    _, height, width = masks.shape
    if (height, width) == (side, side):
        return masks
    down, across = ((2 * np.arange(side) + 1) * old // (2 * side) for old in (height, width))
    return masks[:, down[:, None], across]


def pixelate(images: Images, rows: Positions, factors: NDArray[np.float32]) -> None:
    """Shrink some images by factors of at most 1 and enlarge them again, in place.

    As `Image.resize(..., BOX)` of Pillow does both: shrunk to `int(factor * side)` pixels, rounded
    after each axis, then enlarged by repeating the nearest.
    """
    _, height, width, _ = images.shape
    for factor in np.unique(factors).tolist():
        some = rows[factors == np.float32(factor)]
        _pixelate(images, some, *_boxes(width, factor), *_boxes(height, factor))


def _boxes(side: int, factor: float) -> tuple[NDArray[np.int64], ...]:
    """Where the box of each new pixel begins and ends, and which of them stands for each old one.

    Pillow's arithmetic: a pixel whose middle lies on the edge of a box may fall to either or none.
    """
    new = max(1, int(factor * side))
    scale = side / new
    center, half = (np.arange(new) + 0.5) * scale, scale * 0.5
    begin, end = ((center + reach + 0.5).astype(np.int64) for reach in (-half, half))
    return begin, end, ((np.arange(side) + 0.5) * (new / side)).astype(np.int64)


@nb.njit(cache=True, nogil=True)
def _pixelate(images, rows, begin_x, end_x, from_x, begin_y, end_y, from_y):
    _, height, width, _ = images.shape
    wide, high = len(begin_x), len(begin_y)
    line = np.empty(3 * wide, np.float32)
    small = np.empty((high, 3 * wide), np.uint8)
    for i in range(len(rows)):
        image = images[rows[i]]
        for v in range(high):
            line[:] = 0
            for y in range(begin_y[v], end_y[v]):
                row = image[y].reshape(3 * width)
                for u in range(wide):
                    red = green = blue = np.int32(0)
                    for x in range(begin_x[u], end_x[u]):
                        at = np.uint64(3 * x)
                        red += np.int32(row[at])
                        green += np.int32(row[at + np.uint64(1)])
                        blue += np.int32(row[at + np.uint64(2)])
                    part, to = np.float32(1) / np.float32(end_x[u] - begin_x[u]), 3 * u
                    line[to] += np.float32(to_level(np.float32(red) * part))
                    line[to + 1] += np.float32(to_level(np.float32(green) * part))
                    line[to + 2] += np.float32(to_level(np.float32(blue) * part))
            part = np.float32(1) / np.float32(end_y[v] - begin_y[v])
            for j in range(3 * wide):
                small[v, j] = to_level(line[j] * part)
        for y in range(height):
            row, run = image[y].reshape(3 * width), small[from_y[y]]
            for x in range(width):
                here, there = np.uint64(3 * x), np.uint64(3 * from_x[x])
                row[here] = run[there]
                row[here + np.uint64(1)] = run[there + np.uint64(1)]
                row[here + np.uint64(2)] = run[there + np.uint64(2)]


def _triangles(side: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each new pixel the first old one under its triangle, and the weights from there on."""
    scale = side / new
    support = max(scale, 1.0)
    center = (np.arange(new) + 0.5) * scale
    first = np.maximum((center - support + 0.5).astype(np.int64), 0)
    place = first[:, None] + np.arange(int(np.ceil(support)) * 2 + 1)
    weights = np.maximum(1 - np.abs((place + 0.5 - center[:, None]) / support), 0)
    weights[place >= side] = 0
    return first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@nb.njit(cache=True, nogil=True)
def _resample_rows(images, first, weights, out):
    """Weighted sums along each row."""
    n, height, width, _ = images.shape
    for i in range(n):
        for y in range(height):
            for x in range(len(first)):
                red = green = blue = np.float32(0)
                for k in range(min(weights.shape[1], width - first[x])):
                    weight, at = weights[x, k], np.uint64(first[x] + k)
                    red += weight * np.float32(images[i, y, at, 0])
                    green += weight * np.float32(images[i, y, at, 1])
                    blue += weight * np.float32(images[i, y, at, 2])
                out[i, y, x, 0] = to_level(red)
                out[i, y, x, 1] = to_level(green)
                out[i, y, x, 2] = to_level(blue)


@nb.njit(cache=True, nogil=True)
def _resample_columns(images, first, weights, out):
    """Weighted sums along each column, a row at a time."""
    n, height, width, _ = images.shape
    line = np.empty(3 * width, np.float32)
    for i in range(n):
        for y in range(len(first)):
            line[:] = 0
            for k in range(min(weights.shape[1], height - first[y])):
                weight = weights[y, k]
                if weight != 0:
                    row = images[i, first[y] + k].reshape(3 * width)
                    for j in range(3 * width):
                        line[j] += weight * np.float32(row[j])
            target = out[i, y].reshape(3 * width)
            for j in range(3 * width):
                target[j] = to_level(line[j])
