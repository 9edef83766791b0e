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
_RUN = 1 << 18  # points whose sums an int32 holds
_BINS = 256  # of the slices across an axis
_SAMPLE = 400  # points for every two clusters to try a start on,
_TRIES = 10  # and passes over them
# Starts whose sums of squares differ by less come to the same end; the next best end is still
# tried, for a few passes over all points, unless it is so much worse.
_SAME, _CLOSE, _FEW = 0.995, 1.15, 4
_STILL = np.float32(1)  # a centre that moves by less, in steps of the grid, has come to rest


@nb.njit(cache=True, nogil=True)
def _nearest(x: Array, start: int, size: int, centers: Array, score: Array, label: Array) -> None:
    """The nearest centre of the points from `start` on, the first of equals.

    Half the squared distance to centre c less that to centre 0 is a plane through the features:
    so one cluster costs nothing, and two cost one plane.
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


@nb.njit(cache=True, nogil=True)
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


@nb.njit(cache=True, nogil=True)
def _plane(centers: Array, c: int) -> Any:
    """What `_nearest` takes from 0 for centre c: an offset and a weight for each of 3 features."""
    offset = np.float32(0)
    for f in range(3):
        offset += centers[c, f] * centers[c, f] - centers[0, f] * centers[0, f]
    return (
        offset * np.float32(0.5),
        centers[c, 0] - centers[0, 0],
        centers[c, 1] - centers[0, 1],
        centers[c, 2] - centers[0, 2],
    )


@nb.njit(cache=True, nogil=True, inline="always")
def _score(plane: Any, a: Any, b: Any, c: Any) -> Any:
    score = plane[0] - plane[1] * np.float32(a)
    score -= plane[2] * np.float32(b)
    return score - plane[3] * np.float32(c)


@nb.njit(cache=True, nogil=True)
def _assign_two(x: Array, centers: Array, sums: Array, counts: Array) -> None:
    """`_assign_tiles` for two centres and three features, in one loop."""
    plane, none = _plane(centers, 1), np.int32(0)
    for start in range(0, x.shape[1], _RUN):
        first, second, third = x[0, start:], x[1, start:], x[2, start:]
        count = one = two = three = none
        for i in range(min(_RUN, len(first))):
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


@nb.njit(cache=True, nogil=True)
def _assign_three(x: Array, centers: Array, sums: Array, counts: Array) -> None:
    """`_assign_tiles` for three centres and three features, in one loop."""
    plane, other, none = _plane(centers, 1), _plane(centers, 2), np.int32(0)
    for start in range(0, x.shape[1], _RUN):
        first, second, third = x[0, start:], x[1, start:], x[2, start:]
        count = one = two = three = none
        others = four = five = six = none
        for i in range(min(_RUN, len(first))):
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


@nb.njit(cache=True, nogil=True)
def _assign(x: Array, centers: Array, totals: Array, sums: Array, counts: Array) -> None:
    """One pass: how many points are nearest to each centre, and their sums."""
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
    # what is left is nearest to the first
    counts[0] = n_points
    for f in range(n_features):
        sums[0, f] = totals[f]
    for c in range(1, n_clusters):
        counts[0] -= counts[c]
        for f in range(n_features):
            sums[0, f] -= sums[c, f]


@nb.njit(cache=True, nogil=True)
def _label(x: Array, centers: Array, rank: Array, labels: Array) -> None:
    """The rank of each point's nearest centre."""
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


@nb.njit(cache=True, nogil=True)
def _farthest(x: Array, centers: Array, counts: Array) -> int:
    """The point farthest from its nearest centre, of those that have points; -1 if none is off."""
    place, most = -1, np.float32(0)
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
            place, most = i, least
    return place


@nb.njit(cache=True, nogil=True)
def _lloyd(x: Array, centers: Array, sums: Array, counts: Array, max_iterations: int) -> float:
    """Move `centers` until none moves; returns the sum of squares left, less a constant."""
    n_features, n_points = x.shape
    totals = np.zeros(n_features, np.int64)
    for f in range(n_features):
        for start in range(0, n_points, _RUN):
            row = x[f, start : start + _RUN]
            total = np.int32(0)
            for i in range(len(row)):
                total += np.int32(row[i])
            totals[f] += total
    for _ in range(max_iterations):
        _assign(x, centers, totals, sums, counts)
        moved = False
        for c in range(centers.shape[0]):
            if counts[c]:
                for f in range(n_features):
                    mean = np.float32(sums[c, f] / counts[c])
                    moved |= abs(mean - centers[c, f]) > _STILL
                    centers[c, f] = mean
        for c in range(centers.shape[0]):
            if not counts[c]:
                # an empty cluster starts anew at the point farthest from its own centre
                place = _farthest(x, centers, counts)
                if place >= 0:
                    moved = True
                    counts[c] = 1
                    for f in range(n_features):
                        centers[c, f] = np.float32(x[f, place])
        if not moved:
            break
    inertia = 0.0
    for c in range(centers.shape[0]):
        for f in range(n_features):
            inertia -= sums[c, f] * (sums[c, f] / max(counts[c], 1))
    return inertia


@nb.njit(cache=True, nogil=True)
def _start(x: Array, along: Array, even: int, centers: Array) -> None:
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
            slices[value] = value * n_clusters // (_BINS)
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
            # an empty slice starts on the mean of all, so that no point is nearer to it
            if counts[c]:
                centers[c, f] = np.float32(sums[c, f] / counts[c])
            else:
                centers[c, f] = np.float32(sums[n_clusters, f] / n_points)


@nb.njit(cache=True, nogil=True)
def _spread(x: Array, centers: Array) -> None:
    """Centres far from each other: the first point, then each time the farthest from all."""
    counts = np.zeros(len(centers), np.int64)
    place = 0
    for c in range(len(centers)):
        for f in range(x.shape[0]):
            centers[c, f] = x[f, max(place, 0)]
        counts[c] = 1
        place = _farthest(x, centers, counts)


@nb.njit(cache=True, nogil=True)
def _principal(x: Array, along: Array) -> None:
    """Each point's place along the axis of most variance, by power iteration."""
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
    axis[:] = spread[widest]
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
        place = np.float32(0)
        for f in range(n_features):
            place += np.float32(axis[f]) * np.float32(x[f, i])
        along[i] = place


@nb.njit(cache=True, nogil=True)
def _line(x: Array, centers: Array, labels: Array, max_iterations: int) -> None:
    """The same for one feature: clusters are intervals, their sums differences of running sums."""
    n_clusters = len(centers)
    number = np.zeros(_GRID + 2, np.int64)
    total = np.zeros(_GRID + 2, np.int64)
    # two tables, since neighbours often have one value and would wait for each other
    found = np.zeros((2, _GRID + 1), np.int32)
    for i in range(len(x)):
        found[i & 1, x[i]] += 1
    for value in range(_GRID + 1):
        number[value + 1] = found[0, value] + found[1, value]
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
def _extent(flat: Array, low: Array, high: Array) -> None:
    """The least and the most of each feature: by blocks, so that they are found side by side."""
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


@nb.njit(cache=True, nogil=True)
def _to_grid(flat: Array, x: Array, low: Array, high: Array) -> Any:
    """Features (p, d) as whole numbers `x` (d, p) in 0-4095; returns the steps in 1, 0 if flat."""
    n_features, n_points = x.shape
    _extent(flat, low, high)
    width = np.float32(0)
    for f in range(n_features):
        width = max(width, high[f] - low[f])
    if not width > 0:
        return np.float32(0)
    scale, half = np.float32(_GRID) / width, np.float32(0.5)
    if n_features == 3:
        # unsigned places of a known step: the compiler then loads whole registers
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


@nb.njit(cache=True, nogil=True)
def _search(x: Array, sample: Array, best: Array, max_iterations: int) -> None:
    """The centres `best` of several features: every start on a sample, the two best on all."""
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
    # two clusters come to the same end from nearly every start, three from one of a few
    first_axis, last_axis = (-1, 0) if n_clusters == 2 else (-2, n_features)
    for axis in range(first_axis, last_axis):
        if axis == -1:
            _principal(sample, along)
        elif axis >= 0:
            for i in range(n_points):
                along[i] = sample[axis, i]
        for even in range(axis != -1, 2):
            if axis == -2:
                _spread(sample, centers)
            else:
                _start(sample, along, even, centers)
            left = squares + _lloyd(sample, centers, sums, counts, min(_TRIES, max_iterations))
            if left < _SAME * least:
                next_least, least = least, left
                second[:] = best
                best[:] = centers
            elif left < least:
                least = left
                best[:] = centers
            elif left < next_least and least < _SAME * left:
                next_least = left
                second[:] = centers
    if next_least < _CLOSE * least:
        few = min(_FEW, max_iterations)
        if _lloyd(x, second, sums, counts, few) < _lloyd(x, best, sums, counts, few):
            best[:] = second
    _lloyd(x, best, sums, counts, max_iterations)


@nb.njit(cache=True, nogil=True)
def _lines(features: Array, max_iterations: int, out_labels: Array, out_centers: Array) -> None:
    """Of one feature: apart, since it compiles in a tenth of the time."""
    n_images, n_points, _ = features.shape
    x = np.empty((1, n_points), np.int16)
    line = np.empty(out_centers.shape[1], np.float64)
    low, high = np.empty(1, np.float32), np.empty(1, np.float32)
    for n in range(n_images):
        scale = _to_grid(features[n].ravel(), x, low, high)
        if scale == 0:
            out_labels[n] = 0
            out_centers[n] = low[0]
        else:
            _line(x[0], line, out_labels[n], max_iterations)
            for c in range(len(line)):
                out_centers[n, c, 0] = low[0] + np.float32(line[c]) / scale


@nb.njit(cache=True, nogil=True)
def _kmeans(features: Array, max_iterations: int, out_labels: Array, out_centers: Array) -> None:
    n_images, n_points, n_features = features.shape
    n_clusters = out_centers.shape[1]
    x = np.empty((n_features, n_points), np.int16)
    sample = np.empty(
        (n_features, n_points // max(1, n_points // (_SAMPLE * (n_clusters // 2)))), np.int16
    )
    best = np.empty((n_clusters, n_features), np.float32)
    low, high = np.empty(n_features, np.float32), np.empty(n_features, np.float32)
    rank = np.empty(n_clusters, np.uint8)
    for n in range(n_images):
        labels = out_labels[n]
        scale = _to_grid(features[n].ravel(), x, low, high)
        if scale == 0:
            labels[:] = 0
            for c in range(n_clusters):
                for f in range(n_features):
                    out_centers[n, c, f] = low[f]
            continue
        _search(x, sample, best, max_iterations)
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
        _label(x, best, rank, labels)


def kmeans(
    features: NDArray[np.float32] | NDArray[np.uint8], n_clusters: int, max_iterations: int = 100
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Clusters of each image's pixels by Lloyd's algorithm [1]_.

    Several features are started from slices across the axis of most variance, equally wide and
    equally full; more than two clusters also from slices across each feature and from points far
    from each other. Each start is run on a few hundred pixels spread evenly over the image, the
    two best go on with all, and the better until its centres rest. One feature alone needs no
    sample: its clusters are intervals, and a pass costs a few differences of running sums. A
    cluster that falls empty starts anew at the pixel farthest from its centre.

    Parameters
    ----------
    features : (n, p, d) float32 or uint8, any finite range; worked on in steps of 1/4095 of the
        range of the image's widest feature.
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
    kind = np.uint8 if features.dtype == np.uint8 else np.float32
    find = _lines if n_features == 1 else _kmeans
    find(np.ascontiguousarray(features, kind), max_iterations, labels, centers)
    return labels, centers
