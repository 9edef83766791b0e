"""Moves, windows and sizes of 8-bit RGB images, compiled.

A coordinate names the centre of a pixel. What lies outside is the mirror image about the outer edge
of the border pixels, `d c b a | a b c d | d c b a`, unless said otherwise.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ..arrays import Images
from .color import to_level

_REFLECT, _EDGE, _CONSTANT = 0, 1, 2


@nb.njit(cache=True, nogil=True, inline="always")
def _mirror(place, side):
    """The pixel that stands at a place outside 0 to side - 1."""
    place %= 2 * side
    return place if place < side else 2 * side - 1 - place


@nb.njit(cache=True, nogil=True)
def shift_rows(image, first, step, out):
    """Move row y of an image left by `first + step * y` pixels, with linear interpolation."""
    height, width, _ = image.shape
    line = np.empty(3 * (width + 1), np.uint8)
    for y in range(height):
        offset = first + step * np.float32(y)
        whole = np.int64(np.floor(offset))
        part = np.float32(offset - np.float32(whole))
        for x in range(width + 1):
            source = x + whole
            if source < 0 or source >= width:
                source = _mirror(source, width)
            for c in range(3):
                line[3 * x + c] = image[y, source, c]
        row = out[y].reshape(3 * width)
        for i in range(3 * width):
            here = np.float32(line[i])
            row[i] = np.uint8(here + part * (np.float32(line[i + 3]) - here) + np.float32(0.5))


@nb.njit(cache=True, nogil=True)
def shift_columns(image, first, step, out):
    """Move column x of an image up by `first + step * x` pixels, with linear interpolation."""
    height, width, _ = image.shape
    for x in range(width):
        offset = first + step * np.float32(x)
        whole = np.int64(np.floor(offset))
        part = np.float32(offset - np.float32(whole))
        for y in range(height):
            upper, lower = y + whole, y + whole + 1
            if upper < 0 or lower >= height:
                upper, lower = _mirror(upper, height), _mirror(lower, height)
            for c in range(3):
                here = np.float32(image[upper, x, c])
                there = np.float32(image[lower, x, c])
                out[y, x, c] = np.uint8(here + part * (there - here) + np.float32(0.5))


def similarity(
    side: tuple[int, int],
    *,
    rotation: NDArray[np.float32],
    shift_x: NDArray[np.float32],
    shift_y: NDArray[np.float32],
    zoom: NDArray[np.float32],
    flip_x: NDArray[np.bool_],
    flip_y: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Matrices that flip, turn, zoom and shift about the middle of the image, in this order.

    Parameters
    ----------
    side : (height, width)
    rotation : (n,)
        Degrees, counter-clockwise.
    shift_x, shift_y : (n,)
        To the right and down, as a fraction of the width and height.
    zoom : (n,)
        Above 1 the content grows.
    flip_x, flip_y : (n,) bool
        Left for right, top for bottom.

    Returns
    -------
    (n, 2, 3) float32
        From (x, y, 1) in the result to (x, y) in the image.
    """
    height, width = side
    angle = np.deg2rad(rotation.astype(np.float64))
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    sign_x, sign_y = np.where(flip_x, -1.0, 1.0), np.where(flip_y, -1.0, 1.0)
    linear = np.array([[sign_x * cos, -sign_x * sin], [sign_y * sin, sign_y * cos]])
    linear = linear.transpose(2, 0, 1)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.stack([shift_x.astype(np.float64) * width, shift_y.astype(np.float64) * height], 1)
    constant = middle - np.einsum("nij,nj->ni", linear, middle + shift)
    return np.concatenate([linear, constant[:, :, None]], axis=2).astype(np.float32)


def warp(images: Images, matrices: NDArray[np.float32], fill: str | int) -> Images:
    """Images moved by affine maps, bilinear.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    matrices : (n, 2, 3) float32
        From (x, y, 1) in the result to (x, y) in the image.
    fill : "reflect", "edge" or a value in 0-255
        What lies outside the image.

    Returns
    -------
    (n, height, width, 3) uint8
    """
    out = np.empty_like(images)
    mode = {"reflect": _REFLECT, "edge": _EDGE}.get(str(fill), _CONSTANT)
    value = np.float32(fill if mode == _CONSTANT else 0)
    _warp(images, matrices, mode, value, out)
    return out


@nb.njit(cache=True, nogil=True)
def _warp(images, matrices, mode, value, out):
    n, height, width, _ = images.shape
    for i in range(n):
        image = images[i]
        matrix = matrices[i]
        for y in range(height):
            start_x = matrix[0, 1] * np.float32(y) + matrix[0, 2]
            start_y = matrix[1, 1] * np.float32(y) + matrix[1, 2]
            for x in range(width):
                at_x = matrix[0, 0] * np.float32(x) + start_x
                at_y = matrix[1, 0] * np.float32(x) + start_y
                left, top = np.int64(np.floor(at_x)), np.int64(np.floor(at_y))
                part_x = at_x - np.float32(left)
                part_y = at_y - np.float32(top)
                if 0 <= left < width - 1 and 0 <= top < height - 1:
                    for c in range(3):
                        a = np.float32(image[top, left, c])
                        b = np.float32(image[top + 1, left, c])
                        upper = a + part_x * (np.float32(image[top, left + 1, c]) - a)
                        lower = b + part_x * (np.float32(image[top + 1, left + 1, c]) - b)
                        out[i, y, x, c] = to_level(upper + part_y * (lower - upper))
                else:
                    for c in range(3):
                        a = _outside(image, left, top, c, mode, value)
                        b = _outside(image, left, top + 1, c, mode, value)
                        upper = a + part_x * (_outside(image, left + 1, top, c, mode, value) - a)
                        lower = b + part_x * (
                            _outside(image, left + 1, top + 1, c, mode, value) - b
                        )
                        out[i, y, x, c] = to_level(upper + part_y * (lower - upper))


@nb.njit(cache=True, nogil=True)
def _outside(image, x, y, c, mode, value):
    height, width, _ = image.shape
    if 0 <= x < width and 0 <= y < height:
        return np.float32(image[y, x, c])
    if mode == _REFLECT:
        return np.float32(image[_mirror(y, height), _mirror(x, width), c])
    if mode == _EDGE:
        return np.float32(image[min(max(y, 0), height - 1), min(max(x, 0), width - 1), c])
    return value


def windows(
    images: Images, top: NDArray[np.integer], left: NDArray[np.integer], size: int
) -> Images:
    """The square of `size` pixels at each image's (top, left), which must lie inside.

    Returns
    -------
    (n, size, size, 3) uint8
    """
    views = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    return np.ascontiguousarray(views[np.arange(len(images)), top, left].transpose(0, 2, 3, 1))


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
    _resample(
        images.reshape(n * high, wide, 1, 3),
        *_triangles(wide, width),
        across.reshape(n * high, width, 1, 3),
    )
    out = np.empty((n, height, width, 3), np.uint8)
    _resample(across, *_triangles(high, height), out)
    return out


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
def _resample(images, first, weights, out):
    """Weighted sums along the second axis of (n, side, across, 3)."""
    n, side, across, _ = images.shape
    line = np.empty(3 * across, np.float32)
    for i in range(n):
        for y in range(len(first)):
            line[:] = 0
            for k in range(weights.shape[1]):
                if weights[y, k] != 0 and first[y] + k < side:
                    row = images[i, first[y] + k].reshape(3 * across)
                    for j in range(3 * across):
                        line[j] += weights[y, k] * np.float32(row[j])
            target = out[i, y].reshape(3 * across)
            for j in range(3 * across):
                target[j] = to_level(line[j])
