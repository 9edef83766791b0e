"""Rows of arrays, copied only if they must be."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .kinds import Images, Positions


def writable(images: Images) -> Images:
    """Images that may be changed in place: a copy if they are read-only, as those of a source.

    >>> import numpy as np
    >>> images = np.zeros((1, 8, 8, 3), np.uint8)
    >>> writable(images) is images
    True
    """
    return images if images.flags.writeable else images.copy()


def as_slice(at: Positions) -> slice | None:
    """Consecutive positions as a slice; None if they are not consecutive.

    >>> import numpy as np
    >>> as_slice(np.array([3, 4, 5]))
    slice(3, 6, None)
    """
    if not len(at) or at[-1] - at[0] != len(at) - 1:
        return None
    run = slice(int(at[0]), int(at[-1]) + 1)
    return run if len(at) == 1 or (at[1:] - at[:-1] == 1).all() else None


def take(array: NDArray[Any], at: Positions) -> NDArray[Any]:
    """The elements at these positions: a view if they are consecutive, otherwise a copy.

    >>> import numpy as np
    >>> take(np.arange(10), np.array([3, 4, 5])).tolist()
    [3, 4, 5]
    """
    run = as_slice(at)
    return array[at if run is None else run]
