"""Lloyd's K-Means of every image's pixels, started without any randomness.

Features are put on a grid of 4095 steps over the image's widest feature: sums are then whole
numbers, exact in any order, and the loops run in vector registers.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_GRID = 4095
_TILE = 512
_SAMPLE = 1024


@nb.njit(cache=True, nogil=True)
def _assign(x: Array, centers: Array, labels: Array, sums: Array, counts: Array) -> int:
    """One pass: nearest centre of every point, sums and counts per centre, labels changed."""
    n_features, n_points = x.shape
    score = np.empty(_TILE, np.float32)
    best = np.empty(_TILE, np.float32)
    label = np.empty(_TILE, np.int32)
    sums[:] = 0
    counts[:] = 0
    changed = 0
    for start in range(0, n_points, _TILE):
        size = min(_TILE, n_points - start)
        best[:] = np.inf
        for c in range(centers.shape[0]):
            # |x - c|^2 / 2 less |x|^2 / 2, which is the same for all centres
            offset = np.float32(0)
            for f in range(n_features):
                offset += centers[c, f] * centers[c, f]
            score[:] = offset * np.float32(0.5)
            for f in range(n_features):
                weight = centers[c, f]
                row = x[f, start : start + size]
                for i in range(size):
                    score[i] -= weight * np.float32(row[i])
            for i in range(size):
                nearer = score[i] < best[i]
                best[i] = score[i] if nearer else best[i]
                label[i] = np.int32(c) if nearer else label[i]
        old = labels[start : start + size]
        different = np.int32(0)
        for i in range(size):
            different += np.int32(label[i] != np.int32(old[i]))
            old[i] = np.uint8(label[i])
        changed += int(different)
        for c in range(centers.shape[0]):
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
    return changed


@nb.njit(cache=True, nogil=True)
def _lloyd(
    x: Array, centers: Array, labels: Array, sums: Array, counts: Array, max_iterations: int
) -> float:
    """Move `centers` and `labels` until no label changes; returns the sum of squares left."""
    for iteration in range(max_iterations):
        changed = _assign(x, centers, labels, sums, counts)
        if iteration and not changed:
            break
        for c in range(centers.shape[0]):
            for f in range(centers.shape[1]):
                if counts[c]:
                    centers[c, f] = np.float32(sums[c, f] / counts[c])
        for c in range(centers.shape[0]):
            if not counts[c]:
                # an empty cluster starts anew at the point farthest from its own centre
                farthest, most = 0, np.float32(0)
                for i in range(x.shape[1]):
                    distance = np.float32(0)
                    for f in range(x.shape[0]):
                        gap = np.float32(x[f, i]) - centers[labels[i], f]
                        distance += gap * gap
                    if distance > most:
                        farthest, most = i, distance
                if most > 0:
                    labels[farthest] = c
                    for f in range(x.shape[0]):
                        centers[c, f] = np.float32(x[f, farthest])
    inertia = 0.0
    for c in range(centers.shape[0]):
        for f in range(centers.shape[1]):
            inertia -= sums[c, f] * (sums[c, f] / max(counts[c], 1))
    return inertia


@nb.njit(cache=True, nogil=True)
def _start(
    x: Array, centers: Array, labels: Array, sums: Array, counts: Array, feature: int, even: int
) -> None:
    """Centres of k slices across one feature, equally wide or (`even` 0) equally full."""
    n_features, n_points = x.shape
    n_clusters = centers.shape[0]
    slices = np.zeros(_GRID + 1, np.int32)
    for i in range(n_points):
        slices[x[feature, i]] += 1
    lowest, highest = 0, _GRID
    while not slices[lowest]:
        lowest += 1
    while not slices[highest]:
        highest -= 1
    below = 0
    for value in range(lowest, highest + 1):
        here = slices[value]
        if even:
            slices[value] = (value - lowest) * n_clusters // (highest - lowest + 1)
        else:
            slices[value] = (2 * below + here) * n_clusters // (2 * n_points)
        below += here
    sums[:] = 0
    counts[:] = 0
    for i in range(n_points):
        c = slices[x[feature, i]]
        labels[i] = c
        counts[c] += 1
        for f in range(n_features):
            sums[c, f] += x[f, i]
    for c in range(n_clusters):
        for f in range(n_features):
            # an empty slice starts on the mean of all, so that no point is nearer to it
            if counts[c]:
                centers[c, f] = np.float32(sums[c, f] / counts[c])
            else:
                total = 0
                for other in range(n_clusters):
                    total += sums[other, f]
                centers[c, f] = np.float32(total / n_points)


@nb.njit(cache=True, nogil=True)
def _line(x: Array, centers: Array, labels: Array, max_iterations: int) -> None:
    """The same for one feature: clusters are intervals, their sums differences of running sums."""
    n_clusters = len(centers)
    number = np.zeros(_GRID + 2, np.int64)
    total = np.zeros(_GRID + 2, np.int64)
    for i in range(len(x)):
        number[x[i] + 1] += 1
    for value in range(_GRID + 1):
        total[value + 1] = total[value] + number[value + 1] * value
        number[value + 1] += number[value]
    ends = np.zeros(n_clusters + 1, np.int64)
    best_ends = np.zeros(n_clusters + 1, np.int64)
    least = np.inf
    for even in range(2):
        value = 0
        for c in range(n_clusters):
            ends[c] = value
            if even:
                value = (_GRID + 1) * (c + 1) // n_clusters
            else:
                while value <= _GRID and number[value] * n_clusters < len(x) * (c + 1):
                    value += 1
        ends[n_clusters] = _GRID + 1
        for _ in range(max_iterations):
            empty = -1
            for c in range(n_clusters):
                low, high = ends[c], ends[c + 1]
                if number[high] > number[low]:
                    centers[c] = (total[high] - total[low]) / (number[high] - number[low])
                else:
                    centers[c] = 0.5 * (low + high - 1)
                    empty = c
            if empty >= 0:
                farthest, most = 0.0, 0.0
                for c in range(n_clusters):
                    for value in range(ends[c], ends[c + 1]):
                        here = number[value + 1] > number[value]
                        if here and abs(value - centers[c]) > most:
                            farthest, most = float(value), abs(value - centers[c])
                if most > 0:
                    # put in where it keeps the order
                    while empty > 0 and centers[empty - 1] > farthest:
                        centers[empty] = centers[empty - 1]
                        empty -= 1
                    while empty < n_clusters - 1 and centers[empty + 1] < farthest:
                        centers[empty] = centers[empty + 1]
                        empty += 1
                    centers[empty] = farthest
            changed = False
            for c in range(1, n_clusters):
                end = np.int64(0.5 * (centers[c - 1] + centers[c])) + 1
                changed |= end != ends[c]
                ends[c] = end
            if not changed:
                break
        inertia = 0.0
        for c in range(n_clusters):
            low, high = ends[c], ends[c + 1]
            if number[high] > number[low]:
                inertia -= (total[high] - total[low]) ** 2 / (number[high] - number[low])
        if inertia < least:
            least = inertia
            for c in range(n_clusters + 1):
                best_ends[c] = ends[c]
    table = np.empty(_GRID + 1, np.uint8)
    for c in range(n_clusters):
        low, high = best_ends[c], best_ends[c + 1]
        table[low:high] = c
        centers[c] = (total[high] - total[low]) / max(number[high] - number[low], 1)
        if number[high] == number[low]:
            centers[c] = 0.5 * (low + high - 1)
    for i in range(len(x)):
        labels[i] = table[x[i]]


@nb.njit(cache=True, nogil=True)
def _kmeans(features: Array, max_iterations: int, out_labels: Array, out_centers: Array) -> None:
    n_images, n_points, n_features = features.shape
    n_clusters = out_centers.shape[1]
    step = max(1, n_points // _SAMPLE)
    x = np.empty((n_features, n_points), np.int16)
    sample = np.empty((n_features, (n_points + step - 1) // step), np.int16)
    sample_labels = np.zeros(sample.shape[1], np.uint8)
    centers = np.empty((n_clusters, n_features), np.float32)
    best = np.empty((n_clusters, n_features), np.float32)
    line = np.empty(n_clusters, np.float64)
    sums = np.empty((n_clusters, n_features), np.int64)
    counts = np.empty(n_clusters, np.int64)
    low = np.empty(n_features, np.float32)
    rank = np.empty(n_clusters, np.uint8)
    for n in range(n_images):
        image, labels = features[n], out_labels[n]
        width = np.float32(0)
        for f in range(n_features):
            lowest, highest = image[0, f], image[0, f]
            for i in range(n_points):
                lowest = min(lowest, image[i, f])
                highest = max(highest, image[i, f])
            low[f] = lowest
            width = max(width, highest - lowest)
        if not width > 0:
            labels[:] = 0
            for c in range(n_clusters):
                for f in range(n_features):
                    out_centers[n, c, f] = low[f]
            continue
        scale = np.float32(_GRID) / width
        for f in range(n_features):
            row = x[f]
            for i in range(n_points):
                row[i] = np.int16((image[i, f] - low[f]) * scale + np.float32(0.5))
        if n_features == 1:
            _line(x[0], line, labels, max_iterations)
            for c in range(n_clusters):
                out_centers[n, c, 0] = low[0] + np.float32(line[c]) / scale
            continue
        for f in range(n_features):
            for i in range(sample.shape[1]):
                sample[f, i] = x[f, i * step]
        least = np.inf
        for f in range(n_features):
            for even in range(2):
                _start(sample, centers, sample_labels, sums, counts, f, even)
                left = _lloyd(sample, centers, sample_labels, sums, counts, max_iterations)
                if left < least:
                    least = left
                    for c in range(n_clusters):
                        for g in range(n_features):
                            best[c, g] = centers[c, g]
        _lloyd(x, best, labels, sums, counts, max_iterations)
        for c in range(n_clusters):
            place = 0
            for other in range(n_clusters):
                gap = np.float32(0)
                for f in range(n_features):
                    gap += best[other, f] - best[c, f]
                place += int(gap < 0 or (gap == 0 and other < c))
            rank[c] = place
            for f in range(n_features):
                out_centers[n, place, f] = low[f] + best[c, f] / scale
        for i in range(n_points):
            labels[i] = rank[labels[i]]


def kmeans(
    features: NDArray[np.float32], n_clusters: int, max_iterations: int = 100
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Clusters of each image's pixels by Lloyd's algorithm [1]_.

    The starts are slices across each feature, equally wide and equally full; each is run to its
    end on about a thousand pixels spread evenly over the image, and the best goes on with all
    pixels until no pixel changes its cluster. One feature alone needs no sample: its clusters are
    intervals, and a pass costs a few differences of running sums. A cluster that falls empty
    starts anew at the pixel farthest from its centre.

    Parameters
    ----------
    features : (n, p, d) float32, any finite range; worked on in steps of 1/4095 of the range of
        the image's widest feature.
    n_clusters : 2 to 8.
    max_iterations : passes over the pixels at most.

    Returns
    -------
    labels : (n, p) uint8, 0 to ``n_clusters - 1``.
    centers : (n, n_clusters, d) float32, ordered by the sum of their features, which is dark to
        bright in a space of colours. Where an image has fewer colours than clusters, some
        clusters are empty and their centres stand on another's or where they were left.

    References
    ----------
    .. [1] S. Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28 (1982).

    Examples
    --------
    >>> import numpy as np
    >>> labels, centers = kmeans(np.float32([[[9], [0], [6], [1]]]), 2)
    >>> labels.tolist(), centers.round(2).ravel().tolist()
    ([[1, 0, 1, 0]], [0.5, 7.5])
    """
    if not 2 <= n_clusters <= 8:
        raise ValueError(f"`n_clusters` must be in [2, 8], got {n_clusters}.")
    if max_iterations < 1:
        raise ValueError(f"`max_iterations` must be at least 1, got {max_iterations}.")
    n_images, n_points, n_features = features.shape
    labels = np.empty((n_images, n_points), np.uint8)
    centers = np.empty((n_images, n_clusters, n_features), np.float32)
    _kmeans(np.ascontiguousarray(features, np.float32), max_iterations, labels, centers)
    return labels, centers
