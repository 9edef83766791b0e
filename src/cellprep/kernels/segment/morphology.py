"""Erosion and dilation of packed masks with a disc.

The disc consists of the offsets with dy^2 + dx^2 <= radius^2 + radius: a square of 3 for radius 1,
a square of 5 without its corners for radius 2. What lies beyond the border counts as set in erosion
and as clear in dilation, so a cell cut by the border is not eroded there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from .bits import empty_masks, pack

Array = NDArray[Any]


@kernel
def buffers_for_discs(h: int, w: int, margin: int) -> tuple[Array, Array, Array]:
    """A full mask and two buffers, for discs of a radius up to `margin`."""
    masks = empty_masks(3, h, w, margin)
    pack(np.ones((h, w), np.uint8), np.uint8(1), masks[0])
    return masks[0], masks[1], masks[2]


@kernel
def _union(string: Array, other: Array) -> None:
    for j in range(len(string)):
        string[j] |= other[j]


@kernel
def _union_shifted(string: Array, other: Array, by: int) -> None:
    """Add `other` shifted by `by` bits, once in each direction."""
    words, right = by >> 6, by & 63
    left = 63 - right  # one bit short, since shifting a word by 64 is undefined
    near, far = other[words:], other[words + 1 :]
    later = string[words + 1 :]
    for j in range(len(far)):
        string[j] |= near[j] >> right | far[j] << 1 << left
    for j in range(len(far)):
        later[j] |= other[j + 1] << right | other[j] >> 1 >> left


@kernel
def dilate(bits: Array, radius: int, discs: Any) -> None:
    """Set every pixel within a disc of a set one.

    A disc is a stack of row segments that widen towards its middle row. So the mask is widened
    along its rows step by step, and each step is added to the rows above and below.
    """
    words = bits.shape[1]
    string, image, line, spread = bits.ravel(), discs[0].ravel(), discs[1].ravel(), discs[2].ravel()
    size = len(string)
    for j in range(size):
        line[j], spread[j] = string[j], 0
    half = 0
    for off in range(radius, -1, -1):
        while (half + 1) * (half + 1) + off * off <= radius * radius + radius:
            half += 1
            _union_shifted(line, string, half)
        down = off * words
        _union(spread[: size - down], line[down:])
        _union(spread[down:], line[: size - down])
    for j in range(size):
        string[j] = spread[j] & image[j]


@kernel
def _invert(bits: Array, full: Array) -> None:
    string, image = bits.ravel(), full.ravel()
    for j in range(len(string)):
        string[j] ^= image[j]


@kernel
def erode(bits: Array, radius: int, discs: Any) -> None:
    """Clear every pixel within a disc of a clear one."""
    _invert(bits, discs[0])
    dilate(bits, radius, discs)
    _invert(bits, discs[0])
