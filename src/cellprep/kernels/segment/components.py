"""Connected components of packed masks: filling holes, keeping one component.

Neighbours are the four pixels that share a side. Components are joined from runs of equal bits,
which are far fewer than pixels. docs/design.md compares the speed with OpenCV's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from .bits import ALL, NONE, ONE, flip_span, lowest_one, ones_in_span

Array = NDArray[Any]


@kernel
def buffers_for_runs(size: int) -> tuple[Array, Array]:
    """Buffers for the runs of a mask of `size` words: their ends and their roots."""
    most = 32 * size + 1
    return np.empty(2 * most, np.int64), np.empty(most, np.int64)


@kernel
def _find(parent: Array, i: Any) -> Any:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def _find_runs(bits: Array, inverted: Any, runs: Any) -> int:
    """Number of runs of ones in ``bits ^ inverted``; their ends and components go to `runs`.

    Run i extends from ``end[2 * i]`` up to ``end[2 * i + 1]``, and ``root[i]`` is the first run of
    its component. Components are trees of runs whose roots have the smallest index
    [Rosenfeld 1966].
    """
    string, stride = bits.ravel(), 64 * bits.shape[1]
    end, root = runs
    ends = 0
    before = NONE
    for j in range(len(string)):
        word = string[j] ^ inverted
        edges = word ^ (word << 1 | before)
        before = word >> 63
        while edges:
            end[ends] = 64 * j + lowest_one(edges)
            edges &= edges - ONE
            ends += 1
    end[ends] = 64 * len(string)
    count = (ends + 1) // 2
    above = 0
    for i in range(count):
        root[i] = i
        start, stop = end[2 * i] - stride, end[2 * i + 1] - stride
        while end[2 * above + 1] <= start:
            above += 1
        j = above
        while j < i and end[2 * j] < stop:
            a, b = _find(root, i), _find(root, j)
            root[max(a, b)] = min(a, b)
            j += 1
    for i in range(count):
        root[i] = root[root[i]]
    return count


@kernel
def fill_holes(bits: Array, runs: Any) -> None:
    """Set all regions of zeros that do not reach the margin, which contains the first run."""
    string = bits.ravel()
    end, root = runs
    for i in range(_find_runs(bits, ALL, runs)):
        if root[i] > 0:
            flip_span(string, end[2 * i], end[2 * i + 1])


@kernel
def keep_heaviest(bits: Array, weights: Array, runs: Any) -> float:
    """Clear all components but the one with most pixels in the mask `weights`.

    Ties, such as no pixel in `weights` at all, go to the larger component, then to the first in
    reading order. Returns the component's share of the mask's pixels.
    """
    count = _find_runs(bits, NONE, runs)
    end, root = runs
    string, other = bits.ravel(), weights.ravel()
    area, weight = np.zeros(count, np.int64), np.zeros(count, np.int64)
    total = 0
    for i in range(count):
        start, stop = end[2 * i], end[2 * i + 1]
        area[root[i]] += stop - start
        total += stop - start
        weight[root[i]] += ones_in_span(other, start, stop)
    best = 0
    for i in range(count):
        if weight[i] > weight[best] or (weight[i] == weight[best] and area[i] > area[best]):
            best = i
    for i in range(count):
        if root[i] != best:
            flip_span(string, end[2 * i], end[2 * i + 1])
    return area[best] / total if count else 0.0
