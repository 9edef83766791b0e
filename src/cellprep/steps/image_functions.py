"""Steps that change pixels alone as functions: images in, images out, no logic of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np  # noqa: F401 - used by the examples
from numpy.typing import ArrayLike

from ..arrays import Images
from ..kernels import Foreground, Space, Target
from ..plan.profile import Profile
from . import Adapt, Crop, Jitter, KMeansMask, MatchColors, StainJitter
from .functions import run
from .jitter import Border, Flip


def jitter(
    images: ArrayLike,
    *,
    rotation: float = 180.0,
    shift: float = 0.1,
    zoom: float = 0.1,
    flip: Flip | bool = "both",
    fill: Border | int = "reflect",
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
    return run(Jitter(rotation, shift, zoom, flip, fill), images, None, seed, ids)[0]


def stain_jitter(
    images: ArrayLike,
    *,
    strength: float = 0.3,
    offset: float = 0.1,
    matrix: Literal["hed", "macenko"] = "hed",
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
    return run(StainJitter(strength, offset, matrix, rate), images, None, seed, ids)[0]


def match_colors(
    images: ArrayLike,
    *,
    strength: float = 0.5,
    color_space: Literal["rgb", "lab"] = "rgb",
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
    return run(MatchColors(strength, color_space, rate), images, None, seed, ids)[0]


def adapt(
    images: ArrayLike,
    profile: Profile | str | Path,
    *,
    scale: bool = True,
    color: Literal["channels", "background"] | bool = False,
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
    return run(Adapt(profile, scale, color), images, None, 0, ids)[0]


def crop(
    images: ArrayLike,
    size: float,
    *,
    center: Literal["cell", "image"] = "cell",
    resize_to: int | None = None,
    fill: Border | int | None = None,
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
    return run(Crop(size, center, resize_to, fill, relative), images, None, 0, None)[0]


def kmeans_mask(
    images: ArrayLike,
    *,
    n_clusters: int | None = None,
    color_space: Space | None = None,
    foreground: Foreground = "auto",
    target: Target = "cell",
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
    return run(step, images, None, 0, None)[0]
