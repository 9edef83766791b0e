"""Square windows cut from images and masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images


def windows(
    images: Images,
    top: NDArray[np.integer],
    left: NDArray[np.integer],
    size: int,
    fill: str | int | None = None,
) -> Images:
    """The square of `size` pixels at each image's (top, left).

    It must lie inside, unless `fill` defines what lies beyond the border: "reflect", "edge" or a
    value in 0-255.

    Returns
    -------
    (n, size, size, 3) uint8; masks of one channel keep that
    """
    if fill is not None and len(images):
        _, height, width, _ = images.shape
        above, before = max(0, -int(top.min())), max(0, -int(left.min()))
        below = max(0, int(top.max()) + size - height)
        behind = max(0, int(left.max()) + size - width)
        margin = ((0, 0), (above, below), (before, behind), (0, 0))
        if isinstance(fill, str):
            images = np.pad(images, margin, mode="symmetric" if fill == "reflect" else "edge")
        else:
            images = np.pad(images, margin, constant_values=fill)
        top, left = top + above, left + before
    views = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    return np.ascontiguousarray(views[np.arange(len(images)), top, left].transpose(0, 2, 3, 1))
