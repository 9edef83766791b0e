"""Starting centres for several features, deterministic: slices and points far apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from .lloyd import farthest, lloyd

Array = NDArray[Any]

_BINS = 256  # resolution of the slices across an axis
_TRIES = 10  # passes over the sample per start
# Starts whose sums of squares differ by less than the first factor led to the same result. The
# next best result still gets a few passes over all points, unless it is worse by the second.
_SAME, _CLOSE, _FEW = 0.995, 1.15, 4


@kernel
def _slice_centers(x: Array, along: Array, even: int, centers: Array) -> None:
    """Centres of k slices across `along`, equally wide or (`even` 0) equally full."""
    n_features, n_points = x.shape
    n_clusters = centers.shape[0]
    lowest, highest = along[0], along[0]
    for i in range(n_points):
        lowest = min(lowest, along[i])
        highest = max(highest, along[i])
    slices = np.zeros(_BINS, np.int32)
    step = np.float32(_BINS - 1) / max(highest - lowest, np.float32(1))
    for i in range(n_points):
        slices[np.int32((along[i] - lowest) * step)] += 1
    below = 0
    for value in range(_BINS):
        here = slices[value]
        if even:
            slices[value] = value * n_clusters // _BINS
        else:
            slices[value] = (2 * below + here) * n_clusters // (2 * n_points)
        below += here
    sums = np.zeros((n_clusters + 1, n_features), np.float64)
    counts = np.zeros(n_clusters, np.int64)
    for i in range(n_points):
        c = slices[np.int32((along[i] - lowest) * step)]
        counts[c] += 1
        for f in range(n_features):
            sums[c, f] += x[f, i]
            sums[n_clusters, f] += x[f, i]
    for c in range(n_clusters):
        for f in range(n_features):
            # An empty slice starts at the overall mean, so that no point is nearer to it.
            if counts[c]:
                centers[c, f] = np.float32(sums[c, f] / counts[c])
            else:
                centers[c, f] = np.float32(sums[n_clusters, f] / n_points)


@kernel
def _far_apart(x: Array, centers: Array) -> None:
    """Centres far apart: the first point, then repeatedly the point farthest from all."""
    counts = np.zeros(len(centers), np.int64)
    point = 0
    for c in range(len(centers)):
        for f in range(x.shape[0]):
            centers[c, f] = x[f, max(point, 0)]
        counts[c] = 1
        point = farthest(x, centers, counts)


@kernel
def _principal(x: Array, along: Array) -> None:
    """Project each point on the axis of most variance, found by power iteration."""
    n_features, n_points = x.shape
    mean = np.zeros(n_features)
    for f in range(n_features):
        total = 0
        for i in range(n_points):
            total += x[f, i]
        mean[f] = total / n_points
    spread = np.zeros((n_features, n_features))
    for f in range(n_features):
        for g in range(f + 1):
            total = 0
            for i in range(n_points):
                total += int(x[f, i]) * int(x[g, i])
            spread[f, g] = spread[g, f] = total / n_points - mean[f] * mean[g]
    axis = np.empty(n_features)
    widest = 0
    for f in range(n_features):
        if spread[f, f] > spread[widest, widest]:
            widest = f
    for f in range(n_features):
        axis[f] = spread[widest, f]
    other = np.empty(n_features)
    for _ in range(16):
        longest = 0.0
        for f in range(n_features):
            other[f] = 0
            for g in range(n_features):
                other[f] += spread[f, g] * axis[g]
            longest = max(longest, abs(other[f]))
        for f in range(n_features):
            axis[f] = other[f] / max(longest, 1e-30)
    for i in range(n_points):
        projection = np.float32(0)
        for f in range(n_features):
            projection += np.float32(axis[f]) * np.float32(x[f, i])
        along[i] = projection


@kernel
def _copy(into: Array, centers: Array) -> None:
    # `into[:] = centers` would compile for two seconds
    for c in range(into.shape[0]):
        for f in range(into.shape[1]):
            into[c, f] = centers[c, f]


@kernel
def best_centers(x: Array, sample: Array, best: Array, max_iterations: int) -> None:
    """Find centres for several features: all starts on a sample, the two best on all points."""
    n_features, n_points = sample.shape
    n_clusters = len(best)
    step = x.shape[1] // n_points
    centers, second = np.empty_like(best), np.empty_like(best)
    sums = np.empty(best.shape, np.int64)
    counts = np.empty(n_clusters, np.int64)
    along = np.empty(n_points, np.float32)
    squares = 0.0
    for f in range(n_features):
        for i in range(n_points):
            sample[f, i] = x[f, i * step]
            squares += float(sample[f, i]) * float(sample[f, i])
    least = next_least = np.inf
    # Nearly every start leads two clusters to the same result, but only a few lead three there.
    first_axis, last_axis = (-1, 0) if n_clusters == 2 else (-2, n_features)
    for axis in range(first_axis, last_axis):
        if axis == -1:
            _principal(sample, along)
        elif axis >= 0:
            for i in range(n_points):
                along[i] = sample[axis, i]
        for even in range(axis != -1, 2):
            if axis == -2:
                _far_apart(sample, centers)
            else:
                _slice_centers(sample, along, even, centers)
            left = squares + lloyd(sample, centers, sums, counts, min(_TRIES, max_iterations))
            if left < _SAME * least:
                next_least, least = least, left
                _copy(second, best)
                _copy(best, centers)
            elif left < least:
                least = left
                _copy(best, centers)
            elif left < next_least and least < _SAME * left:
                next_least = left
                _copy(second, centers)
    if next_least < _CLOSE * least:
        few = min(_FEW, max_iterations)
        if lloyd(x, second, sums, counts, few) < lloyd(x, best, sums, counts, few):
            _copy(best, second)
    lloyd(x, best, sums, counts, max_iterations)
