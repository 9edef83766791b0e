"""Batches for Keras, prefetched while the model trains. Importing this module imports Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cellprep import Dataset

from .mixing import Mixes, sample_mixes
from .settings import Training
from .soft_labels import soft_labels


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Images (b, height, width, 3) uint8, labels (b,), and weights if there are class weights.

    Soft labels are (b, classes) float32.

    Parameters
    ----------
    dataset : Dataset
    size : int
        Images per batch; the last batch has the remainder.
    order : (n,) int, optional
        Positions of the rows to read. Default: all rows in order.
    weights : dict, optional
        Weight of each class in the loss.
    soft : bool
        Whether labels are soft.
    smoothing : float
        Of soft labels.
    mixes : Mixes, optional
        How to mix each image with the one before it in the order; for soft labels only.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int,
        order: NDArray[np.intp] | None = None,
        weights: Mapping[int, float] | None = None,
        *,
        soft: bool = False,
        smoothing: float = 0.0,
        mixes: Mixes | None = None,
    ) -> None:
        super().__init__(workers=2, max_queue_size=8)
        self._images: Any = dataset.images
        self._labels: Any = dataset.labels
        self._order = np.arange(len(dataset)) if order is None else order
        self._starts = range(0, len(self._order), size)
        self._weights: NDArray[np.float32] | None = None
        if weights is not None:
            self._weights = np.array([weights[k] for k in sorted(weights)], np.float32)
        self._classes = len(dataset.class_names) if soft else 0
        self._smoothing, self._mixes = smoothing, mixes

    def __len__(self) -> int:
        return len(self._starts)

    def release(self) -> None:
        """Let the data set go: TensorFlow keeps everything that a model was trained on for good."""
        self._images = self._labels = None

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        start = self._starts[number]
        stop = min(start + self._starts.step, len(self._order))
        if self._mixes is not None:
            return self._mixed(self._mixes, start, stop)
        rows = self._order[start:stop]
        images, labels = self._images[rows], self._labels[rows]
        if self._classes:
            return images, *self._soft(labels)
        if self._weights is None:
            return images, labels
        return images, labels, self._weights[labels]

    def _mixed(self, mixes: Mixes, start: int, stop: int) -> tuple[Any, ...]:
        """The same for any batch size: the first image is mixed with the last of another batch."""
        rows = self._order[np.arange(start - 1, stop)]
        images, labels, mixed = self._images[rows], self._labels[rows], mixes[start:stop]
        shares = mixed.shares(*images.shape[1:3])
        return mixed.images(images[1:], images[:-1]), *self._soft(labels[1:], labels[:-1], shares)

    def _soft(self, labels: Any, others: Any = None, shares: Any = None) -> tuple[Any, ...]:
        soft, weights = soft_labels(
            labels,
            self._classes,
            others=others,
            shares=shares,
            weights=self._weights,
            smoothing=self._smoothing,
        )
        return (soft,) if self._weights is None else (soft, weights)


def training_batches(
    dataset: Dataset, how: Training, epoch: int, weights: Mapping[int, float] | None
) -> Batches:
    """The batches of an epoch: a function of the seed and the epoch, so that it can be resumed."""
    dataset = dataset.epoch(epoch) if how.fresh else dataset
    mixes = sample_mixes(
        len(dataset),
        *dataset.shape[1:3],
        mixup=how.mixup,
        cutmix=how.cutmix,
        seed=how.seed,
        epoch=epoch,
    )
    return Batches(
        dataset,
        how.batch_size,
        dataset.shuffled(how.seed, epoch)[: how.images_in(epoch, len(dataset))],
        weights,
        soft=how.soft_labels,
        smoothing=how.label_smoothing,
        mixes=mixes,
    )


def validation_batches(dataset: Dataset, how: Training) -> Batches:
    """All images in order, neither mixed nor smoothed."""
    return Batches(dataset, how.batch_size, soft=how.soft_labels)
