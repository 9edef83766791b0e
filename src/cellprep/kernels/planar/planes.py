"""Operations of RandAugment on an image as three planes, compiled.

The same bytes as `augment.tone`, `color` and `shift` compute from RGB pixels, in a third of the
time or less: values of one channel share a table, and rows and columns are vectors of bytes.
"""

from __future__ import annotations

import numpy as np

from ..compiling import kernel
from ..levels import (
    equalization_table,
    fade,
    linear,
    luma,
    raise_by,
    solarize,
    split_offset,
    spread,
)
from .vectors import LANES, between_next, between_rows, choose_rows, copy, translate

_BEYOND = 64  # bytes that steps may read or write beyond an image
_SUMMED = 1 << 24  # bytes whose sum a uint32 holds


@kernel
def allocate(height, width):
    """Uninitialised memory for the planes of an image, (3, at least height * width) uint8."""
    size = (height * width + 63) // 64 * 64
    return np.empty(3 * size + _BEYOND, np.uint8)[: 3 * size].reshape(3, size)


@kernel
def separate(image, planes):
    """Copy the pixels of an image to planes."""
    flat = image.reshape(image.size)
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(len(flat) // 3):
        red[i], green[i], blue[i] = flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]


@kernel
def join(planes, image):
    """Copy planes to the pixels of an image."""
    flat = image.reshape(image.size)
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(len(flat) // 3):
        flat[3 * i], flat[3 * i + 1], flat[3 * i + 2] = red[i], green[i], blue[i]


@kernel
def _through(values, table):
    """Look values up in a table; a function of its own, so that arrays outlive their addresses."""
    translate(values.ctypes.data, values.size, table.ctypes.data)


@kernel
def auto_contrast(planes, size, table):
    for c in range(3):
        plane = planes[c]
        least, most = np.uint8(255), np.uint8(0)
        for i in range(size):
            least, most = min(least, plane[i]), max(most, plane[i])
        if most > least:
            factor = np.float32(255) / np.float32(most - least)
            offset = -np.float32(least) * factor
            for value in range(256):
                table[value] = linear(value, factor, offset)
            _through(plane, table)


@kernel
def equalization(planes, size, table):
    # Increments of one counter wait for each other, so neighbours count in four tables.
    counts = np.empty((4, 256), np.uint32)
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
        equalization_table(counts[0], size, table)
        _through(plane, table)


@kernel
def solarization(planes, addition, threshold, table):
    for value in range(256):
        table[value] = solarize(value, addition, threshold)
    _through(planes, table)


@kernel
def brightness(planes, shift, table):
    levels = shift * np.float32(255)
    for value in range(256):
        table[value] = raise_by(value, levels)
    _through(planes, table)


@kernel
def contrast(planes, size, factor, table):
    for c in range(3):
        plane = planes[c]
        total = 0
        for start in range(0, size, _SUMMED):
            some, subtotal = plane[start : min(start + _SUMMED, size)], np.uint32(0)
            for i in range(len(some)):
                subtotal += np.uint32(some[i])
            total += int(subtotal)
        mean = np.float32(total / size)
        for value in range(256):
            table[value] = spread(value, mean, factor)
        _through(plane, table)


@kernel
def color_degeneration(planes, factor):
    reds, greens, blues = planes[0], planes[1], planes[2]
    for i in range(len(reds)):
        red, green, blue = np.float32(reds[i]), np.float32(greens[i]), np.float32(blues[i])
        grey = luma(red, green, blue)
        reds[i] = fade(red, grey, factor)
        greens[i] = fade(green, grey, factor)
        blues[i] = fade(blue, grey, factor)


@kernel
def posterize(planes, bits, table):
    mask = 256 - (1 << (8 - int(bits)))
    for value in range(256):
        table[value] = value & mask
    _through(planes, table)


@kernel
def invert(planes, table):
    for value in range(256):
        table[value] = 255 - value
    _through(planes, table)


@kernel
def color_cast(planes, factors, table):
    for c in range(3):
        for value in range(256):
            table[value] = linear(value, factors[c], np.float32(0))
        _through(planes[c], table)


@kernel
def shift_rows(planes, height, width, first, step, out):
    """`augment.shift.shift_rows` from planes to others.

    A row of the result is the end of a row and the beginning of its mirror image, or the other way
    round. What steps write beyond it is overwritten later.
    """
    size = height * width
    mirrored = np.empty(size + _BEYOND, np.uint8)
    for c in range(3):
        plane = planes[c]
        for i in range(np.uint64(size)):
            mirrored[i] = plane[np.uint64(size - 1) - i]
        for y in range(height):
            low, part = split_offset(first + step * np.float32(y))
            low %= 2 * width
            begin = plane.ctypes.data + y * width
            end = mirrored.ctypes.data + (height - 1 - y) * width
            edge = plane[(y + 1) * width - 1]
            if low >= width:
                low, begin, end, edge = low - width, end, begin, plane[y * width]
            made = out.ctypes.data + c * planes.shape[1] + y * width
            between_next(made, width - low, begin + low, part)
            between_next(made + width - low, low, end, part)
            out[c, (y + 1) * width - low - 1] = edge


@kernel
def shift_columns(planes, height, width, first, step, out):
    """`augment.shift.shift_columns` from planes to others, `LANES` columns at a time.

    Columns move by whole pixels bit by bit: by 32, 16, 8 ... pixels those whose offset has that
    bit.
    """
    moves, parts = np.empty(LANES, np.int64), np.empty(LANES, np.int16)
    wanted = np.empty(LANES, np.uint8)
    for begin in range(0, width, LANES):
        begin = max(0, min(begin, width - LANES))
        for x in range(LANES):
            moves[x], parts[x] = split_offset(first + step * np.float32(min(begin + x, width - 1)))
        start, end = min(moves[0], moves[-1]), max(moves[0], moves[-1])
        bits = 0
        while (end - start) >> bits:
            bits += 1
        rows = height + (1 << bits)
        lines = np.empty(LANES * rows, np.uint8)
        for c in range(3):
            source = planes.ctypes.data + c * planes.shape[1] + begin
            position = start % (2 * height)
            for y in range(rows):
                at = position if position < height else 2 * height - 1 - position
                copy(lines.ctypes.data + LANES * y, source + at * width)
                position = position + 1 if position < 2 * height - 1 else 0
            for bit in range(bits - 1, -1, -1):
                for x in range(LANES):
                    wanted[x] = (moves[x] - start) >> bit & 1
                beyond, count = LANES << bit, height + (1 << bit)
                choose_rows(lines.ctypes.data, count, beyond, wanted.ctypes.data)
            made = out.ctypes.data + c * planes.shape[1] + begin
            between_rows(made, height, width, lines.ctypes.data, parts.ctypes.data)
