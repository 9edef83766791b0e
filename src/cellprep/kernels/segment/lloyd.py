"""Lloyd's iterations for several features: passes over the points until no centre moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from .assignment import RUN, assign

Array = NDArray[Any]

# A centre that moves by less, in steps of the grid, is at rest.
_AT_REST = np.float32(1)


@kernel
def farthest(x: Array, centers: Array, counts: Array) -> int:
    """The point farthest from its nearest centre with points; -1 if all points lie on one."""
    point, most = -1, np.float32(0)
    for i in range(x.shape[1]):
        least = np.float32(np.inf)
        for c in range(centers.shape[0]):
            if counts[c]:
                distance = np.float32(0)
                for f in range(x.shape[0]):
                    gap = np.float32(x[f, i]) - centers[c, f]
                    distance += gap * gap
                least = min(least, distance)
        if least > most:
            point, most = i, least
    return point


@kernel
def lloyd(x: Array, centers: Array, sums: Array, counts: Array, max_iterations: int) -> float:
    """Move `centers` until none moves; returns the sum of squares, up to a constant."""
    n_features, n_points = x.shape
    totals = np.zeros(n_features, np.int64)
    for f in range(n_features):
        for start in range(0, n_points, RUN):
            row = x[f, start : start + RUN]
            total = np.int32(0)
            for i in range(len(row)):
                total += np.int32(row[i])
            totals[f] += total
    for _ in range(max_iterations):
        assign(x, centers, totals, sums, counts)
        moved = False
        for c in range(centers.shape[0]):
            if counts[c]:
                for f in range(n_features):
                    mean = np.float32(sums[c, f] / counts[c])
                    moved |= abs(mean - centers[c, f]) > _AT_REST
                    centers[c, f] = mean
        for c in range(centers.shape[0]):
            if not counts[c]:
                # An empty cluster restarts at the point farthest from its own centre.
                at = farthest(x, centers, counts)
                if at >= 0:
                    moved = True
                    counts[c] = 1
                    for f in range(n_features):
                        centers[c, f] = np.float32(x[f, at])
        if not moved:
            break
    inertia = 0.0
    for c in range(centers.shape[0]):
        for f in range(n_features):
            inertia -= sums[c, f] * (sums[c, f] / max(counts[c], 1))
    return inertia
