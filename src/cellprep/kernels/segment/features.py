"""Features as integers on a grid of 4095 steps over the image's widest feature.

Sums of integers are exact in any order, and loops over int16 vectorise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel

Array = NDArray[Any]

GRID = 4095


@kernel
def _extent(flat: Array, low: Array, high: Array) -> None:
    """Minimum and maximum of each feature, by blocks, which vectorises."""
    n_features = len(low)
    size = 64 * n_features
    least, most = flat[:size].copy(), flat[:size].copy()
    for start in range(0, len(flat), size):
        block = flat[start : start + size]
        for i in range(len(block)):
            least[i] = block[i] if block[i] < least[i] else least[i]
            most[i] = block[i] if block[i] > most[i] else most[i]
    for f in range(n_features):
        low[f], high[f] = least[f], most[f]
        for i in range(f, len(least), n_features):
            low[f] = min(low[f], least[i])
            high[f] = max(high[f], most[i])


@kernel
def to_grid(flat: Array, x: Array, low: Array, high: Array) -> Any:
    """Write features (p, d) to `x` (d, p) as 0-4095; returns steps per unit, 0 if constant."""
    n_features, n_points = x.shape
    _extent(flat, low, high)
    width = np.float32(0)
    for f in range(n_features):
        width = max(width, high[f] - low[f])
    if not width > 0:
        return np.float32(0)
    scale, half = np.float32(GRID) / width, np.float32(0.5)
    if n_features == 3:
        # Unsigned indices with a constant stride let the compiler load whole registers.
        first, second, third = x[0], x[1], x[2]
        for i in range(n_points):
            at = np.uint64(3) * np.uint64(i)
            first[i] = np.int16((np.float32(flat[at]) - low[0]) * scale + half)
            second[i] = np.int16((np.float32(flat[at + np.uint64(1)]) - low[1]) * scale + half)
            third[i] = np.int16((np.float32(flat[at + np.uint64(2)]) - low[2]) * scale + half)
    else:
        for f in range(n_features):
            row, lowest = x[f], low[f]
            for i in range(n_points):
                row[i] = np.int16((np.float32(flat[i * n_features + f]) - lowest) * scale + half)
    return scale
