"""Whether one image is a processed copy of another: small pictures, hashes of their windows, and
what differs between two of them.

The hashes propose, the difference decides. All sums are of whole numbers, so an image and its
mirror image have mirrored pictures and hashes, to the bit and on every machine.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ...arrays import Images
from .. import SIDE
from ..levels import luma_level

Thumbnails = NDArray[np.uint8]
"""(n, 48, 48), the mean luminance under each cell of a grid."""

_SHARE = 1 << 12  # fixed point of the cosines
_SPREAD = 2.0  # of the blur whose remainder is the detail, in cells
_REACH = 5  # cells of the blur to each side


@dataclass(frozen=True)
class Scale:
    """What follows from the size of the images.

    Attributes
    ----------
    step : int
        Two pixels, in cells of a thumbnail: how far two images are moved against each other.
    noise, blur : float
        What processing leaves: levels that differ for noise of sd 4 or JPEG quality 50, and the
        part of the detail that resizing to 90 % and back takes. A cell of a large image is a mean
        over pixels, that of a small one is not.
    """

    step: int
    noise: float
    blur: float

    @classmethod
    def of(cls, height: int, width: int) -> Scale:
        """For images of this size."""
        side = min(height, width)
        coarse = min(max(96 / side, 1.0), 3.5)
        return cls(min(max(1, round(2 * SIDE / side)), 6), 0.57 * coarse, 0.06 * coarse)


def thumbnails(images: Images) -> Thumbnails:
    """(n, 48, 48) uint8: the mean luminance under each cell, whatever the size of the images."""
    small = np.empty((len(images), SIDE, SIDE), np.uint8)
    _thumbnails(images, small)
    return small


@nb.njit(cache=True, nogil=True)
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
                # In units of a 48th of a pixel, a cell is `width` long and a pixel 48.
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


# -- hashes of windows --------------------------------------------------------------------------


def window_hashes(small: Thumbnails, step: int) -> NDArray[np.uint64]:
    """(n, 9) uint64: hashes of the middle of each thumbnail, and of windows `step` cells around.

    63 signs of the low frequencies of a cosine transform, all but the mean. Column 0 is the middle:
    where two images are moved against each other, the middle of one is a window of the other.
    """
    hashes = np.empty((len(small), 9), np.uint64)
    _window_hashes(small, step, _cosines(SIDE - 2 * step), hashes)
    return hashes


@functools.cache
def _cosines(length: int) -> NDArray[np.int32]:
    """(length, 8) int32, exactly symmetric and antisymmetric by turns."""
    table = np.zeros((length, 8), np.int32)
    for k in range(8):
        for x in range(length // 2):
            table[x, k] = round(_SHARE * math.cos(math.pi * k * (2 * x + 1) / (2 * length)))
            table[length - 1 - x, k] = table[x, k] if k % 2 == 0 else -table[x, k]
    return table


@nb.njit(cache=True, nogil=True)
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
        place = 1
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
                        mark = total[8 * move + m] > 0 and k + m > 0
                        bits[move] = (bits[move] << np.uint64(1)) | np.uint64(mark)
            for move in range(3):
                if down == 1 and move == 1:
                    hashes[i, 0] = bits[move]
                else:
                    hashes[i, place] = bits[move]
                    place += 1


def turned_hashes(hashes: NDArray[np.uint64], symmetry: int) -> NDArray[np.uint64]:
    """The window hashes of the turned images; their windows stand in another order.

    A flip changes the sign of every odd frequency, an exchange of rows and columns their places.
    """
    out = hashes
    if symmetry & 4:
        out = np.zeros_like(hashes)
        for k in range(8):
            for m in range(8):
                if k or m:
                    bit = (hashes >> _place(m, k)) & np.uint64(1)
                    out = out | (bit << _place(k, m))
    mask = 0
    for k in range(8):
        for m in range(8):
            if (symmetry & 2 and k % 2) != (symmetry & 1 and m % 2):
                mask |= 1 << int(_place(k, m))
    return out ^ np.uint64(mask)


def _place(k: int, m: int) -> np.uint64:
    """From the right, where the sign of a frequency stands."""
    return np.uint64(63 - 8 * k - m)


# -- differences --------------------------------------------------------------------------------


def details(small: Thumbnails) -> NDArray[np.float32]:
    """(n, 48, 48) float32: what a blur of two cells takes away."""
    taps = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / _SPREAD) ** 2)
    out = np.empty(small.shape, np.float32)
    _details(small, (taps / taps.sum()).astype(np.float32), out)
    return out


@nb.njit(cache=True, nogil=True)
def _details(small, taps, out):
    across = np.empty((SIDE, SIDE), np.float32)
    line = np.empty(SIDE + 2 * _REACH, np.float32)
    for i in range(len(small)):
        for y in range(SIDE):
            for x in range(len(line)):
                line[x] = small[i, y, min(max(x - _REACH, 0), SIDE - 1)]
            for x in range(SIDE):
                total = np.float32(0)
                for k in range(len(taps)):
                    total += taps[k] * line[x + k]
                across[y, x] = total
        for x in range(SIDE):
            for y in range(len(line)):
                line[y] = across[min(max(y - _REACH, 0), SIDE - 1), x]
            for y in range(SIDE):
                total = np.float32(0)
                for k in range(len(taps)):
                    total += taps[k] * line[y + k]
                out[i, y, x] = -total
        # Less what lies between the cells: a picture must move by parts of a cell without loss.
        for y in range(SIDE):
            above, below = max(y - 1, 0), min(y + 1, SIDE - 1)
            for x in range(SIDE):
                three = np.int32(small[i, above, x]) + 2 * small[i, y, x] + small[i, below, x]
                across[y, x] = three
        for y in range(SIDE):
            for x in range(SIDE):
                three = (
                    across[y, max(x - 1, 0)] + 2 * across[y, x] + across[y, min(x + 1, SIDE - 1)]
                )
                out[i, y, x] += three / np.float32(16)


def differences(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    pairs: NDArray[np.int64],
    step: int,
) -> NDArray[np.float64]:
    """(n, 2): the detail that two images share, and what differs of it, in grey levels.

    The first is turned; moved by whole cells, up to `step`, to where the two correlate best; and by
    what is left of a cell along their slopes. Both are brought to one contrast. The root of the
    mean square of what then differs is given beside that of the detail.

    Parameters
    ----------
    first, second : (k, 48, 48) float32
        As `details` makes them.
    pairs : (n, 3) int64
        A place in the first, one in the second, and the symmetry that turns the first.

    Returns
    -------
    (n, 2) float64
        Detail and difference; the difference is infinite where nothing correlates.
    """
    found = np.empty((len(pairs), 2))
    _differences(first, second, pairs, step, found)
    return found


@nb.njit(cache=True, nogil=True)
def _differences(first, second, pairs, step, found):
    margin = step + 3  # the blur and the edge that moves in
    one = np.empty((SIDE, SIDE), np.float32)
    for i in range(len(pairs)):
        _turn(first[pairs[i, 0]], pairs[i, 2], one)
        two = second[pairs[i, 1]]
        best, best_y, best_x = 0.0, 0, 0
        for down in range(-step, step + 1):
            for move in range(-step, step + 1):
                likeness = _likeness(one, two, margin, down, move)
                if likeness > best:
                    best, best_y, best_x = likeness, down, move
        found[i, 0], found[i, 1] = 0.0, np.inf
        if best > 0.5:  # far below what a copy has
            _compare(one, two, margin, best_y, best_x, found[i])


@nb.njit(cache=True, nogil=True)
def _overlap(margin, move):
    """The places of the second along one side that have one of the first beside them."""
    return margin + max(0, -move), SIDE - margin - max(0, move)


@nb.njit(cache=True, nogil=True)
def _likeness(one, two, margin, down, move):
    """The correlation of two pictures, the first moved."""
    top, bottom = _overlap(margin, down)
    left, right = _overlap(margin, move)
    a, b, aa, bb, ab = 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(top, bottom):
        line_one, line_two = one[y + down, left + move : right + move], two[y, left:right]
        for x in range(right - left):
            p, q = np.float64(line_one[x]), np.float64(line_two[x])
            a += p
            b += q
            aa += p * p
            bb += q * q
            ab += p * q
    count = (bottom - top) * (right - left)
    power = (aa - a * a / count) * (bb - b * b / count)
    return (ab - a * b / count) / np.sqrt(power) if power > 0 else 0.0


@nb.njit(cache=True, nogil=True)
def _turn(picture, symmetry, out):
    for y in range(SIDE):
        for x in range(SIDE):
            row = SIDE - 1 - y if symmetry & 2 else y
            column = SIDE - 1 - x if symmetry & 1 else x
            out[y, x] = picture[column, row] if symmetry & 4 else picture[row, column]


@nb.njit(cache=True, nogil=True)
def _compare(one, two, margin, down, move, found):
    top, bottom = _overlap(margin, down)
    left, right = _overlap(margin, move)
    count = (bottom - top) * (right - left)
    mean_a, mean_b, power_a, power_b = 0.0, 0.0, 0.0, 0.0
    for y in range(top, bottom):
        for x in range(left, right):
            a, b = one[y + down, x + move], two[y, x]
            mean_a += a
            mean_b += b
            power_a += a * a
            power_b += b * b
    mean_a, mean_b = mean_a / count, mean_b / count
    sd_a = np.sqrt(max(power_a / count - mean_a * mean_a, 1e-12))
    sd_b = np.sqrt(max(power_b / count - mean_b * mean_b, 1e-12))
    # The difference of the two at contrast 1, less what moving along their slopes explains.
    dd, dy, dx, yy, xx, xy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(top, bottom):
        for x in range(left, right):
            r, c = y + down, x + move
            d = (one[r, c] - mean_a) / sd_a - (two[y, x] - mean_b) / sd_b
            s_y = _slope(one[:, c], r) / sd_a + _slope(two[:, x], y) / sd_b
            s_x = _slope(one[r], c) / sd_a + _slope(two[y], x) / sd_b
            dd += d * d
            dy += d * s_y
            dx += d * s_x
            yy += s_y * s_y
            xx += s_x * s_x
            xy += s_x * s_y
    determinant = yy * xx - xy * xy
    explained = 0.0
    if determinant > 1e-9 * yy * xx:
        explained = (dy * dy * xx - 2 * dy * dx * xy + dx * dx * yy) / determinant
    detail = np.sqrt(sd_a * sd_b)
    found[0] = detail
    found[1] = detail * np.sqrt(max(dd - explained, 0.0) / count)


@nb.njit(cache=True, nogil=True)
def _slope(line, place):
    """Of a smooth line, exact up to its fourth power."""
    near = line[place + 1] - line[place - 1]
    return 8 * near - (line[place + 2] - line[place - 2])


def are_copies(found: NDArray[np.float64], scale: Scale, slack: float = 1.0) -> NDArray[np.bool_]:
    """(n,) whether what differs is no more than processing leaves; `slack` times it, if given.

    However fine the detail is, at most 0.35 of it may differ: a correlation of 0.94.
    """
    detail, difference = found.T
    allowed = np.sqrt(scale.noise**2 + (scale.blur * detail) ** 2)
    return np.asarray(difference <= slack * np.minimum(allowed, 0.35 * detail))
