"""Shears and translations of KerasCV on some images, or masks, of a batch, in place.

Images are (n, height, width, 3) uint8, interpolated linearly along the shift; masks (n, height,
width) bool, each pixel from the nearest. Outside lies the mirror image about the outer edge of the
border pixels, `d c b a | a b c d | d c b a`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Masks, Positions
from ..compiling import kernel
from ..levels import between, border_indices, split_offset

Pixels = NDArray[Any]
"""Images or masks."""
Values = NDArray[np.float32]
_STILL = np.float32(0)


def shear_x(pixels: Pixels, rows: Positions, slopes: Values) -> None:
    """Move row y left by `slope * y` pixels."""
    if pixels.ndim == 3:
        _shift_masks(pixels, rows, _STILL * slopes, slopes)
    else:
        _shift_rows_of(pixels, rows, _STILL * slopes, slopes)


def shear_y(pixels: Pixels, rows: Positions, slopes: Values) -> None:
    """Move column x up by `slope * x` pixels."""
    if pixels.ndim == 3:
        _shift_masks(pixels.transpose(0, 2, 1), rows, _STILL * slopes, slopes)
    else:
        _shift_columns_of(pixels, rows, _STILL * slopes, slopes)


def translation_x(pixels: Pixels, rows: Positions, fractions: Values) -> None:
    """Move to the right by a fraction of the width."""
    offsets = -fractions * np.float32(pixels.shape[2])
    if pixels.ndim == 3:
        _shift_masks(pixels, rows, offsets, _STILL * fractions)
    else:
        _shift_rows_of(pixels, rows, offsets, _STILL * fractions)


def translation_y(pixels: Pixels, rows: Positions, fractions: Values) -> None:
    """Move down by a fraction of the height."""
    offsets = -fractions * np.float32(pixels.shape[1])
    if pixels.ndim == 3:
        _shift_masks(pixels.transpose(0, 2, 1), rows, offsets, _STILL * fractions)
    else:
        _shift_columns_of(pixels, rows, offsets, _STILL * fractions)


@kernel
def _shift_rows_of(images: Any, rows: Any, first: Any, step: Any) -> None:
    for i in range(len(rows)):
        shift_rows(images[rows[i]], first[i], step[i])


@kernel
def _shift_columns_of(images: Any, rows: Any, first: Any, step: Any) -> None:
    for i in range(len(rows)):
        shift_columns(images[rows[i]], first[i], step[i])


def _shift_masks(masks: Masks, rows: Positions, first: Values, step: Values) -> None:
    for row, begin, slope in zip(rows.tolist(), first, step, strict=True):
        shift_mask(masks[row], begin, slope)


@kernel
def shift_rows(image, first, step):
    """Move row y of an image left by `first + step * y` pixels, in place, interpolated."""
    height, width, _ = image.shape
    line = np.empty(3 * (width + 1), np.uint8)
    near, far = line[:-3], line[3:]
    for y in range(height):
        row = image[y].reshape(3 * width)
        low, part = split_offset(first + step * np.float32(y))
        start = low % (2 * width)  # the image and its mirror image repeat
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


@kernel
def shift_columns(image, first, step):
    """Move column x of an image up by `first + step * x` pixels, in place, interpolated."""
    height, width, _ = image.shape
    start = np.empty(width, np.int32)
    parts = np.empty(3 * width, np.int16)
    for x in range(width):
        low, part = split_offset(first + step * np.float32(x))
        parts[3 * x : 3 * x + 3] = part
        start[x] = low % (2 * height)  # the image and its mirror image repeat
    flat = image.reshape(image.size)
    source = np.empty(image.size, np.uint8)
    for i in range(len(flat)):
        source[i] = flat[i]
    # A row of the result lies between two lines: pixel y + start[x] of each column x, and the next
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
    """Move row y of a mask like `shift_rows` does an image, each pixel from the nearest."""
    height, width = mask.shape
    offset = first + step * np.arange(height, dtype=np.float32)
    low = np.floor(offset)
    start = low.astype(np.int64) + (offset - low >= np.float32(0.5))
    places = border_indices(np.arange(width) + start[:, None], width, "reflect") - 1
    mask[:] = np.take_along_axis(mask, places, axis=1)
