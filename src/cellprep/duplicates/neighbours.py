"""Pairs of images whose features are similar: the nearest neighbours of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions
from ..errors import require

__all__ = ["nearest", "nearest_pairs", "whitened"]

_BLOCK = 2048
_CELLS = 2**25
"""Similarities that are in memory at once."""
DIMENSIONS = 256
"""Features are reduced to at most this many components."""


def whitened(features: NDArray[np.float32], order: Positions | None = None) -> NDArray[np.float32]:
    """(n, k) unit vectors: principal components of equal variance, of the rows in this order.

    Features of a network have a few directions in which all images differ, such as how dark they
    are. Whitening gives all directions the same weight [1]_. Features may be memory-mapped: they
    are read in blocks.

    References
    ----------
    .. [1] H. Jégou, O. Chum. Negative evidences and co-occurrences in image retrieval: the benefit
       of PCA and whitening. ECCV 2012.
    """
    n, d = features.shape
    order = np.arange(n) if order is None else order
    blocks = [order[start : start + _BLOCK] for start in range(0, n, _BLOCK)]
    mean, covariance = np.zeros(d), np.zeros((d, d))
    for rows in blocks:
        mean += features[rows].sum(axis=0, dtype=np.float64) / n
    for rows in blocks:
        centred = features[rows] - mean
        covariance += centred.T @ centred / n
    variance, axes = np.linalg.eigh(covariance)
    useful = variance > variance.max(initial=0) * 1e-9
    most = min(DIMENSIONS, max(n - 1, 1))
    variance, axes = variance[useful][-most:], axes[:, useful][:, -most:]
    units = np.empty((n, len(variance)), np.float32)
    for start, rows in zip(range(0, n, _BLOCK), blocks, strict=True):
        scaled = (features[rows] - mean) @ (axes / np.sqrt(variance))
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        units[start : start + _BLOCK] = scaled / np.where(length > 0, length, 1)
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
    found, similar = nearest(units[first], units[second], min(k + 1, len(second)), index)
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


def nearest(
    queries: NDArray[np.float32], units: NDArray[np.float32], k: int, index: str
) -> tuple[Positions, NDArray[np.float32]]:
    """(m, k) positions of the k most similar units of each query, and their similarities."""
    return {"exact": _exact, "faiss": _faiss}[index](queries, units, k)


def _exact(
    queries: NDArray[np.float32], units: NDArray[np.float32], k: int
) -> tuple[Positions, NDArray[np.float32]]:
    found = np.empty((len(queries), k), np.int64)
    similar = np.empty((len(queries), k), np.float32)
    size = max(1, min(_BLOCK, _CELLS // max(len(units), 1)))
    for start in range(0, len(queries), size):
        block = queries[start : start + size] @ units.T
        best = np.argpartition(block, len(units) - k, axis=1)[:, len(units) - k :]
        found[start : start + size] = best
        similar[start : start + size] = np.take_along_axis(block, best, axis=1)
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
