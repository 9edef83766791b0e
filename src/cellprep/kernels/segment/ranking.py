"""Clusters numbered by darkness or purple, whatever order K-Means returns them in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from .spaces import scores_of

Array = NDArray[Any]


def rank_clusters(
    labels: NDArray[np.uint8],
    centers: NDArray[np.float32],
    space: str,
    pixels: NDArray[np.uint8],
    images: NDArray[np.uint8],
    by: str,
) -> None:
    """Replace labels (n, p) of some pixels (n, p, 3) of images by ranks, the lowest score first.

    `by` is "dark" or "purple"; clusters found in that space are in order already.
    """
    n_clusters = centers.shape[1]
    if space == by:
        _skip_empty(labels, n_clusters)
    else:
        colors = centers if space == "rgb" else _mean_colors(pixels, labels, n_clusters)
        _rank_by(scores_of(images, colors, by == "dark"), labels)


@kernel
def _mean_colors(pixels: Array, labels: Array, n_clusters: int) -> Array:
    """The mean colour of each image's clusters (n, k, 3); 0 for empty ones."""
    n, n_points = labels.shape
    out = np.zeros((n, n_clusters, 3), np.float32)
    # Four tables, since most neighbours share a label and would wait for each other's sum.
    totals, counts = np.empty((4, n_clusters, 3), np.int64), np.empty((4, n_clusters), np.int64)
    for i in range(n):
        totals[:] = 0
        counts[:] = 0
        flat = pixels[i]
        for p in range(n_points):
            counts[p & 3, labels[i, p]] += 1
            for c in range(3):
                totals[p & 3, labels[i, p], c] += flat[p, c]
        total, count = totals.sum(axis=0), counts.sum(axis=0)
        for cluster in range(n_clusters):
            for c in range(3):
                out[i, cluster, c] = total[cluster, c] / max(count[cluster], 1)
    return out


@kernel
def _rank_by(scores: Array, labels: Array) -> None:
    """Number clusters by their scores (n, k); the lowest that is not empty becomes 0."""
    n_clusters = scores.shape[1]
    counts = np.empty(n_clusters, np.int32)
    for n in range(len(labels)):
        row = labels[n]
        for c in range(n_clusters):
            count = np.int32(0)
            for p in range(len(row)):
                count += np.int32(row[p] == c)
            counts[c] = count
        old = row.copy()
        for c in range(n_clusters):
            rank = 0
            for d in range(n_clusters):
                gap = scores[n, d] - scores[n, c]
                rank += counts[c] > 0 and counts[d] > 0 and (gap < 0 or (gap == 0 and d < c))
            new = np.uint8(rank)
            for p in range(len(row)):
                row[p] = new if old[p] == c else row[p]


@kernel
def _skip_empty(labels: Array, n_clusters: int) -> None:
    """Renumber clusters that are in order already without the empty ones."""
    rank = np.empty(n_clusters, np.uint8)
    for n in range(len(labels)):
        row = labels[n]
        used = 0
        for c in range(n_clusters):
            rank[c] = used
            count = np.int32(0)
            for p in range(len(row)):
                count += np.int32(row[p] == c)
            used += int(count > 0)
        if used < n_clusters:
            for p in range(len(row)):
                row[p] = rank[row[p]]
