"""Probabilities shared among images that a model finds alike, without their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import CellprepError, Dataset

from ..models.build import backbone_layers

NEAREST = 10
"""How many images each image is compared with."""
FEWEST = 32
"""Fewest images whose probabilities are shared."""
MOST = 0.95
"""Largest weight. At 1 nothing would be left of an image's own probabilities."""
_BLOCK = 256
_PRECISION = 1e-6


def share(
    probabilities: NDArray[np.float64], features: Sequence[NDArray[np.float32]], weight: float
) -> NDArray[np.float64]:
    """The probabilities of each image, mixed with those of the images most like it [1]_.

    Each image is connected with the 10 whose features have the largest cosine to its own, and with
    those that count it among their 10. The result is the fixed point of
    f = (1 - weight) * probabilities + weight * S f, where S has the cosines, divided by the roots
    of their sums over both images; each row is then scaled to a sum of 1. Memory grows with the
    number of images, time with its square.

    Parameters
    ----------
    probabilities : (n, classes)
    features : sequence of (n, any) float32
        Those of each model. With several models the cosines are averaged.
    weight : float
        In [0, 0.95].

    References
    ----------
    .. [1] D. Zhou et al. Learning with local and global consistency. NeurIPS 2004.

    Examples
    --------
    >>> share(np.eye(2), [np.ones((2, 1), np.float32)], 0.5).round(3).tolist()
    [[0.667, 0.333], [0.333, 0.667]]
    """
    similar = _similar(features)
    found = probabilities
    for _ in range(math.ceil(math.log(_PRECISION, weight)) if weight else 0):
        found = (1 - weight) * probabilities + weight * (similar @ found)
    scaled: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return scaled


def with_features(model: Any) -> Any:
    """A model with the features and the probabilities of the given one side by side.

    The features are what its head starts from. A model without the head of `build` has none, so the
    probabilities are taken for them.
    """
    import keras

    side_by_side = keras.layers.Concatenate(dtype="float32")
    features = backbone_layers(model)[-1].output
    return keras.Model(model.input, side_by_side([features, model.output]), name=model.name)


def check_neighbors(model: Any, dataset: Dataset, name: str) -> None:
    """Refuse a model whose features are out of reach, and fewer than 32 images."""
    if len(dataset) < FEWEST:
        raise CellprepError(
            f"`neighbors` needs at least {FEWEST} images, but {name} has {len(dataset)}; leave it "
            "out, or predict more images of this laboratory together"
        )
    if not getattr(model, "operations", []):
        raise CellprepError(
            f"`neighbors` needs a functional model, as build makes, but {model.name} is none; "
            "leave it out"
        )


def _similar(features: Sequence[NDArray[np.float32]]) -> Any:
    """The (n, n) sparse matrix of scaled cosines."""
    from scipy.sparse import coo_array, diags_array

    lengths = [np.linalg.norm(each, axis=1, keepdims=True) for each in features]
    units = [a / np.maximum(b, 1e-12) for a, b in zip(features, lengths, strict=True)]
    joined = np.concatenate(units, axis=1) / np.sqrt(np.float32(len(units)))
    n = len(joined)
    k = min(NEAREST, n - 1)
    nearest = np.empty((n, k), np.intp)
    cosines = np.empty((n, k))
    for start in range(0, n, _BLOCK):
        block = joined[start : start + _BLOCK] @ joined.T
        own = np.arange(len(block))
        block[own, start + own] = -2  # below every cosine: no image is its own neighbour
        best = np.argpartition(block, n - k, axis=1)[:, n - k :]
        nearest[start : start + _BLOCK] = best
        cosines[start : start + _BLOCK] = np.take_along_axis(block, best, axis=1)
    rows = np.repeat(np.arange(n), k)
    pairs = (np.maximum(cosines, 0).ravel(), (rows, nearest.ravel()))
    graph = coo_array(pairs, shape=(n, n)).tocsr()
    graph = graph.maximum(graph.T)
    roots = diags_array(1 / np.sqrt(np.maximum(graph.sum(axis=1), 1e-12)))
    return roots @ graph @ roots
