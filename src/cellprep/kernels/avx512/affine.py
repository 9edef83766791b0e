"""Affine transformations by eight pixels at a time (AVX-512 VBMI), compiled.

The same bytes as `augment.affine` computes pixel by pixel.
"""

from __future__ import annotations

import numpy as np

from ..compiling import kernel
from . import vectors
from .vectors import POSITION_BITS


@kernel
def warp(source, at, out, to, maps, low, high, lowest, across, down, frame):
    _, height, width, _ = source.shape
    size = 0
    for i in range(len(to)):
        size = max(size, (high[i, 0] - low[i, 0]) * (high[i, 1] - low[i, 1]))
    framed = np.empty(size + 16, np.uint32)
    line = np.empty(3 * (width + 32), np.uint8)
    color = np.uint32(frame * 0x10101)
    for i in range(len(to)):
        begin, end = low[i], high[i]
        columns, lines = across[begin[0] - lowest[0] :], down[begin[1] - lowest[1] :]
        _frame(source[at[i]], begin, end, columns, lines, color, line, framed)
        made = out[to[i]].reshape(3 * height * width)
        stride = end[0] - begin[0]
        for y in range(height):
            at_x = maps[i, 0, 1] * y + maps[i, 0, 2] - (begin[0] << POSITION_BITS)
            at_y = maps[i, 1, 1] * y + maps[i, 1, 2] - (begin[1] << POSITION_BITS)
            _between(line, width, framed, stride, at_x, at_y, maps[i, 0, 0], maps[i, 1, 0])
            row = made[3 * width * y : 3 * width * (y + 1)]
            for k in range(3 * width):
                row[k] = line[k]


@kernel
def _between(line, width, pixels, stride, at_x, at_y, step_x, step_y):
    """One row of the result; a function of its own, so that arrays outlive their addresses."""
    steps = (width + 7) // 8
    to, source = line.ctypes.data, pixels.ctypes.data
    vectors.between_four(to, steps, source, stride, at_x, at_y, step_x, step_y)


@kernel
def _frame(image, begin, end, across, down, color, line, framed):
    """Fill `framed` with the image as 32-bit pixels and its surroundings, from `begin` to `end`."""
    height, width, _ = image.shape
    flat = image.reshape(3 * height * width)
    stride, left, top = end[0] - begin[0], -begin[0], -begin[1]
    for y in range(height):  # a step writes beyond its row, which is overwritten later
        row = flat[3 * width * y : 3 * width * (y + 1)]
        for k in range(3 * width):
            line[k] = row[k]
        pixels = framed[stride * (y + top) + left :]
        vectors.widen(pixels.ctypes.data, width, line.ctypes.data)
    for y in range(height):
        row = framed[stride * (y + top) : stride * (y + top + 1)]
        for begin_x, end_x in ((0, left), (left + width, stride)):
            for x in range(begin_x, end_x):
                column = across[np.uint64(x)]
                row[np.uint64(x)] = row[np.uint64(column - 1 + left)] if column else color
    for begin_y, end_y in ((0, top), (top + height, end[1] - begin[1])):
        for y in range(begin_y, end_y):
            row = framed[stride * y : stride * (y + 1)]
            if down[y]:
                like = framed[stride * (down[y] - 1 + top) :]
                for x in range(stride):
                    row[x] = like[x]
            else:
                row[:] = color
