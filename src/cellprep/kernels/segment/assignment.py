"""Each point's nearest centre: counts and sums for K-Means, and the final labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel

Array = NDArray[Any]

_TILE = 512
RUN = 1 << 18  # points whose sum fits an int32


@kernel
def _nearest(x: Array, start: int, size: int, centers: Array, score: Array, label: Array) -> None:
    """Write the nearest centre of each point from `start` on; ties go to the first.

    Half the squared distance to centre c minus that to centre 0 is linear in the features, so
    n clusters cost n - 1 linear functions.
    """
    n_features = x.shape[0]
    best = np.empty(_TILE, np.float32)
    best[:] = 0
    label[:] = 0
    for c in range(1, centers.shape[0]):
        offset = np.float32(0)
        for f in range(n_features):
            offset += centers[c, f] * centers[c, f] - centers[0, f] * centers[0, f]
        score[:] = offset * np.float32(0.5)
        for f in range(n_features):
            weight = centers[c, f] - centers[0, f]
            row = x[f, start : start + size]
            for i in range(size):
                score[i] -= weight * np.float32(row[i])
        for i in range(size):
            nearer = score[i] < best[i]
            best[i] = score[i] if nearer else best[i]
            label[i] = np.int32(c) if nearer else label[i]


@kernel
def _assign_tiles(x: Array, centers: Array, sums: Array, counts: Array) -> None:
    n_features, n_points = x.shape
    score = np.empty(_TILE, np.float32)
    label = np.empty(_TILE, np.int32)
    for start in range(0, n_points, _TILE):
        size = min(_TILE, n_points - start)
        _nearest(x, start, size, centers, score, label)
        for c in range(1, len(centers)):
            count = np.int32(0)
            for i in range(size):
                count += np.int32(label[i] == c)
            counts[c] += count
            for f in range(n_features):
                row = x[f, start : start + size]
                total = np.int32(0)
                for i in range(size):
                    total += np.int32(row[i]) if label[i] == c else np.int32(0)
                sums[c, f] += total


@kernel
def _plane(centers: Array, c: int) -> Any:
    """Coefficients of the linear function in `_nearest` for centre c: offset and 3 weights."""
    offset = np.float32(0)
    for f in range(3):
        offset += centers[c, f] * centers[c, f] - centers[0, f] * centers[0, f]
    return (
        offset * np.float32(0.5),
        centers[c, 0] - centers[0, 0],
        centers[c, 1] - centers[0, 1],
        centers[c, 2] - centers[0, 2],
    )


@kernel(inline="always")
def _score(plane: Any, a: Any, b: Any, c: Any) -> Any:
    score = plane[0] - plane[1] * np.float32(a)
    score -= plane[2] * np.float32(b)
    return score - plane[3] * np.float32(c)


@kernel
def _assign_two(x: Array, centers: Array, sums: Array, counts: Array) -> None:
    """`_assign_tiles` for two centres and three features, in a single loop."""
    plane, none = _plane(centers, 1), np.int32(0)
    for start in range(0, x.shape[1], RUN):
        first, second, third = x[0, start:], x[1, start:], x[2, start:]
        count = one = two = three = none
        for i in range(min(RUN, len(first))):
            a, b, c = first[i], second[i], third[i]
            mine = _score(plane, a, b, c) < 0
            count += np.int32(mine)
            one += np.int32(a) if mine else none
            two += np.int32(b) if mine else none
            three += np.int32(c) if mine else none
        counts[1] += count
        sums[1, 0] += one
        sums[1, 1] += two
        sums[1, 2] += three


@kernel
def _assign_three(x: Array, centers: Array, sums: Array, counts: Array) -> None:
    """`_assign_tiles` for three centres and three features, in a single loop."""
    plane, other, none = _plane(centers, 1), _plane(centers, 2), np.int32(0)
    for start in range(0, x.shape[1], RUN):
        first, second, third = x[0, start:], x[1, start:], x[2, start:]
        count = one = two = three = none
        others = four = five = six = none
        for i in range(min(RUN, len(first))):
            a, b, c = first[i], second[i], third[i]
            here, there = _score(plane, a, b, c), _score(other, a, b, c)
            its = there < min(here, np.float32(0))
            mine = (here < 0) & (not its)
            count += np.int32(mine)
            one += np.int32(a) if mine else none
            two += np.int32(b) if mine else none
            three += np.int32(c) if mine else none
            others += np.int32(its)
            four += np.int32(a) if its else none
            five += np.int32(b) if its else none
            six += np.int32(c) if its else none
        counts[1] += count
        sums[1, 0] += one
        sums[1, 1] += two
        sums[1, 2] += three
        counts[2] += others
        sums[2, 0] += four
        sums[2, 1] += five
        sums[2, 2] += six


@kernel
def assign(x: Array, centers: Array, totals: Array, sums: Array, counts: Array) -> None:
    """One pass: the number of points nearest to each centre, and their sums."""
    n_features, n_points = x.shape
    n_clusters = centers.shape[0]
    sums[:] = 0
    counts[:] = 0
    if n_features == 3 and n_clusters == 2:
        _assign_two(x, centers, sums, counts)
    elif n_features == 3 and n_clusters == 3:
        _assign_three(x, centers, sums, counts)
    else:
        _assign_tiles(x, centers, sums, counts)
    # All other points are nearest to the first centre.
    counts[0] = n_points
    for f in range(n_features):
        sums[0, f] = totals[f]
    for c in range(1, n_clusters):
        counts[0] -= counts[c]
        for f in range(n_features):
            sums[0, f] -= sums[c, f]


@kernel
def label_points(x: Array, centers: Array, rank: Array, labels: Array) -> None:
    """Write the rank of each point's nearest centre."""
    first, second, third = x[0], x[min(1, len(x) - 1)], x[len(x) - 1]
    if len(x) == 3 and len(centers) == 2:
        plane, zero, one = _plane(centers, 1), rank[0], rank[1]
        for i in range(len(first)):
            mine = _score(plane, first[i], second[i], third[i]) < 0
            labels[i] = one if mine else zero
    elif len(x) == 3 and len(centers) == 3:
        plane, other = _plane(centers, 1), _plane(centers, 2)
        zero, one, two = rank[0], rank[1], rank[2]
        for i in range(len(first)):
            here = _score(plane, first[i], second[i], third[i])
            there = _score(other, first[i], second[i], third[i])
            nearer = one if here < 0 else zero
            labels[i] = two if there < min(here, np.float32(0)) else nearer
    else:
        score, label = np.empty(_TILE, np.float32), np.empty(_TILE, np.int32)
        for start in range(0, len(first), _TILE):
            size = min(_TILE, len(first) - start)
            _nearest(x, start, size, centers, score, label)
            for i in range(size):
                labels[start + i] = rank[label[i]]
