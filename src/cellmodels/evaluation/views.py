"""The views of an image that test-time augmentation averages over."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from cellprep.arrays import Images

VIEWS = ("none", "flips", "dihedral")


def views(images: Images, tta: str) -> Iterator[Images]:
    """The images themselves; with "flips", all 4 flips; with "dihedral", these turned by 90 too.

    Examples
    --------
    >>> images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    >>> [len(list(views(images, tta))) for tta in VIEWS]
    [1, 4, 8]
    """
    turned = [images, np.rot90(images, axes=(1, 2))] if tta == "dihedral" else [images]
    for each in turned:
        for down, across in product((1, -1), (1, -1)) if tta != "none" else [(1, 1)]:
            yield each[:, ::down, ::across]
