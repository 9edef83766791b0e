"""The operations of RandAugment on an image as three planes, by steps of 64 bytes, compiled.

The same bytes as `color` and `geometry` make of an image of RGB pixels, several times as fast, on
processors that permute bytes. Where channels lie apart a table is one look-up for 64 values; and a
row of up to 256 pixels is a table itself, of which the shifted row is a look-up.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from ..augment.color import equalizing, faded, grey_of, raised, scaled, solarized, spread
from ..augment.geometry import split_offset
from .vectors import between_places, between_rows, choose_rows, copy, translate

WIDEST = 256
"""Pixels of a row that is a table."""
_BEYOND = 256
_SUMMED = 1 << 24  # bytes whose sum a uint32 holds


@nb.njit(cache=True, nogil=True)
def room(height, width):
    """Memory for the three planes of an image, (3, height * width or a little more)."""
    size = (height * width + 63) // 64 * 64
    return np.empty(3 * size + _BEYOND, np.uint8)[: 3 * size].reshape(3, size)


@nb.njit(cache=True, nogil=True)
def part(image, planes):
    """Copy the pixels of an image to planes."""
    flat = image.reshape(image.size)
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(len(flat) // 3):
        red[i], green[i], blue[i] = flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]


@nb.njit(cache=True, nogil=True)
def join(planes, image):
    """Copy planes to the pixels of an image."""
    flat = image.reshape(image.size)
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(len(flat) // 3):
        flat[3 * i], flat[3 * i + 1], flat[3 * i + 2] = red[i], green[i], blue[i]


@nb.njit(cache=True, nogil=True)
def _through(values, table):
    """Values through a table; a function of its own, so that the arrays outlive their addresses."""
    translate(values.ctypes.data, values.size, table.ctypes.data)


@nb.njit(cache=True, nogil=True)
def auto_contrast(planes, size):
    table = np.empty(256, np.uint8)
    for c in range(3):
        plane = planes[c]
        least, most = np.uint8(255), np.uint8(0)
        for i in range(size):
            least, most = min(least, plane[i]), max(most, plane[i])
        if most > least:
            factor = np.float32(255) / np.float32(most - least)
            offset = -np.float32(least) * factor
            for value in range(256):
                table[value] = scaled(value, factor, offset)
            _through(plane, table)


@nb.njit(cache=True, nogil=True)
def equalization(planes, size):
    # Bytes of one value wait for each other, so neighbours count in four tables.
    counts = np.empty((4, 256), np.uint32)
    table = np.empty(256, np.uint8)
    for c in range(3):
        plane = planes[c]
        counts[:] = 0
        words = plane[: size - size % 8].view(np.uint64)
        for word in words:
            for k in range(8):
                counts[k % 4, (word >> np.uint64(8 * k)) & np.uint64(255)] += np.uint32(1)
        for i in range(size - size % 8, size):
            counts[0, plane[i]] += np.uint32(1)
        for value in range(256):
            for k in range(1, 4):
                counts[0, value] += counts[k, value]
        equalizing(counts[0], size, table)
        _through(plane, table)


@nb.njit(cache=True, nogil=True)
def solarization(planes, addition, threshold):
    table = np.empty(256, np.uint8)
    for value in range(256):
        table[value] = solarized(value, addition, threshold)
    _through(planes, table)


@nb.njit(cache=True, nogil=True)
def brightness(planes, shift):
    table = np.empty(256, np.uint8)
    levels = shift * np.float32(255)
    for value in range(256):
        table[value] = raised(value, levels)
    _through(planes, table)


@nb.njit(cache=True, nogil=True)
def contrast(planes, size, factor):
    table = np.empty(256, np.uint8)
    for c in range(3):
        plane = planes[c]
        total = 0
        for start in range(0, size, _SUMMED):
            some, part = plane[start : min(start + _SUMMED, size)], np.uint32(0)
            for i in range(len(some)):
                part += np.uint32(some[i])
            total += int(part)
        mean = np.float32(total / size)
        for value in range(256):
            table[value] = spread(value, mean, factor)
        _through(plane, table)


@nb.njit(cache=True, nogil=True)
def color_degeneration(planes, factor):
    reds, greens, blues = planes[0], planes[1], planes[2]
    for i in range(len(reds)):
        red, green, blue = np.float32(reds[i]), np.float32(greens[i]), np.float32(blues[i])
        grey = grey_of(red, green, blue)
        reds[i] = faded(red, grey, factor)
        greens[i] = faded(green, grey, factor)
        blues[i] = faded(blue, grey, factor)


@nb.njit(cache=True, nogil=True)
def mirror(width):
    """Places in a row of `width` pixels and its mirror image, that repeat, from 0 on."""
    places = np.empty(3 * width + 1 + _BEYOND, np.uint8)
    for i in range(len(places)):
        places[i] = _mirrored(i, width)
    return places


@nb.njit(cache=True, nogil=True)
def shift_rows(planes, height, width, places, first, step, out):
    """`geometry.shift_rows` from planes to others; `places` are those of `mirror`."""
    row, made = planes.ctypes.data, out.ctypes.data
    for y in range(height):
        low, part = split_offset(first + step * np.float32(y))
        near = places.ctypes.data + low % (2 * width)
        for c in range(3):
            at = c * planes.shape[1] + y * width
            for x in range(0, width, 64):
                x = max(0, min(x, width - 64))
                between_places(made + at + x, min(64, width), row + at, near + x, part)


@nb.njit(cache=True, nogil=True)
def shift_columns(planes, height, width, first, step, out):
    """`geometry.shift_columns` from planes to others.

    Of 64 columns at a time: these move by whole pixels bit by bit, all their rows by 32, 16, 8 ...
    pixels in the columns whose number of pixels has that bit.
    """
    moves, parts = np.empty(64, np.int64), np.empty(64, np.int16)
    wanted = np.empty(64, np.uint8)
    for begin in range(0, width, 64):
        begin = max(0, min(begin, width - 64))
        n = min(64, width)
        for x in range(64):
            moves[x], parts[x] = split_offset(first + step * np.float32(begin + min(x, n - 1)))
        start = moves.min()
        moves -= start
        bits = 0
        while moves.max() >> bits:
            bits += 1
        rows = height + (1 << bits)
        lines = np.empty(64 * rows, np.uint8)
        for c in range(3):
            source = planes.ctypes.data + c * planes.shape[1] + begin
            place = start % (2 * height)
            for y in range(rows):
                at = place if place < height else 2 * height - 1 - place
                copy(lines.ctypes.data + 64 * y, source + at * width)
                place = place + 1 if place < 2 * height - 1 else 0
            for bit in range(bits - 1, -1, -1):
                for x in range(64):
                    wanted[x] = moves[x] >> bit & 1
                choose_rows(lines.ctypes.data, height + (1 << bit), 64 << bit, wanted.ctypes.data)
            made = out.ctypes.data + c * planes.shape[1] + begin
            between_rows(made, n, height, width, lines.ctypes.data, parts.ctypes.data)


@nb.njit(cache=True, nogil=True, inline="always")
def _mirrored(place, side):
    """The pixel at a place, where the picture and its mirror image repeat."""
    place %= 2 * side
    return place if place < side else 2 * side - 1 - place
