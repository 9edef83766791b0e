"""K-Means of one feature: clusters are intervals, and their sums differences of running sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from .features import GRID

Array = NDArray[Any]


@kernel
def cluster_line(x: Array, centers: Array, labels: Array, max_iterations: int) -> None:
    """Cluster one image's values `x` from equally full and equally wide intervals; keep the best.

    Interval c extends from ``ends[c]`` up to ``ends[c + 1]``.
    """
    n_clusters = len(centers)
    number = np.zeros(GRID + 2, np.int64)
    total = np.zeros(GRID + 2, np.int64)
    _running_sums(x, number, total)
    ends = np.zeros(n_clusters + 1, np.int64)
    best_ends = np.zeros(n_clusters + 1, np.int64)
    least = np.inf
    for even in range(2):
        _start(number, even, ends)
        for _ in range(max_iterations):
            empty = _means(number, total, ends, centers)
            if empty >= 0:
                _restart(number, ends, centers, empty)
            if not _move_ends(centers, ends):
                break
        inertia = _inertia(number, total, ends)
        if inertia < least:
            least = inertia
            for c in range(n_clusters + 1):  # a slice would compile for two seconds
                best_ends[c] = ends[c]
    _means(number, total, best_ends, centers)
    table = np.empty(GRID + 1, np.uint8)
    for c in range(n_clusters):
        table[best_ends[c] : best_ends[c + 1]] = c
    for i in range(len(x)):
        labels[i] = table[x[i]]


@kernel
def _running_sums(x: Array, number: Array, total: Array) -> None:
    """For each value of the grid, the number and the sum of all smaller points."""
    # Two tables, since neighbours often share a value and would wait for each other's count.
    counts = np.zeros((2, GRID + 1), np.int32)
    for i in range(len(x)):
        counts[i & 1, x[i]] += 1
    for value in range(GRID + 1):
        number[value + 1] = counts[0, value] + counts[1, value]
        total[value + 1] = total[value] + number[value + 1] * value
        number[value + 1] += number[value]


@kernel
def _start(number: Array, even: int, ends: Array) -> None:
    """Intervals that are equally wide or (`even` 0) equally full."""
    n_clusters, n_points = len(ends) - 1, number[GRID + 1]
    value = 0
    for c in range(n_clusters):
        ends[c] = value
        if even:
            value = (GRID + 1) * (c + 1) // n_clusters
        else:
            while value <= GRID and number[value] * n_clusters < n_points * (c + 1):
                value += 1
    ends[n_clusters] = GRID + 1


@kernel
def _means(number: Array, total: Array, ends: Array, centers: Array) -> int:
    """Write the means of the intervals, the middle of empty ones; returns the last empty, or -1."""
    empty = -1
    for c in range(len(centers)):
        low, high = ends[c], ends[c + 1]
        if number[high] > number[low]:
            centers[c] = (total[high] - total[low]) / (number[high] - number[low])
        else:
            centers[c] = 0.5 * (low + high - 1)
            empty = c
    return empty


@kernel
def _restart(number: Array, ends: Array, centers: Array, empty: int) -> None:
    """Move the centre of an empty interval to the value farthest from its own centre."""
    n_clusters = len(centers)
    farthest, most = 0.0, 0.0
    for c in range(n_clusters):
        for value in range(ends[c], ends[c + 1]):
            if number[value + 1] > number[value] and abs(value - centers[c]) > most:
                farthest, most = float(value), abs(value - centers[c])
    if most == 0:
        return
    # The others shift by one, so that centres remain sorted.
    while empty > 0 and centers[empty - 1] > farthest:
        centers[empty] = centers[empty - 1]
        empty -= 1
    while empty < n_clusters - 1 and centers[empty + 1] < farthest:
        centers[empty] = centers[empty + 1]
        empty += 1
    centers[empty] = farthest


@kernel
def _move_ends(centers: Array, ends: Array) -> bool:
    """Move the ends halfway between the centres; returns whether any changed."""
    changed = False
    for c in range(1, len(centers)):
        end = np.int64(0.5 * (centers[c - 1] + centers[c])) + 1
        changed |= end != ends[c]
        ends[c] = end
    return changed


@kernel
def _inertia(number: Array, total: Array, ends: Array) -> float:
    """The sum of squared distances to the means, up to a constant."""
    inertia = 0.0
    for c in range(len(ends) - 1):
        low, high = ends[c], ends[c + 1]
        if number[high] > number[low]:
            inertia -= (total[high] - total[low]) ** 2 / (number[high] - number[low])
    return inertia
