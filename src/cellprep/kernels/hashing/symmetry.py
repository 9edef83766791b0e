"""The eight flips and quarter turns of an image, and which of them makes two images equal.

A symmetry is a number: bit 4 transposes, then bit 2 flips top and bottom and bit 1 left and right.
`SYMMETRIES` names them as Pillow does; quarter turns are counterclockwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images
from ..compiling import kernel

IDENTITY = 0
INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)
"""The symmetry that undoes each."""


def symmetries_of(height: int, width: int) -> tuple[int, ...]:
    """The symmetries that preserve the shape: quarter turns only of squares."""
    return tuple(range(8 if height == width else 4))


def turned(images: Images, symmetry: int) -> Images:
    """A view of the images under a symmetry.

    >>> from cellprep.kernels import SYMMETRIES
    >>> image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    >>> turned(image, SYMMETRIES.index("rotate_90"))[0, ..., 0].tolist()
    [[1, 3], [0, 2]]
    """
    if symmetry & 4:
        images = images.swapaxes(1, 2)
    return images[:, :: -1 if symmetry & 2 else 1, :: -1 if symmetry & 1 else 1]


def after(first: int, then: int) -> int:
    """The symmetry equivalent to `first` followed by `then`.

    >>> from cellprep.kernels import SYMMETRIES
    >>> SYMMETRIES[after(SYMMETRIES.index("rotate_90"), SYMMETRIES.index("rotate_90"))]
    'rotate_180'
    """
    flips = first & 3
    if then & 4:
        flips = (flips >> 1) | ((flips & 1) << 1)
    return ((first ^ then) & 4) | (flips ^ (then & 3))


def invariants(images: Images) -> NDArray[np.uint64]:
    """(n,) uint64: equal for images that are equal under a symmetry, and hardly ever otherwise.

    A sum of all values, weighted by their channel and their distance from the nearest edges, which
    no symmetry changes.
    """
    _, height, width, _ = images.shape
    found = np.empty(len(images), np.uint64)
    line = np.outer(_weights(width), np.array([47, 53, 61])).astype(np.uint32).ravel()
    _invariants(images.reshape(len(images), height, 3 * width), _weights(height), line, found)
    return found


def _weights(side: int) -> NDArray[np.uint64]:
    """Pseudorandom weights 1 to 64 for each position on an axis, the same from either end."""
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]).astype(np.uint64)
    return (
        np.asarray(((distance + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(58)) + 1
    )


@kernel
def _invariants(images, down, line, found):
    for i in range(len(images)):
        total = np.uint64(0)
        for y in range(len(down)):
            row = images[i, y]
            for start in range(0, len(line), 4096):  # whose sum fits 32 bits
                values, weights = row[start : start + 4096], line[start : start + 4096]
                some = np.uint32(0)
                for x in range(len(weights)):
                    some = np.uint32(some + np.uint32(values[x]) * weights[x])
                total += np.uint64(some) * down[y]
        found[i] = total


def matching(images: Images, others: Images, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the first symmetry that turns `others[index]` into the image, -1 for none."""
    found = np.empty(len(images), np.int64)
    _, height, width, _ = images.shape
    images, others = np.ascontiguousarray(images), np.ascontiguousarray(others)
    _matching(images, others, index, np.array(symmetries_of(height, width)), found)
    return found


@kernel
def _matching(images, others, index, symmetries, found):
    n, height, width, _ = images.shape
    flat = images.reshape(n, height * width * 3)
    other_flat = others.reshape(len(others), height * width * 3)
    for i in range(n):
        found[i] = -1
        for symmetry in symmetries:
            if _equal(flat[i], other_flat[index[i]], height, width, symmetry):
                found[i] = symmetry
                break


@kernel
def _equal(image, other, height, width, symmetry):
    """Whether the other image, turned, equals the image; both are flat."""
    down, right = width, 1  # steps in the other image, in pixels, per step in the image
    start = 0
    if symmetry & 4:
        down, right = right, down
    if symmetry & 2:
        start += (height - 1) * down
        down = -down
    if symmetry & 1:
        start += (width - 1) * right
        right = -right
    step = 3 * right
    for y in range(height):
        line = image[y * width * 3 : (y + 1) * width * 3]
        at = 3 * (start + y * down)
        differ = np.uint8(0)
        for x in range(width):
            p, q = np.uint64(3 * x), np.uint64(at + x * step)
            differ |= line[p] ^ other[q]
            differ |= line[p + np.uint64(1)] ^ other[q + np.uint64(1)]
            differ |= line[p + np.uint64(2)] ^ other[q + np.uint64(2)]
        if differ:
            return False
    return True
