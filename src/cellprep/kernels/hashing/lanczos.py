"""Luminance of an image, shrunk by a Lanczos filter, bit for bit as Pillow 13 does it.

Pillow filters columns and rows one after the other, in fixed point, and rounds in between.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from ..levels import luma_level

_BITS = 22  # fractional bits of a weight: 32 less a pixel's 8 and two to prevent overflow


@functools.lru_cache(64)
def lanczos_filter(size: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Start and stop of the window of each of `target` pixels over `size`, and its weights."""
    scale = size / target
    stretch = max(scale, 1.0)
    support = 3.0 * stretch
    spans = np.empty((target, 2), np.int64)
    weights = np.zeros((target, 2 * math.ceil(support) + 1), np.int32)
    for position in range(target):
        center = (position + 0.5) * scale
        start = max(int(center - support + 0.5), 0)
        stop = min(int(center + support + 0.5), size)
        values = [_lanczos((x - center + 0.5) * (1.0 / stretch)) for x in range(start, stop)]
        total = 0.0
        for weight in values:  # not sum(), which compensates rounding errors
            total += weight
        for tap, weight in enumerate(values):
            fixed = (weight / total if total else weight) * (1 << _BITS)
            weights[position, tap] = int(fixed - 0.5 if fixed < 0 else fixed + 0.5)
        spans[position] = start, stop
    return spans, weights


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x else 1.0


def rows_first(height: int, width: int, target_height: int, target_width: int) -> bool:
    """Whether Pillow filters vertically first; before version 13 it never did."""
    return height - target_height > max(0, 2 * (width - target_width))


_rows_first: Any = kernel(rows_first)


@kernel
def scratch_for(images, target_height, target_width):
    """Buffers for `shrink`: luminance, filtered once, transposed, filtered twice."""
    _, across, along, _ = images.shape
    first, second = target_height, target_width
    if not _rows_first(across, along, first, second):
        across, along = along, across
        first, second = second, first
    return (
        np.empty((across, along), np.uint8),
        np.empty((first, along), np.uint8),
        np.empty((along, first), np.uint8),
        np.empty((second, first), np.uint8),
    )


@kernel
def shrink(image, rows, columns, scratch, out):
    """Write the luminance of an image to `out`; `rows` and `columns` are Lanczos filters."""
    lines, filtered, turned, small = scratch
    height, width, _ = image.shape
    vertical_first = _rows_first(height, width, len(rows[0]), len(columns[0]))
    for y in range(height):
        for x in range(width):
            grey = luma_level(image[y, x, 0], image[y, x, 1], image[y, x, 2])
            if vertical_first:
                lines[y, x] = grey
            else:
                lines[x, y] = grey
    if vertical_first:
        _filter(lines, rows, filtered)
        _transpose(filtered, turned)
        _filter(turned, columns, small)
        _transpose(small, out)
    else:
        _filter(lines, columns, filtered)
        _transpose(filtered, turned)
        _filter(turned, rows, out)


@kernel
def _filter(lines, weighting, out):
    spans, weights = weighting
    length = out.shape[1]
    total = np.empty(length, np.int32)
    for position in range(len(out)):
        total[:] = np.int32(1 << (_BITS - 1))
        start = spans[position, 0]
        for line in range(start, spans[position, 1]):
            weight = weights[position, line - start]
            source = lines[line]
            for i in range(length):
                total[i] += weight * np.int32(source[i])
        for i in range(length):
            out[position, i] = np.uint8(min(max(total[i] >> _BITS, 0), 255))


@kernel
def _transpose(table, out):
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            out[j, i] = table[i, j]
