"""Moves, windows and sizes of 8-bit RGB images, compiled.

A coordinate names the centre of a pixel. What lies outside is the mirror image about the outer edge
of the border pixels, `d c b a | a b c d | d c b a`, unless said otherwise.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Masks, Positions
from .color import to_level


@nb.njit(cache=True, nogil=True, inline="always")
def split_offset(offset):
    """Whole pixels of an offset, and what is left of it in 2**-15."""
    low = np.floor(offset)
    part = np.int32((offset - low) * np.float32(1 << 15) + np.float32(0.5))
    return np.int64(low), np.int16(min(part, np.int32((1 << 15) - 1)))


@nb.njit(cache=True, nogil=True, inline="always")
def between(near, far, part):
    """The level `part` (of 2**15) of the way from one to the other, to the nearest, halves up."""
    way = np.int32(np.int32(far) - np.int32(near)) * np.int32(part)
    return np.uint8(np.int32(near) + np.int32((way + (1 << 14)) >> 15))


@nb.njit(cache=True, nogil=True)
def shift_rows(image, first, step):
    """Move row y of an image left by `first + step * y` pixels, in place, linearly interpolated."""
    height, width, _ = image.shape
    line = np.empty(3 * (width + 1), np.uint8)
    near, far = line[:-3], line[3:]
    for y in range(height):
        row = image[y].reshape(3 * width)
        low, part = split_offset(first + step * np.float32(y))
        start = low % (2 * width)  # the picture and its mirror image repeat
        done = 0
        while done <= width:
            place = (start + done) % (2 * width)
            if place < width:
                n = min(width - place, width + 1 - done)
                run = row[3 * place : 3 * (place + n)]
                to = line[3 * done :]
                for i in range(3 * n):
                    to[i] = run[i]
            else:
                n = min(2 * width - place, width + 1 - done)
                run = row[3 * (2 * width - place - n) :]
                to = line[3 * done :]
                for x in range(n):
                    here, there = np.uint64(3 * x), np.uint64(3 * (n - 1 - x))
                    to[here] = run[there]
                    to[here + np.uint64(1)] = run[there + np.uint64(1)]
                    to[here + np.uint64(2)] = run[there + np.uint64(2)]
            done += n
        for i in range(3 * width):
            row[i] = between(near[i], far[i], part)


@nb.njit(cache=True, nogil=True)
def shift_columns(image, first, step):
    """Move column x of an image up by `first + step * x` pixels, in place, interpolated."""
    height, width, _ = image.shape
    start = np.empty(width, np.int32)
    parts = np.empty(3 * width, np.int16)
    for x in range(width):
        low, part = split_offset(first + step * np.float32(x))
        parts[3 * x : 3 * x + 3] = part
        start[x] = low % (2 * height)  # the picture and its mirror image repeat
    flat = image.reshape(image.size)
    source = np.empty(image.size, np.uint8)
    for i in range(len(flat)):
        source[i] = flat[i]
    # A row of the result lies between two lines: pixel y + start[x] of each column x, and the next.
    lines = np.empty((2, 3 * width), np.uint8)
    begins = np.empty(width, np.int32)
    for y in range(height + 1):
        line, upper = lines[y % 2], lines[1 - y % 2]
        for x in range(width):
            place = start[x] + np.int32(y)
            place = place - np.int32(2 * height) if place >= 2 * height else place
            place = np.int32(2 * height - 1) - place if place >= height else place
            begins[x] = np.int32(3) * (place * np.int32(width) + np.int32(x))
        if step == 0:
            run = source[begins[0] : begins[0] + 3 * width]
            for i in range(3 * width):
                line[i] = run[i]
        else:
            for x in range(width):
                to, at = np.uint64(3 * x), np.uint64(begins[x])
                line[to] = source[at]
                line[to + np.uint64(1)] = source[at + np.uint64(1)]
                line[to + np.uint64(2)] = source[at + np.uint64(2)]
        if y > 0:
            row = image[y - 1].reshape(3 * width)
            for i in range(3 * width):
                row[i] = between(upper[i], line[i], parts[i])


def shift_mask(mask: Masks, first: np.float32, step: np.float32) -> None:
    """Move row y of a mask as `shift_rows` moves an image, each pixel from the nearest."""
    height, width = mask.shape
    offset = first + step * np.arange(height, dtype=np.float32)
    low = np.floor(offset)
    start = low.astype(np.int64) + (offset - low >= np.float32(0.5))
    places = stand_ins(np.arange(width) + start[:, None], width, "reflect") - 1
    mask[:] = np.take_along_axis(mask, places, axis=1)


def resize_masks(masks: Masks, side: int) -> Masks:
    """Square masks of another size, each pixel from the one that its middle lies in."""
    _, height, width = masks.shape
    if (height, width) == (side, side):
        return masks
    down, across = ((2 * np.arange(side) + 1) * old // (2 * side) for old in (height, width))
    return masks[:, down[:, None], across]


def stand_ins(places: Positions, side: int, fill: str | int) -> Positions:
    """The pixel that stands for each place on an axis, counted in an image with a frame."""
    if fill == "reflect":
        places = places % (2 * side)
        return np.where(places < side, places, 2 * side - 1 - places) + 1
    if fill == "edge":
        return places.clip(0, side - 1) + 1
    return np.where((places >= 0) & (places < side), places + 1, 0)


def windows(
    images: Images,
    top: NDArray[np.integer],
    left: NDArray[np.integer],
    size: int,
    fill: str | int | None = None,
) -> Images:
    """The square of `size` pixels at each image's (top, left).

    It must lie inside, unless `fill` says what lies beyond the border: "reflect", "edge" or a
    value in 0-255.

    Returns
    -------
    (n, size, size, 3) uint8; masks of one channel keep that
    """
    if fill is not None and len(images):
        _, height, width, _ = images.shape
        above, before = max(0, -int(top.min())), max(0, -int(left.min()))
        below = max(0, int(top.max()) + size - height)
        behind = max(0, int(left.max()) + size - width)
        margin = ((0, 0), (above, below), (before, behind), (0, 0))
        if isinstance(fill, str):
            images = np.pad(images, margin, mode="symmetric" if fill == "reflect" else "edge")
        else:
            images = np.pad(images, margin, constant_values=fill)
        top, left = top + above, left + before
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


def pixelate(images: Images, rows: Positions, factor: float) -> None:
    """Shrink some images by a factor of at most 1 and enlarge them again, in place.

    As `Image.resize(..., BOX)` of Pillow does both: shrunk to `int(factor * side)` pixels, rounded
    after each axis, then enlarged by repeating the nearest.
    """
    _, height, width, _ = images.shape
    _pixelate(images, rows, *_boxes(width, factor), *_boxes(height, factor))


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
