"""Pairs of images whose features are similar: the nearest neighbours of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions
from ..errors import require

_BLOCK = 2048
DIMENSIONS = 256
"""Features are reduced to at most this many components."""


def whitened(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, k) unit vectors: principal components of equal variance.

    Features of a network have a few directions in which all images differ, such as how dark they
    are. Whitening gives all directions the same weight [1]_.

    References
    ----------
    .. [1] H. Jégou, O. Chum. Negative evidences and co-occurrences in image retrieval: the benefit
       of PCA and whitening. ECCV 2012.
    """
    centred = np.asarray(features, np.float64) - features.mean(axis=0, dtype=np.float64)
    variance, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    useful = variance > variance.max(initial=0) * 1e-9
    most = min(DIMENSIONS, max(len(centred) - 1, 1))
    variance, axes = variance[useful][-most:], axes[:, useful][:, -most:]
    scaled = centred @ (axes / np.sqrt(variance))
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    units: NDArray[np.float32] = (scaled / np.where(length > 0, length, 1)).astype(np.float32)
    return units


def nearest_pairs(
    units: NDArray[np.float32], first: Positions, second: Positions, k: int, index: str
) -> tuple[Positions, Positions, NDArray[np.float32]]:
    """Pairs of a row of `first` and one of its k most similar rows of `second`, without repeats.

    Parameters
    ----------
    units : (n, d) float32 unit vectors
    first, second : (m,) int
        Rows of `units`; the same rows for pairs within one set.
    k : int
    index : "exact" or "faiss"
        "faiss" is a graph search of the library faiss: it misses some neighbours.

    Returns
    -------
    (p,) int, (p,) int, (p,) float32
        The pairs, and their cosine similarity, the most similar first.
    """
    search = {"exact": _exact, "faiss": _faiss}[index]
    found, similar = search(units[first], units[second], min(k + 1, len(second)))
    one, other = np.repeat(first, found.shape[1]), second[found.ravel()]
    similarity = similar.ravel()
    both = np.isin(one, second) & np.isin(other, first)
    low, high = (
        np.where(both, np.minimum(one, other), one),
        np.where(both, np.maximum(one, other), other),
    )
    order = np.lexsort((high, low, -similarity))
    order = order[((low != high) & (found.ravel() >= 0))[order]]  # faiss: -1 if it found fewer
    _, at = np.unique(np.stack([low, high], axis=1)[order], axis=0, return_index=True)
    kept = order[np.sort(at)]
    return low[kept], high[kept], similarity[kept]


def _exact(
    queries: NDArray[np.float32], units: NDArray[np.float32], k: int
) -> tuple[Positions, NDArray[np.float32]]:
    """Positions and similarities of the k most similar units of each query."""
    found = np.empty((len(queries), k), np.int64)
    similar = np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK] @ units.T
        best = np.argpartition(-block, k - 1, axis=1)[:, :k]
        found[start : start + _BLOCK] = best
        similar[start : start + _BLOCK] = np.take_along_axis(block, best, axis=1)
    return found, similar


def _faiss(
    queries: NDArray[np.float32], units: NDArray[np.float32], k: int
) -> tuple[Positions, NDArray[np.float32]]:
    faiss = require("faiss", "cellprep[review]")
    index = faiss.IndexHNSWFlat(units.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 80
    index.hnsw.efSearch = max(64, 2 * k)
    index.add(units)
    similar, found = index.search(queries, k)
    return found.astype(np.int64), similar
