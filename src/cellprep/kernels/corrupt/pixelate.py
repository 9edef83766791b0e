"""Large pixels, bit for bit as Pillow 13 makes them with its box filter, compiled.

Pillow averages columns and rows one after the other, in fixed point, and rounds in between.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiling import kernel
from ..hashing import lanczos

_BITS = 22  # fractional bits of a weight
_rows_first: Any = kernel(lanczos.rows_first)


@kernel
def pixelate(images, rows, factors):
    """Shrink some images by factors of at most 1 and enlarge them again, in place.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    rows : (m,) int
        The images to change, all different.
    factors : (m,) float32
    """
    _, height, width, _ = images.shape
    once = np.empty((height, 3 * width), np.uint8)
    small = np.empty((height, 3 * width), np.uint8)
    for i in range(len(rows)):
        lines = images[rows[i]].reshape(height, 3 * width)
        high, wide = max(1, int(factors[i] * height)), max(1, int(factors[i] * width))
        if _rows_first(height, width, high, wide):
            _average_rows(lines, width, high, once)
            _average_columns(once, high, wide, small)
        else:
            _average_columns(lines, height, wide, once)
            _average_rows(once, wide, high, small)
        _enlarge(small, high, wide, lines)


@kernel
def _window(size, target, position):
    """Start and stop of the pixels, of `size`, whose mean is one of `target` pixels."""
    scale = size / target
    stretch = max(scale, 1.0)
    center = (position + 0.5) * scale
    start = max(int(center - 0.5 * stretch + 0.5), 0)
    stop = min(int(center + 0.5 * stretch + 0.5), size)
    # those whose middles are within half a stretch, the upper end included
    if (start - center + 0.5) * (1 / stretch) <= -0.5:
        start += 1
    if (stop - 1 - center + 0.5) * (1 / stretch) > 0.5:
        stop -= 1
    return start, stop


@kernel(inline="always")
def _weight(count):
    """The weight of each of `count` pixels."""
    return np.uint32((1 << _BITS) / count + 0.5)


@kernel(inline="always")
def _rounded(weighted):
    return np.uint8((weighted + np.uint32(1 << (_BITS - 1))) >> np.uint32(_BITS))


@kernel
def _average_rows(lines, width, target, out):
    """All rows of `lines`, `width` pixels of each, as `target` rows of `out`."""
    length = 3 * width
    total = np.empty(length, np.uint32)
    for y in range(target):
        start, stop = _window(len(lines), target, y)
        total[:] = 0
        for line in range(start, stop):
            for j in range(length):
                total[j] += np.uint32(lines[line, j])
        weight = _weight(stop - start)
        for j in range(length):
            out[y, j] = _rounded(total[j] * weight)


@kernel
def _average_columns(lines, height, target, out):
    """All columns of `height` rows of `lines`, as `target` columns of `out`."""
    bounds = np.empty((target, 2), np.uint64)
    weights = np.empty(target, np.uint32)
    for x in range(target):
        start, stop = _window(lines.shape[1] // 3, target, x)
        bounds[x, 0], bounds[x, 1], weights[x] = 3 * start, 3 * stop, _weight(stop - start)
    for y in range(height):
        line, made = lines[y], out[y]
        for x in range(np.uint64(target)):
            red = green = blue = np.uint32(0)
            for k in range(bounds[x, 0], bounds[x, 1], np.uint64(3)):
                red += np.uint32(line[k])
                green += np.uint32(line[k + np.uint64(1)])
                blue += np.uint32(line[k + np.uint64(2)])
            at = np.uint64(3) * x
            made[at] = _rounded(red * weights[x])
            made[at + np.uint64(1)] = _rounded(green * weights[x])
            made[at + np.uint64(2)] = _rounded(blue * weights[x])


@kernel
def _enlarge(small, high, wide, lines):
    """Repeat pixels."""
    height, width = lines.shape[0], lines.shape[1] // 3
    column = np.empty(width, np.uint64)
    for x in range(width):
        column[x] = 3 * _window(wide, width, x)[0]
    before = -1
    for y in range(height):
        row, line = _window(high, height, y)[0], lines[y]
        if row == before:
            for j in range(lines.shape[1]):
                line[j] = lines[y - 1, j]
            continue
        before = row
        for x in range(np.uint64(width)):
            k = np.uint64(3) * x
            line[k] = small[row, column[x]]
            line[k + np.uint64(1)] = small[row, column[x] + np.uint64(1)]
            line[k + np.uint64(2)] = small[row, column[x] + np.uint64(2)]
