"""Lloyd's K-Means of every image's pixels, with deterministic starts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from .assignment import label_points
from .features import to_grid
from .intervals import cluster_line
from .starts import best_centers

Array = NDArray[Any]

_SAMPLE = 400  # points of the sample, for every two clusters, that starts are tried on


@kernel
def _cluster_one(
    features: Array, max_iterations: int, out_labels: Array, out_centers: Array
) -> None:
    """For one feature; separate, since it compiles in a tenth of the time."""
    n_images, n_points, _ = features.shape
    x = np.empty((1, n_points), np.int16)
    line = np.empty(out_centers.shape[1], np.float64)
    low, high = np.empty(1, np.float32), np.empty(1, np.float32)
    for n in range(n_images):
        scale = to_grid(features[n].ravel(), x, low, high)
        if scale == 0:
            out_labels[n] = 0
            out_centers[n] = low[0]
        else:
            cluster_line(x[0], line, out_labels[n], max_iterations)
            for c in range(len(line)):
                out_centers[n, c, 0] = low[0] + np.float32(line[c]) / scale


@kernel
def _cluster_several(
    features: Array, max_iterations: int, out_labels: Array, out_centers: Array
) -> None:
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
        scale = to_grid(features[n].ravel(), x, low, high)
        if scale == 0:
            labels[:] = 0
            for c in range(n_clusters):
                for f in range(n_features):
                    out_centers[n, c, f] = low[f]
            continue
        best_centers(x, sample, best, max_iterations)
        _rank_by_sum(best, rank)
        for c in range(n_clusters):
            for f in range(n_features):
                out_centers[n, rank[c], f] = low[f] + best[c, f] / scale
        label_points(x, best, rank, labels)


@kernel
def _rank_by_sum(centers: Array, rank: Array) -> None:
    """Rank centres by the sum of their features."""
    for c in range(len(centers)):
        below = 0
        for other in range(len(centers)):
            gap = np.float32(0)
            for f in range(centers.shape[1]):
                gap += centers[other, f] - centers[c, f]
            below += int(gap < 0 or (gap == 0 and other < c))
        rank[c] = below


def kmeans(
    features: NDArray[np.float32] | NDArray[np.uint8], n_clusters: int, max_iterations: int = 100
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Clusters of each image's pixels by Lloyd's algorithm [1]_.

    With several features, starting centres are slices across the axis of most variance, equally
    wide and equally full; for more than two clusters also slices across each feature, and points
    far apart. Each start is run on a few hundred pixels spread evenly over the image, the two best
    continue with all pixels, and the better one until its centres are at rest. One feature needs no
    sample: its clusters are intervals, and a pass costs a few differences of running sums. A
    cluster that becomes empty restarts at the pixel farthest from its centre.

    Parameters
    ----------
    features : (n, p, d) float32 or uint8
        Of any finite range; rounded to steps of 1/4095 of the range of the image's widest feature.
    n_clusters : int
        2 to 8.
    max_iterations : int
        Maximum number of passes over the pixels.

    Returns
    -------
    labels : (n, p) uint8
        0 to ``n_clusters - 1``.
    centers : (n, n_clusters, d) float32
        Ordered by the sum of their features: from dark to bright in a colour space. If an image
        has fewer colours than clusters, some clusters are empty; their centres coincide with
        others or keep their last position.

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
    find = _cluster_one if n_features == 1 else _cluster_several
    find(np.ascontiguousarray(features, kind), max_iterations, labels, centers)
    return labels, centers
