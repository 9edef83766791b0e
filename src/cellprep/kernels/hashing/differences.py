"""Whether one image is a processed copy of another, decided by their thumbnails."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import SIDE
from ..compiling import kernel
from .scale import Scale
from .windows import Thumbnails

_SIGMA = 2.0  # of the blur whose remainder is the detail, in cells
_REACH = 5  # cells of the blur to each side


def details(small: Thumbnails) -> NDArray[np.float32]:
    """(n, 48, 48) float32: the detail of thumbnails, which a blur of two cells would remove."""
    taps = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / _SIGMA) ** 2)
    out = np.empty(small.shape, np.float32)
    _details(small, (taps / taps.sum()).astype(np.float32), out)
    return out


@kernel
def _details(small, taps, out):
    across = np.empty((SIDE, SIDE), np.float32)
    line = np.empty(SIDE + 2 * _REACH, np.float32)
    total = np.empty(SIDE, np.float32)
    for i in range(len(small)):
        # Each sum is over the taps in order; all sums of a line at a time, to use vector units.
        for y in range(SIDE):
            for x in range(len(line)):
                line[x] = small[i, y, min(max(x - _REACH, 0), SIDE - 1)]
            total[:] = 0
            for k in range(len(taps)):
                for x in range(SIDE):
                    total[x] += taps[k] * line[x + k]
            across[y] = total
        for y in range(SIDE):
            total[:] = 0
            for k in range(len(taps)):
                row = across[min(max(y + k - _REACH, 0), SIDE - 1)]
                for x in range(SIDE):
                    total[x] += taps[k] * row[x]
            for x in range(SIDE):
                out[i, y, x] = -total[x]
        # Without the finest detail, so that shifts by a fraction of a cell lose nothing.
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
    """(n, 2): detail and difference of pairs of images, in grey levels.

    The first image is turned, then shifted by whole cells, up to `step`, to where the two correlate
    best, and by a fraction of a cell along their gradients. Both get the same contrast. The result
    is the standard deviation of the detail and the root mean square of the difference.

    Parameters
    ----------
    first, second : (k, 48, 48) float32
        Results of `details`.
    pairs : (n, 3) int64
        Index in the first, index in the second, and the symmetry that turns the first.

    Returns
    -------
    (n, 2) float64
        The difference is infinite where nothing correlates.
    """
    found = np.empty((len(pairs), 2))
    _differences(first, second, pairs, step, found)
    return found


@kernel
def _differences(first, second, pairs, step, found):
    margin = step + 3  # the blur and the edge that is shifted in
    one = np.empty((SIDE, SIDE), np.float32)
    for i in range(len(pairs)):
        _turn(first[pairs[i, 0]], pairs[i, 2], one)
        two = second[pairs[i, 1]]
        best, best_y, best_x = 0.0, 0, 0
        for down in range(-step, step + 1):
            for move in range(-step, step + 1):
                correlation = _correlation(one, two, margin, down, move)
                if correlation > best:
                    best, best_y, best_x = correlation, down, move
        found[i, 0], found[i, 1] = 0.0, np.inf
        if best > 0.5:  # far below that of copies
            _compare(one, two, margin, best_y, best_x, found[i])


@kernel
def _overlap(margin, move):
    """Start and stop, along one axis of the second image, of its overlap with the shifted first."""
    return margin + max(0, -move), SIDE - margin - max(0, move)


@kernel
def _correlation(one, two, margin, down, move):
    """The correlation of two images, the first one shifted."""
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


@kernel
def _turn(image, symmetry, out):
    for y in range(SIDE):
        for x in range(SIDE):
            row = SIDE - 1 - y if symmetry & 2 else y
            column = SIDE - 1 - x if symmetry & 1 else x
            out[y, x] = image[column, row] if symmetry & 4 else image[row, column]


@kernel
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
    # The difference at contrast 1, minus what a shift along their gradients explains.
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


@kernel
def _slope(line, at):
    """12 times the derivative, exact for polynomials up to degree 4."""
    near = line[at + 1] - line[at - 1]
    return 8 * near - (line[at + 2] - line[at - 2])


def are_copies(found: NDArray[np.float64], scale: Scale, slack: float = 1.0) -> NDArray[np.bool_]:
    """(n,) whether the difference is at most `slack` times what processing causes.

    The difference may never exceed 0.35 of the detail, which is a correlation of 0.94.
    """
    detail, difference = found.T
    allowed = np.sqrt(scale.noise**2 + (scale.blur * detail) ** 2)
    return np.asarray(difference <= slack * np.minimum(allowed, 0.35 * detail))
