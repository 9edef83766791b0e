"""The centre and the bounding box of the cell in each image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Masks
from .segment import segment


def centers(masks: Masks) -> NDArray[np.int32]:
    """(n, 2) int32: the row and column with half of each mask on either side, -1 if it is empty.

    Examples
    --------
    >>> masks = np.zeros((2, 8, 8), bool)
    >>> masks[0, 2:6, 3:5] = True
    >>> centers(masks).tolist()
    [[4, 4], [-1, -1]]
    """
    found = np.full((len(masks), 2), -1, np.int32)
    filled = masks.any(axis=(1, 2))
    for axis, other in ((0, 2), (1, 1)):
        below = masks.sum(axis=other).cumsum(axis=1)
        found[filled, axis] = (2 * below <= below[:, -1:]).sum(axis=1)[filled]
    return found


def boxes(masks: Masks) -> NDArray[np.int32]:
    """(n, 4) int32: top, left, height and width of each mask's box, -1 if it is empty.

    Examples
    --------
    >>> masks = np.zeros((2, 8, 8), bool)
    >>> masks[0, 2:6, 3:5] = True
    >>> boxes(masks).tolist()
    [[2, 3, 4, 2], [-1, -1, -1, -1]]
    """
    found = np.full((len(masks), 4), -1, np.int32)
    filled = masks.any(axis=(1, 2))
    for axis, other in ((0, 2), (1, 1)):
        lines = np.asarray(masks.any(axis=other))
        first, behind = lines.argmax(axis=1), lines.shape[1] - lines[:, ::-1].argmax(axis=1)
        found[filled, axis] = first[filled]
        found[filled, axis + 2] = (behind - first)[filled]
    return found


def find_centers(images: Images) -> NDArray[np.int32]:
    """The centres of the cells that `segment` finds."""
    return centers(segment(images))
