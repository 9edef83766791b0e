"""Batches for Keras, read ahead of the step that trains on them. Imports Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cellprep import Dataset
from cellprep.system.executors import cut


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Images (b, height, width, 3) uint8 and labels (b,), with weights if there are some.

    Parameters
    ----------
    dataset : Dataset
    size : int
        Images a batch; the last one holds what is left.
    order : (n,) int, optional
        The rows to read. Default: all of them, as they stand.
    weights : dict, optional
        Of each class in the loss.
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
        self._spans = list(cut(len(self._order), size))
        self._weights: NDArray[np.float32] | None = None
        if weights is not None:
            self._weights = np.array([weights[k] for k in sorted(weights)], np.float32)

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        rows = self._order[slice(*self._spans[number])]
        images, labels = self._images[rows], self._labels[rows]
        if self._weights is None:
            return images, labels
        return images, labels, self._weights[labels]
