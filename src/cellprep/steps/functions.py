"""The steps as functions: arrays in, arrays out, no logic of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np  # noqa: F401 - used by the examples
from numpy.typing import ArrayLike, NDArray

from ..arrays import Images
from ..dataset.dataset import as_dataset
from ..errors import CellprepError
from ..plan.profile import Profile
from . import (
    Adapt,
    Balance,
    Corrupt,
    Crop,
    Dedupe,
    Jitter,
    KMeansMask,
    MatchColors,
    RandAugment,
    StainJitter,
    Step,
)
from .balance import Target
from .step import Applied

AnyLabels = NDArray[Any]


def _run(
    step: Step, images: ArrayLike, labels: ArrayLike | None, seed: int, ids: ArrayLike | None
) -> tuple[Images, AnyLabels]:
    dataset, values = as_dataset(images, labels, ids)
    made, rows = dataset.then(Applied(step, seed)).to_arrays()
    return made, values[rows]


def dedupe(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    on_conflict: str = "drop",
    on_duplicate: str = "one",
    max_copies: int | None = 10,
    near: int | None = None,
    symmetries: bool = False,
    hash: str = "phash",
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
    return _run(step, images, labels, 0, ids)


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
    return _run(Balance(target, jitter), images, labels, seed, ids)


def jitter(
    images: ArrayLike,
    *,
    rotation: float = 180.0,
    shift: float = 0.1,
    zoom: float = 0.1,
    flip: str | bool = "both",
    fill: str | int = "reflect",
    seed: int = 0,
    ids: ArrayLike | None = None,
) -> Images:
    """Images rotated, shifted, zoomed and flipped at random; settings as in `Jitter`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    seed : int
    ids : (n,) int or str, optional
        Determine the random numbers of each image. Default: the row number.

    Returns
    -------
    (n, height, width, 3) uint8

    Examples
    --------
    >>> images = np.zeros((2, 8, 8, 3), np.uint8)
    >>> jitter(images, rotation=30).shape
    (2, 8, 8, 3)
    """
    return _run(Jitter(rotation, shift, zoom, flip, fill), images, None, seed, ids)[0]


def stain_jitter(
    images: ArrayLike,
    *,
    strength: float = 0.3,
    offset: float = 0.1,
    matrix: str = "hed",
    rate: float = 1.0,
    seed: int = 0,
    ids: ArrayLike | None = None,
) -> Images:
    """Images with other stain strengths; settings as in `StainJitter`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    seed : int
    ids : (n,) int or str, optional
        Determine the random numbers of each image. Default: the row number.

    Returns
    -------
    (n, height, width, 3) uint8

    Examples
    --------
    >>> purple = np.full((2, 8, 8, 3), (90, 40, 130), np.uint8)
    >>> stain_jitter(purple, strength=0.2)[:, 0, 0].tolist()
    [[89, 42, 126], [104, 47, 134]]
    """
    return _run(StainJitter(strength, offset, matrix, rate), images, None, seed, ids)[0]


def match_colors(
    images: ArrayLike,
    *,
    strength: float = 0.5,
    color_space: str = "rgb",
    rate: float = 1.0,
    seed: int = 0,
    ids: ArrayLike | None = None,
) -> Images:
    """Images moved towards the colours of others among them; settings as in `MatchColors`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
        At least two.
    seed : int
    ids : (n,) int or str, optional
        Determine the random numbers of each image. Default: the row number.

    Returns
    -------
    (n, height, width, 3) uint8

    Examples
    --------
    >>> images = np.full((2, 8, 8, 3), 100, np.uint8)
    >>> images[1] = 200
    >>> match_colors(images, strength=1)[:, 0, 0, 0].tolist()
    [160, 200]
    """
    return _run(MatchColors(strength, color_space, rate), images, None, seed, ids)[0]


@overload
def corrupt(
    images: ArrayLike,
    labels: None = None,
    *,
    suite: str = ...,
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
    suite: str = ...,
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
    suite: str = "microscopy",
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
    made = _run(step, images, labels, seed, ids)
    return made[0] if labels is None else made


def adapt(
    images: ArrayLike,
    profile: Profile | str | Path,
    *,
    scale: bool = True,
    color: str | bool = False,
    ids: ArrayLike | None = None,
) -> Images:
    """Images brought to the size and colours of a profile; settings as in `Adapt`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
        20 or more, of one laboratory.
    profile : Profile or path
    ids : (n,) int or str, optional
        Determine which images are measured, of more than 256. Default: the row number.

    Returns
    -------
    (n, height, width, 3) uint8

    Examples
    --------
    >>> images = np.full((20, 16, 16, 3), 230, np.uint8)
    >>> images[:, 6:10, 6:10] = 90, 40, 130
    >>> trained_on = Profile(256, 256, (96, 96), (190, 160, 170), (40, 52, 28), share=0.25)
    >>> int((adapt(images, trained_on)[0, ..., 1] < 128).sum())
    64
    """
    return _run(Adapt(profile, scale, color), images, None, 0, ids)[0]


def crop(
    images: ArrayLike,
    size: float,
    *,
    center: str = "cell",
    resize_to: int | None = None,
    fill: str | int | None = None,
    relative: bool = False,
) -> Images:
    """A square window of each image; settings as in `Crop`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8

    Returns
    -------
    (n, side, side, 3) uint8
        The side is `resize_to`, or else `size`.

    Examples
    --------
    >>> crop(np.zeros((2, 16, 20, 3), np.uint8), 12, resize_to=8).shape
    (2, 8, 8, 3)
    """
    return _run(Crop(size, center, resize_to, fill, relative), images, None, 0, None)[0]


def kmeans_mask(
    images: ArrayLike,
    *,
    n_clusters: int | None = None,
    color_space: str | None = None,
    foreground: str = "auto",
    target: str = "cell",
    background: int = 0,
) -> Images:
    """Images with masked background; settings as in `KMeansMask`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8

    Returns
    -------
    (n, height, width, 3) uint8

    Examples
    --------
    >>> images = np.full((1, 16, 16, 3), 230, np.uint8)
    >>> images[0, 4:12, 4:12] = (90, 40, 130)
    >>> kmeans_mask(images)[0, [0, 8], [0, 8]].tolist()
    [[0, 0, 0], [90, 40, 130]]
    """
    step = KMeansMask(n_clusters, color_space, foreground, target, background)
    return _run(step, images, None, 0, None)[0]


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
    engine: str = "native",
    operations: str | Sequence[str] = "keras-cv",
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
    step = RandAugment(
        *(copies, num_ops, magnitude, magnitude_stddev, rate, keep_originals, engine),
        operations if isinstance(operations, str) else tuple(operations),
    )
    return _run(step, images, labels, seed, ids)
