"""Random numbers within an image, all from its seed, and Gaussian noise, compiled.

Number i of an image is the i-th output of splitmix64 [1]_ started at its seed, so it depends on the
seed and i alone.

References
----------
.. [1] G. Steele, D. Lea, C. Flood. Fast splittable pseudorandom number generators. OOPSLA 2014.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Keys, Positions
from .. import splitmix
from ..compiling import kernel
from ..levels import to_level

_GOLDEN = splitmix.GOLDEN
_mix: Any = nb.njit(splitmix.mix, inline="always")
_STEPS = 4096
_BLOCK = np.uint64(256)
"""Numbers, of four deviates each, that `gaussian_noise` computes at a time."""


def _quantiles() -> NDArray[np.float32]:
    """Quantiles of the normal distribution at the centres of equal intervals, with variance 1."""
    middles = ((np.arange(_STEPS) + 0.5) / _STEPS).tolist()
    values = np.array([NormalDist().inv_cdf(part) for part in middles])
    return np.asarray(values / values.std(), np.float32)


_NORMAL = _quantiles()


@kernel(inline="always")
def number(seed, i):
    """Number i, 64 random bits."""
    return _mix(seed + _GOLDEN * np.uint64(i + 1))


@kernel
def unit(seed, i):
    """Number i in [0, 1)."""
    return np.float64(number(seed, i) >> np.uint64(11)) * 2.0**-53


@kernel
def numbers(seeds: Keys, count: int) -> Keys:
    """(m, count) uint64: the first numbers of every seed."""
    out = np.empty((len(seeds), count), np.uint64)
    for row in range(len(seeds)):
        for i in range(count):
            out[row, i] = number(seeds[row], i)
    return out


def units(seeds: Keys, count: int) -> NDArray[np.float64]:
    """(m, count) float64: the same in [0, 1)."""
    return np.asarray((numbers(seeds, count) >> np.uint64(11)) * 2.0**-53)


@kernel
def gaussian_noise(images: Images, rows: Positions, sd: NDArray[Any], seeds: Keys) -> None:
    """Add normal noise to every value of some images, in place.

    `sd` is a fraction of the full range. Deviates come from 4096 quantiles of the distribution, up
    to 3.66 standard deviations: the steps between them are finer than a level.
    """
    bits = np.empty(_BLOCK, np.uint64)
    deviates = np.empty(4 * _BLOCK, np.float32)
    for i in range(len(rows)):
        flat = images[rows[i]].reshape(images[0].size)
        scaled = np.float32(255) * np.float32(sd[i]) * _NORMAL
        # in three loops: only the second cannot use vector registers
        for first in range(np.uint64(0), np.uint64(len(flat)), np.uint64(4 * _BLOCK)):
            for j in range(_BLOCK):
                bits[j] = number(seeds[i], first // np.uint64(4) + j)
            for j in range(_BLOCK):
                for k in range(4):
                    step = (bits[j] >> np.uint64(16 * k)) & np.uint64(_STEPS - 1)
                    deviates[np.uint64(4) * j + np.uint64(k)] = scaled[step]
            levels = flat[first : first + np.uint64(4 * _BLOCK)]
            for j in range(np.uint64(len(levels))):
                levels[j] = to_level(np.float32(levels[j]) + deviates[j])
