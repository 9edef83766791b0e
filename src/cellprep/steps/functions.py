"""Steps that change rows as functions: images and labels in and out, no logic of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np  # noqa: F401 - used by the examples
from numpy.typing import ArrayLike, NDArray

from ..arrays import Images
from ..dataset.dataset import as_dataset
from ..errors import CellprepError
from ..kernels import Hash
from . import (
    Balance,
    Corrupt,
    Decide,
    Dedupe,
    Jitter,
    RandAugment,
    Step,
)
from .balance import Target
from .dedupe import OnConflict, OnDuplicate
from .step import Applied

AnyLabels = NDArray[Any]
Suite = Literal["microscopy", "heavy"]


def run(
    step: Step, images: ArrayLike, labels: ArrayLike | None, seed: int, ids: ArrayLike | None
) -> tuple[Images, AnyLabels]:
    """Images and labels after a step; without labels all images have one class."""
    dataset, values = as_dataset(images, labels, ids)
    made, rows = dataset.then(Applied(step, seed)).to_arrays()
    return made, values[rows]


def dedupe(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    on_conflict: OnConflict = "drop",
    on_duplicate: OnDuplicate = "one",
    max_copies: int | None = 10,
    near: int | None = None,
    symmetries: bool = False,
    hash: Hash = "phash",
    ids: ArrayLike | None = None,
) -> tuple[Images, AnyLabels]:
    """Images without duplicates, and their labels; settings as in `Dedupe`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    labels : (n,), (n, 1) or one-hot (n, classes)
    ids : (n,) int or str, optional
        Of a group that keeps one image, the smallest id is kept. Default: the row number.

    Returns
    -------
    images : (m, height, width, 3) uint8
    labels : (m,) int64 or str

    Examples
    --------
    >>> images = np.zeros((4, 8, 8, 3), np.uint8)
    >>> images[3] = 255
    >>> kept, labels = dedupe(images, [1, 1, 1, 0])
    >>> len(kept), labels
    (2, array([1, 0]))
    """
    step = Dedupe(on_conflict, on_duplicate, max_copies, near, symmetries, hash)
    return run(step, images, labels, 0, ids)


def decide(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    decisions: Sequence[Mapping[str, str]] | str | Path,
    ids: ArrayLike | None = None,
) -> tuple[Images, AnyLabels]:
    """Images and labels after a person's decisions; settings as in `Decide`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    labels : (n,), (n, 1) or one-hot (n, classes)
    decisions : path, or list of dict
    ids : (n,) int or str, optional
        The ids that the decisions name. Default: the row number.

    Returns
    -------
    images : (m, height, width, 3) uint8
    labels : (m,) int64 or str

    Examples
    --------
    >>> images, labels = np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 1, 0])
    >>> same = "4cfa6fae1bbb0a2aa4a335fd85531902"  # the digest of these images
    >>> decide(images, labels, decisions=[{"id": "1", "decision": "drop", "digest": same}])[1]
    array([0, 0])
    """
    step = Decide(decisions if isinstance(decisions, str | Path) else tuple(decisions))
    return run(step, images, labels, 0, ids)


def balance(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    target: Target = "max",
    jitter: Jitter | None = Jitter(),  # noqa: B008 - frozen
    seed: int = 0,
    ids: ArrayLike | None = None,
) -> tuple[Images, AnyLabels]:
    """Images with equal class counts, and their labels; settings as in `Balance`.

    Each image is followed by its added copies.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    labels : (n,), (n, 1) or one-hot (n, classes)
    seed : int
    ids : (n,) int or str, optional
        Determine the random numbers of each image. Default: the row number.

    Returns
    -------
    images : (m, height, width, 3) uint8
    labels : (m,) int64 or str

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    >>> balance(images, ["a", "a", "b", "b"], target=3)[1]
    array(['a', 'a', 'a', 'b', 'b', 'b'], dtype='<U1')
    """
    return run(Balance(target, jitter), images, labels, seed, ids)


@overload
def corrupt(
    images: ArrayLike,
    labels: None = None,
    *,
    suite: Suite = ...,
    severity: int | None = ...,
    corruption: str | None = ...,
    seed: int = ...,
    ids: ArrayLike | None = ...,
) -> Images: ...


@overload
def corrupt(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    suite: Suite = ...,
    severity: int | None = ...,
    corruption: str | None = ...,
    copies: int | None = ...,
    keep_originals: bool = ...,
    seed: int = ...,
    ids: ArrayLike | None = ...,
) -> tuple[Images, AnyLabels]: ...


def corrupt(
    images: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    suite: Suite = "microscopy",
    severity: int | None = None,
    corruption: str | None = None,
    copies: int | None = None,
    keep_originals: bool = True,
    seed: int = 0,
    ids: ArrayLike | None = None,
) -> Images | tuple[Images, AnyLabels]:
    """Images corrupted at random, as a shifted test set; settings as in `Corrupt`.

    With `copies`, each image is followed by its copies, for training.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    labels : (n,), (n, 1) or one-hot (n, classes), optional
        Returned too if given; `copies` needs them.
    seed : int
    ids : (n,) int or str, optional
        Determine the random numbers of each image. Default: the row number.

    Returns
    -------
    images : (m, height, width, 3) uint8
    labels : (m,) int64 or str
        Only if `labels` are given.

    Examples
    --------
    >>> images = np.full((2, 8, 8, 3), 200, np.uint8)
    >>> corrupt(images, corruption="brightness_down", severity=5)[0, 0, 0].tolist()
    [100, 100, 100]
    >>> more, labels = corrupt(images, [0, 1], suite="heavy", copies=2)
    >>> more.shape, labels.tolist()
    ((6, 8, 8, 3), [0, 0, 0, 1, 1, 1])
    """
    step = Corrupt(suite, severity, corruption, copies, keep_originals)
    if labels is None and copies is not None:
        raise CellprepError(
            f"`copies` needs `labels`, which are repeated with the images, got copies={copies!r} "
            "without them; call corrupt(images, labels, copies=...)"
        )
    made = run(step, images, labels, seed, ids)
    return made[0] if labels is None else made


def rand_augment(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    copies: int = 3,
    num_ops: int = 3,
    magnitude: float = 0.5,
    magnitude_stddev: float = 0.15,
    rate: float = 10 / 11,
    keep_originals: bool = True,
    engine: Literal["native", "keras_cv"] = "native",
    operations: Literal["keras-cv", "wide"] | Sequence[str] = "keras-cv",
    seed: int = 0,
    ids: ArrayLike | None = None,
) -> tuple[Images, AnyLabels]:
    """Images with augmented copies, and their labels; settings as in `RandAugment`.

    Each image is followed by its copies.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    labels : (n,), (n, 1) or one-hot (n, classes)
    seed : int
    ids : (n,) int or str, optional
        Determine the random numbers of each image. Default: the row number.

    Returns
    -------
    images : (m, height, width, 3) uint8
    labels : (m,) int64 or str

    Examples
    --------
    >>> images = np.zeros((2, 8, 8, 3), np.uint8)
    >>> more, labels = rand_augment(images, [0, 1], copies=3)
    >>> more.shape, labels.tolist()
    ((8, 8, 8, 3), [0, 0, 0, 0, 1, 1, 1, 1])
    """
    names: Any = operations if isinstance(operations, str) else tuple(operations)
    step = RandAugment(
        copies, num_ops, magnitude, magnitude_stddev, rate, keep_originals, engine, names
    )
    return run(step, images, labels, seed, ids)
