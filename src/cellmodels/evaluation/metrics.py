"""Scores from labels and probabilities, without Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellprep import CellprepError
from cellprep.arrays import Labels

BINS = 15
"""Number of bins of the reliability diagram."""


@dataclass(frozen=True)
class ClassScores:
    """One class: its number of images, precision, recall and F1."""

    name: str
    images: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Bin:
    """Images whose highest probability is in (low, high]: mean confidence and accuracy."""

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Scores:
    """The result of `score`.

    Attributes
    ----------
    images : int
    accuracy : float
    balanced_accuracy : float
        Mean recall of the classes that have images.
    precision, recall, f1 : float
        Means over classes, weighted by their number of images.
    macro_precision, macro_recall, macro_f1 : float
        Unweighted means over classes: rare classes count as much as frequent ones.
    ece : float
        Expected calibration error [1]_: the mean difference between confidence and accuracy.
    nll : float
        Negative log-likelihood: the mean of -log(probability of the true class), in nats.
    classes : tuple of ClassScores
    confusion : tuple of tuple of int
        Images by true class (rows) and predicted class (columns).
    reliability : tuple of Bin
        The bins, of equal width, that contain images.

    References
    ----------
    .. [1] C. Guo et al. On Calibration of Modern Neural Networks. ICML 2017.
    """

    images: int
    accuracy: float
    balanced_accuracy: float
    precision: float
    recall: float
    f1: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    ece: float
    nll: float
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[Bin, ...]


def score(labels: ArrayLike, probabilities: ArrayLike, *, class_names: Sequence[str]) -> Scores:
    """Accuracy, precision, recall, F1, confusion matrix and calibration.

    Parameters
    ----------
    labels : (n,) int
        True classes, each an index into the columns of `probabilities`.
    probabilities : (n, classes) float
    class_names : sequence of str
        Names of the columns.

    Returns
    -------
    Scores

    Raises
    ------
    CellprepError
        For shapes that do not match, labels out of range, and values that are not probabilities.

    Examples
    --------
    >>> scores = score([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], class_names=["a", "b"])
    >>> round(scores.accuracy, 3), scores.confusion
    (0.667, ((1, 0), (1, 1)))
    """
    from sklearn import metrics

    truth, given = _check(labels, probabilities, class_names)
    guess = given.argmax(axis=1)
    numbers = list(range(len(class_names)))

    def means(average: str) -> list[float]:
        found = metrics.precision_recall_fscore_support(
            truth, guess, labels=numbers, average=average, zero_division=0
        )
        return [float(value) for value in found[:3]]

    each = metrics.precision_recall_fscore_support(truth, guess, labels=numbers, zero_division=0)
    bins = _reliability(truth == guess, given.max(axis=1))
    difference = sum(bin.images * abs(bin.confidence - bin.accuracy) for bin in bins)
    precision, recall, f1 = means("weighted")
    macro_precision, macro_recall, macro_f1 = means("macro")
    of_truth = np.maximum(given[np.arange(len(truth)), truth], np.finfo(np.float32).tiny)
    return Scores(
        images=len(truth),
        accuracy=float(metrics.accuracy_score(truth, guess)),
        balanced_accuracy=float(np.mean(each[1][each[3] > 0])),
        precision=precision,
        recall=recall,
        f1=f1,
        macro_precision=macro_precision,
        macro_recall=macro_recall,
        macro_f1=macro_f1,
        ece=difference / len(truth),
        nll=float(-np.log(of_truth).mean()),
        classes=tuple(
            ClassScores(name, int(images), float(p), float(r), float(f))
            for name, p, r, f, images in zip(class_names, *each, strict=True)
        ),
        confusion=tuple(
            tuple(row) for row in metrics.confusion_matrix(truth, guess, labels=numbers).tolist()
        ),
        reliability=bins,
    )


def _check(
    labels: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str]
) -> tuple[Labels, NDArray[np.float64]]:
    truth, given = np.asarray(labels), np.asarray(probabilities, np.float64)
    classes = len(class_names)
    if truth.ndim != 1 or not len(truth) or truth.dtype.kind not in "iu":
        raise CellprepError(
            f"`labels` must be (n,) whole numbers, got shape {truth.shape}, dtype {truth.dtype}; "
            "of soft labels pass the argmax"
        )
    if given.shape != (len(truth), classes):
        raise CellprepError(
            f"`probabilities` must be ({len(truth)}, {classes}), one row per image and one "
            f"column per class, got {given.shape}"
        )
    if truth.min() < 0 or truth.max() >= classes:
        wrong = truth.min() if truth.min() < 0 else truth.max()
        raise CellprepError(f"`labels` must be in 0 to {classes - 1}, got {wrong}")
    if not (given >= 0).all() or not np.allclose(given.sum(axis=1), 1, atol=1e-2):
        raise CellprepError("`probabilities` must be 0 or more and sum to 1 in each row")
    return truth.astype(np.int64), given


def _reliability(correct: NDArray[np.bool_], confidence: NDArray[np.float64]) -> tuple[Bin, ...]:
    # scikit-learn's calibration_curve has no counts, and its bins include their lower edge.
    position = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return tuple(
        Bin(
            low=k / BINS,
            high=(k + 1) / BINS,
            images=int((position == k).sum()),
            confidence=float(confidence[position == k].mean()),
            accuracy=float(correct[position == k].mean()),
        )
        for k in np.unique(position).tolist()
    )
