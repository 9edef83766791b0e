"""`segment`: the masks that KMeansMask finds, from arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Masks, check_images
from ..kernels import Foreground, Space, Target
from ..system import executors
from .kmeans_mask import KMeansMask


def segment(
    images: ArrayLike,
    *,
    n_clusters: int | None = None,
    color_space: Space | None = None,
    foreground: Foreground = "auto",
    target: Target = "cell",
) -> Masks:
    """The masks that `kmeans_mask` multiplies images by; settings as in `KMeansMask`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8

    Returns
    -------
    (n, height, width) bool
        True on the cell.

    Examples
    --------
    >>> images = np.full((1, 16, 16, 3), 230, np.uint8)
    >>> images[0, 4:12, 4:12] = (90, 40, 130)
    >>> int(segment(images).sum())
    64
    """
    checked = check_images(images)
    step = KMeansMask(n_clusters, color_space, foreground, target)
    step.out_shape(checked.shape[1:])
    masks = np.empty(checked.shape[:3], bool)

    def fill(span: executors.Span) -> None:
        masks[slice(*span)] = step.masks(checked[slice(*span)])

    for _ in executors.run(fill, executors.cut(len(checked), 256)):
        pass
    return masks
