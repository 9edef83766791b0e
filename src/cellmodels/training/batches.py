"""Batches for Keras, prefetched while the model trains. Importing this module imports Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cellprep import Dataset


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Images (b, height, width, 3) uint8, labels (b,), and weights if there are class weights.

    Parameters
    ----------
    dataset : Dataset
    size : int
        Images per batch; the last batch has the remainder.
    order : (n,) int, optional
        Positions of the rows to read. Default: all rows in order.
    weights : dict, optional
        Weight of each class in the loss.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int,
        order: NDArray[np.intp] | None = None,
        weights: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(workers=2, max_queue_size=8)
        self._images, self._labels = dataset.images, dataset.labels
        self._order = np.arange(len(dataset)) if order is None else order
        self._starts = range(0, len(self._order), size)
        self._weights: NDArray[np.float32] | None = None
        if weights is not None:
            self._weights = np.array([weights[k] for k in sorted(weights)], np.float32)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        start = self._starts[number]
        rows = self._order[start : start + self._starts.step]
        images, labels = self._images[rows], self._labels[rows]
        if self._weights is None:
            return images, labels
        return images, labels, self._weights[labels]
