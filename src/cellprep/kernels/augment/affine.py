"""Affine moves of 8-bit RGB images and of masks, compiled.

Where a processor takes eight places of a table at once, eight pixels of a result are made at a
time; elsewhere one by one, with the same bytes.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Masks, Positions
from ..avx512 import vectors
from .geometry import stand_ins

_PLACE_BITS, _WEIGHT_BITS = vectors.PLACE_BITS, vectors.WEIGHT_BITS
_MOST_FRAMED = 8
"""A frame of more than so many times the image's pixels costs more than it spares."""


def similarity(
    side: tuple[int, int],
    *,
    rotation: NDArray[np.float32],
    shift_x: NDArray[np.float32],
    shift_y: NDArray[np.float32],
    zoom: NDArray[np.float32],
    flip_x: NDArray[np.bool_],
    flip_y: NDArray[np.bool_],
) -> NDArray[np.float64]:
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
    (n, 2, 3) float64
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
    return np.concatenate([linear, constant[:, :, None]], axis=2)


def warp(
    source: Images,
    places: Positions,
    out: Images,
    rows: Positions,
    matrices: NDArray[np.float64],
    fill: str | int,
) -> None:
    """Move images by affine maps, bilinear, from one array to another or in place.

    Places are whole numbers of 2**-32 pixels and weights of 2**-13, so a value is within 0.1 of
    the exact one before it is rounded.

    Parameters
    ----------
    source : (n, height, width, 3) uint8
    places : (m,) int
        The images that are moved, once or several times.
    out : (k, height, width, 3) uint8
        May be `source`, if `rows` are `places`.
    rows : (m,) int
        Where the results go; none stands twice.
    matrices : (m, 2, 3) float64
        From (x, y, 1) in the result to (x, y) in the image.
    fill : "reflect", "edge" or a value in 0-255
        What lies outside the image.
    """
    _, height, width, _ = source.shape
    maps = np.rint(matrices * 2.0**_PLACE_BITS).astype(np.int64)
    low, high = _reach(maps, height, width)
    lowest, highest = low.min(axis=0, initial=0), high.max(axis=0, initial=1)
    across = stand_ins(np.arange(lowest[0], highest[0]), width, fill)
    down = stand_ins(np.arange(lowest[1], highest[1]), height, fill)
    frame = 0 if isinstance(fill, str) else fill
    source = source.view()
    source.flags.writeable = False  # compiled once, whether or not the caller's may be written
    framed = (high - low).prod(axis=1).max(initial=0)
    if vectors.SUPPORTED and framed <= _MOST_FRAMED * height * width:
        _by_eights(source, places, out, rows, maps, low, high, lowest, across, down, frame)
    else:
        maps[:, :, 2] -= lowest << _PLACE_BITS
        _by_pixels(source, places, out, rows, maps, across, down * (width + 2), frame)


def _reach(
    maps: NDArray[np.int64], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The least (x, y) that each map looks at, and one more than the greatest; all of the image."""
    right = -(-width // 8) * 8 - 1  # pixels of a result are made by eights
    corners = np.array([[0, 0, 1], [right, 0, 1], [0, height - 1, 1], [right, height - 1, 1]])
    reached = (maps @ corners.T) >> _PLACE_BITS  # a map is linear: the corners reach farthest
    return reached.min(axis=2).clip(max=0), (reached.max(axis=2) + 2).clip([width, height])


def warp_masks(
    masks: Masks, rows: Positions, matrices: NDArray[np.float64], fill: str | int
) -> Masks:
    """Masks moved as `warp` moves images, each pixel from the nearest; a grey border is empty."""
    _, height, width = masks.shape
    masks = masks.copy()
    maps = np.rint(matrices * 2.0**_PLACE_BITS).astype(np.int64)
    x, y = np.arange(width), np.arange(height)[:, None]
    half = np.int64(1) << (_PLACE_BITS - 1)
    for row, (to_x, to_y) in zip(rows.tolist(), maps, strict=True):
        across, down = ((a * x + b * y + c + half) >> _PLACE_BITS for a, b, c in (to_x, to_y))
        framed = np.pad(masks[row], 1)
        masks[row] = framed[stand_ins(down, height, fill), stand_ins(across, width, fill)]
    return masks


@nb.njit(cache=True, nogil=True)
def _by_pixels(source, places, out, rows, maps, across, down, frame):
    _, height, width, _ = source.shape
    # A pixel is one number of three fields of 21 bits, so that its channels are weighted at once:
    # a field holds 8 bits of value and 13 of weight.
    one = np.int64(1)
    fields = one | (one << 21) | (one << 42)
    half = fields << (_WEIGHT_BITS - 1)
    whole = one << _WEIGHT_BITS
    stride = width + 2
    pixels = np.full((height + 2) * stride, fields * frame)
    for i in range(len(rows)):
        flat = source[places[i]].reshape(3 * height * width)
        made = out[rows[i]].reshape(3 * height * width)
        step_x, step_y = maps[i, 0, 0], maps[i, 1, 0]
        for y in range(height):
            row = flat[3 * width * y : 3 * width * (y + 1)]
            framed = pixels[stride * (y + 1) + 1 :]
            for x in range(width):
                at = np.uint64(3 * x)
                red, green = np.int64(row[at]), np.int64(row[at + np.uint64(1)])
                framed[x] = red | (green << 21) | (np.int64(row[at + np.uint64(2)]) << 42)
        for y in range(height):
            row = made[3 * width * y : 3 * width * (y + 1)]
            at_x = maps[i, 0, 1] * y + maps[i, 0, 2]
            at_y = maps[i, 1, 1] * y + maps[i, 1, 2]
            for x in range(width):
                left, top = np.uint64(at_x >> _PLACE_BITS), np.uint64(at_y >> _PLACE_BITS)
                part_x = (at_x >> (_PLACE_BITS - _WEIGHT_BITS)) & (whole - 1)
                part_y = (at_y >> (_PLACE_BITS - _WEIGHT_BITS)) & (whole - 1)
                both = (part_x * part_y + (whole >> 1)) >> _WEIGHT_BITS
                x0, x1 = across[left], across[left + np.uint64(1)]
                y0, y1 = down[top], down[top + np.uint64(1)]
                level = (
                    pixels[np.uint64(y0 + x0)] * (whole - part_x - part_y + both)
                    + pixels[np.uint64(y0 + x1)] * (part_x - both)
                    + pixels[np.uint64(y1 + x0)] * (part_y - both)
                    + pixels[np.uint64(y1 + x1)] * both
                    + half
                )
                at = np.uint64(3 * x)
                row[at] = np.uint8(level >> _WEIGHT_BITS)
                row[at + np.uint64(1)] = np.uint8(level >> (21 + _WEIGHT_BITS))
                row[at + np.uint64(2)] = np.uint8(level >> (42 + _WEIGHT_BITS))
                at_x += step_x
                at_y += step_y


@nb.njit(cache=True, nogil=True)
def _by_eights(source, places, out, rows, maps, low, high, lowest, across, down, frame):
    _, height, width, _ = source.shape
    size = 0
    for i in range(len(rows)):
        size = max(size, (high[i, 0] - low[i, 0]) * (high[i, 1] - low[i, 1]))
    framed = np.empty(size + 16, np.uint32)
    line = np.empty(3 * (width + 32), np.uint8)
    color = np.uint32(frame * 0x10101)
    for i in range(len(rows)):
        begin, end = low[i], high[i]
        x_places, y_places = across[begin[0] - lowest[0] :], down[begin[1] - lowest[1] :]
        _frame(source[places[i]], begin, end, x_places, y_places, color, line, framed)
        made = out[rows[i]].reshape(3 * height * width)
        stride = end[0] - begin[0]
        for y in range(height):
            at_x = maps[i, 0, 1] * y + maps[i, 0, 2] - (begin[0] << _PLACE_BITS)
            at_y = maps[i, 1, 1] * y + maps[i, 1, 2] - (begin[1] << _PLACE_BITS)
            _between(line, width, framed, stride, at_x, at_y, maps[i, 0, 0], maps[i, 1, 0])
            row = made[3 * width * y : 3 * width * (y + 1)]
            for k in range(3 * width):
                row[k] = line[k]


@nb.njit(cache=True, nogil=True)
def _between(line, width, pixels, stride, at_x, at_y, step_x, step_y):
    """A row of the result; a function of its own, so that the arrays outlive their addresses."""
    steps = (width + 7) // 8
    to, source = line.ctypes.data, pixels.ctypes.data
    vectors.between_four(to, steps, source, stride, at_x, at_y, step_x, step_y)


@nb.njit(cache=True, nogil=True)
def _frame(image, begin, end, across, down, color, line, framed):
    """An image of 32-bit pixels and what lies around it, from `begin` to `end`, row by row."""
    height, width, _ = image.shape
    flat = image.reshape(3 * height * width)
    stride, left, top = end[0] - begin[0], -begin[0], -begin[1]
    for y in range(height):  # a step writes beyond its row: what comes there comes later
        row = flat[3 * width * y : 3 * width * (y + 1)]
        for k in range(3 * width):
            line[k] = row[k]
        pixels = framed[stride * (y + top) + left :]
        vectors.widen(pixels.ctypes.data, width, line.ctypes.data)
    for y in range(height):
        row = framed[stride * (y + top) : stride * (y + top + 1)]
        for begin_x, end_x in ((0, left), (left + width, stride)):
            for x in range(begin_x, end_x):
                place = across[np.uint64(x)]
                row[np.uint64(x)] = row[np.uint64(place - 1 + left)] if place else color
    for begin_y, end_y in ((0, top), (top + height, end[1] - begin[1])):
        for y in range(begin_y, end_y):
            row = framed[stride * y : stride * (y + 1)]
            if down[y]:
                like = framed[stride * (down[y] - 1 + top) :]
                for x in range(stride):
                    row[x] = like[x]
            else:
                row[:] = color
