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
    _, height, width, _ = images.shape
    _thumbnails(images, *_shares(height), *_shares(width), small)
    return small


@functools.lru_cache(64)
def _shares(length: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(48,) the first pixel in each cell, and (48, most) how much of it and the next it covers.

    In units of 1/48 pixel: a cell is `length` long and a pixel 48.
    """
    starts = np.arange(SIDE) * length
    first = starts // SIDE
    most = int(((starts + length - 1) // SIDE - first).max()) + 1
    pixels = (first[:, None] + np.arange(most)) * SIDE
    covered = np.minimum(pixels + SIDE, starts[:, None] + length) - np.maximum(
        pixels, starts[:, None]
    )
    return first, np.maximum(covered, 0).astype(np.int32)


@kernel
def _thumbnails(images, top, down, left, across, small):
    n, height, width, _ = images.shape
    most_down, most_across = down.shape[1], across.shape[1]
    greys = np.zeros(width + most_across, np.int32)  # beyond the edge, nothing is covered
    lines = np.empty((height, SIDE), np.int32)
    total = np.empty(SIDE, np.int64)
    half, area = height * width // 2, np.float64(height * width)
    for i in range(n):
        for y in range(height):
            row = images[i, y]
            for x in range(width):
                greys[x] = luma_level(row[x, 0], row[x, 1], row[x, 2])
            for cell in range(SIDE):
                some = np.int32(0)
                for k in range(most_across):
                    some += greys[left[cell] + k] * across[cell, k]
                lines[y, cell] = some
        for cell in range(SIDE):
            total[:] = 0
            for k in range(min(most_down, height - top[cell])):
                share, line = np.int64(down[cell, k]), lines[top[cell] + k]
                for x in range(SIDE):
                    total[x] += share * line[x]
            for x in range(SIDE):  # rounds down to the same level as integers would
                small[i, cell, x] = np.uint8(np.float64(total[x] + half) / area)


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
    waves = cosines.T.copy()
    # Three windows, eight frequencies. All are whole numbers, which processors without AVX-512
    # multiply faster as floats.
    across = np.empty((SIDE, 24), np.float64)
    total = np.empty(24, np.float64)
    bits = np.empty(3, np.uint64)
    for i in range(len(small)):
        for y in range(SIDE):
            for move in range(3):
                values = small[i, y, move * step : move * step + length]
                for k in range(8):
                    some = np.int32(0)
                    for x in range(length):
                        some += np.int32(values[x]) * waves[k, x]
                    across[y, 8 * move + k] = some
        column = 1
        for down in range(3):
            bits[:] = 0
            for k in range(8):
                total[:] = 0
                for y in range(length):
                    cosine = np.float64(cosines[y, k])
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
