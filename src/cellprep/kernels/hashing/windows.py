"""Thumbnails, and perceptual hashes of windows of them.

All sums are of integers, so thumbnails and hashes turn with the image, bit for bit and on every
machine.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images
from .. import SIDE
from ..compiling import kernel
from ..levels import luma_level

Thumbnails = NDArray[np.uint8]
"""(n, 48, 48), mean luminance under each cell of a grid."""

_ONE = 1 << 12  # fixed-point scale of the cosines


def thumbnails(images: Images) -> Thumbnails:
    """(n, 48, 48) uint8: the mean luminance under each cell, for images of any size."""
    small = np.empty((len(images), SIDE, SIDE), np.uint8)
    _thumbnails(images, small)
    return small


@kernel
def _thumbnails(images, small):
    n, height, width, _ = images.shape
    line = np.empty(SIDE, np.int64)
    total = np.empty((SIDE, SIDE), np.int64)
    half = height * width // 2
    for i in range(n):
        total[:] = 0
        for y in range(height):
            line[:] = 0
            for x in range(width):
                red, green, blue = images[i, y, x, 0], images[i, y, x, 1], images[i, y, x, 2]
                grey = np.int64(luma_level(red, green, blue))
                # In units of 1/48 pixel, a cell is `width` long and a pixel 48.
                start, stop = x * SIDE, (x + 1) * SIDE
                cell = start // width
                while start < stop:
                    end = min(stop, (cell + 1) * width)
                    line[cell] += grey * (end - start)
                    start = end
                    cell += 1
            start, stop = y * SIDE, (y + 1) * SIDE
            cell = start // height
            while start < stop:
                end = min(stop, (cell + 1) * height)
                for x in range(SIDE):
                    total[cell, x] += line[x] * (end - start)
                start = end
                cell += 1
        for y in range(SIDE):
            for x in range(SIDE):
                small[i, y, x] = (total[y, x] + half) // (height * width)


def window_hashes(small: Thumbnails, step: int) -> NDArray[np.uint64]:
    """(n, 9) uint64: hashes of the centre of each thumbnail, and of windows `step` cells off.

    A hash consists of the signs of 63 low frequencies of a cosine transform, all but the mean.
    Column 0 is the centre: if two images are shifted against each other, the centre of one is a
    window of the other.
    """
    hashes = np.empty((len(small), 9), np.uint64)
    _window_hashes(small, step, _cosines(SIDE - 2 * step), hashes)
    return hashes


@functools.cache
def _cosines(length: int) -> NDArray[np.int32]:
    """(length, 8) int32; columns are exactly symmetric and antisymmetric in turn."""
    table = np.zeros((length, 8), np.int32)
    for k in range(8):
        for x in range(length // 2):
            table[x, k] = round(_ONE * math.cos(math.pi * k * (2 * x + 1) / (2 * length)))
            table[length - 1 - x, k] = table[x, k] if k % 2 == 0 else -table[x, k]
    return table


@kernel
def _window_hashes(small, step, cosines, hashes):
    length = len(cosines)
    across = np.empty((SIDE, 24), np.int32)  # three windows, eight frequencies
    total = np.empty(24, np.int64)
    bits = np.empty(3, np.uint64)
    for i in range(len(small)):
        across[:] = 0
        for y in range(SIDE):
            for move in range(3):
                sums = across[y, 8 * move : 8 * move + 8]
                for x in range(length):
                    value = np.int32(small[i, y, move * step + x])
                    for k in range(8):
                        sums[k] += value * cosines[x, k]
        column = 1
        for down in range(3):
            bits[:] = 0
            for k in range(8):
                total[:] = 0
                for y in range(length):
                    cosine = np.int64(cosines[y, k])
                    for m in range(24):
                        total[m] += cosine * across[down * step + y, m]
                for move in range(3):
                    for m in range(8):
                        positive = total[8 * move + m] > 0 and k + m > 0
                        bits[move] = (bits[move] << np.uint64(1)) | np.uint64(positive)
            for move in range(3):
                if down == 1 and move == 1:
                    hashes[i, 0] = bits[move]
                else:
                    hashes[i, column] = bits[move]
                    column += 1


def turned_hashes(hashes: NDArray[np.uint64], symmetry: int) -> NDArray[np.uint64]:
    """The window hashes of the turned images; the order of windows changes.

    A flip inverts the sign of every odd frequency; transposition exchanges their bits.
    """
    out = hashes
    if symmetry & 4:
        out = np.zeros_like(hashes)
        for k in range(8):
            for m in range(8):
                if k or m:
                    bit = (hashes >> _shift(m, k)) & np.uint64(1)
                    out = out | (bit << _shift(k, m))
    mask = 0
    for k in range(8):
        for m in range(8):
            if (symmetry & 2 and k % 2) != (symmetry & 1 and m % 2):
                mask |= 1 << int(_shift(k, m))
    return out ^ np.uint64(mask)


def _shift(k: int, m: int) -> np.uint64:
    """Position of the bit of a frequency, from the right."""
    return np.uint64(63 - 8 * k - m)
