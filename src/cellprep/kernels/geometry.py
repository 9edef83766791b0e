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
    if -side <= place < 2 * side:  # nearly always, and a division costs more than all the rest
        return -1 - place if place < 0 else (place if place < side else 2 * side - 1 - place)
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
    whole = np.empty(width, np.int64)
    part = np.empty(width, np.float32)
    for x in range(width):
        offset = first + step * np.float32(x)
        whole[x] = np.int64(np.floor(offset))
        part[x] = np.float32(offset - np.float32(whole[x]))
    for y in range(height):
        for x in range(width):
            upper, lower = y + whole[x], y + whole[x] + 1
            if upper < 0 or lower >= height:
                upper, lower = _mirror(upper, height), _mirror(lower, height)
            upper, lower = np.uint64(upper), np.uint64(lower)
            for c in range(3):
                here = np.float32(image[upper, x, c])
                there = np.float32(image[lower, x, c])
                out[y, x, c] = np.uint8(here + part[x] * (there - here) + np.float32(0.5))


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
            first, last = _inside(matrix, start_x, start_y, height, width)
            for x in range(width):
                at_x = matrix[0, 0] * np.float32(x) + start_x
                at_y = matrix[1, 0] * np.float32(x) + start_y
                if first <= x < last:  # all four neighbours lie inside: unsigned, so no wrapping
                    left, top = np.uint32(at_x), np.uint32(at_y)
                    part_x, part_y = at_x - np.float32(left), at_y - np.float32(top)
                    right, bottom = left + np.uint32(1), top + np.uint32(1)
                    for c in range(3):
                        a = np.float32(image[top, left, c])
                        b = np.float32(image[bottom, left, c])
                        upper = a + part_x * (np.float32(image[top, right, c]) - a)
                        lower = b + part_x * (np.float32(image[bottom, right, c]) - b)
                        level = upper + part_y * (lower - upper)
                        out[i, y, x, c] = np.uint8(level + np.float32(0.5))
                else:
                    _at_border(image, at_x, at_y, mode, value, out[i, y, x])


@nb.njit(cache=True, nogil=True)
def _inside(matrix, start_x, start_y, height, width):
    """The run of places in a row whose four neighbours all lie in the image."""
    first, last = 0, width
    while first < last and not _whole(matrix, start_x, start_y, first, height, width):
        first += 1
    while first < last and not _whole(matrix, start_x, start_y, last - 1, height, width):
        last -= 1
    return first, last


@nb.njit(cache=True, nogil=True, inline="always")
def _whole(matrix, start_x, start_y, x, height, width):
    at_x = matrix[0, 0] * np.float32(x) + start_x
    at_y = matrix[1, 0] * np.float32(x) + start_y
    return 0 <= at_x < width - 1 and 0 <= at_y < height - 1


@nb.njit(cache=True, nogil=True)
def _at_border(image, at_x, at_y, mode, value, out):
    height, width, _ = image.shape
    left, top = np.int64(np.floor(at_x)), np.int64(np.floor(at_y))
    part_x, part_y = at_x - np.float32(left), at_y - np.float32(top)
    x0, x1 = _source(left, width, mode), _source(left + 1, width, mode)
    y0, y1 = _source(top, height, mode), _source(top + 1, height, mode)
    for c in range(3):
        a = np.float32(image[y0, x0, c]) if x0 >= 0 and y0 >= 0 else value
        b = np.float32(image[y1, x0, c]) if x0 >= 0 and y1 >= 0 else value
        right_a = np.float32(image[y0, x1, c]) if x1 >= 0 and y0 >= 0 else value
        right_b = np.float32(image[y1, x1, c]) if x1 >= 0 and y1 >= 0 else value
        upper = a + part_x * (right_a - a)
        lower = b + part_x * (right_b - b)
        out[c] = to_level(upper + part_y * (lower - upper))


@nb.njit(cache=True, nogil=True)
def _source(place, side, mode):
    """The pixel that stands for a place on an axis; -1 where it is filled with a value."""
    if 0 <= place < side:
        return place
    if mode == _REFLECT:
        return _mirror(place, side)
    if mode == _EDGE:
        return min(max(place, 0), side - 1)
    return -1


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
    _resample_rows(images, *_triangles(wide, width), across)
    out = np.empty((n, height, width, 3), np.uint8)
    _resample_columns(across, *_triangles(high, height), out)
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
