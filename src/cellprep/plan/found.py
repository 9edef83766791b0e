"""What a step finds in images that are the same in every epoch, kept for the next epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions, take

_MOST_BYTES = 256 << 20
"""Of one step: the masks of 233,000 images of 96x96. What later rows need is found again."""

Columns = Mapping[str, NDArray[Any]]


class Found:
    """Values found in the images of n rows, such as windows or masks; each is found when needed.

    Two threads may find the same values at once, which is harmless: values are stored before they
    are marked as known. In another process it starts empty.

    Parameters
    ----------
    fixed : (n,) bool
        Whether the image of a row is the same in every epoch.

    Examples
    --------
    >>> found, rows = Found(np.array([True, False])), np.array([0, 1])
    >>> found.of(rows, lambda missing: {"top": rows[missing] + 10})["top"]
    array([10, 11])
    >>> found.of(rows, lambda missing: {"top": rows[missing] + 20})["top"]
    array([10, 21])
    """

    def __init__(self, fixed: Masks) -> None:
        self._fixed = fixed
        self._kept: tuple[dict[str, NDArray[Any]], Masks] = {}, np.zeros(0, bool)

    def of(self, at: Positions, find: Callable[[Positions], Columns]) -> dict[str, NDArray[Any]]:
        """The values of the rows `at`: an array (k, ...) by name.

        `find` gives the values for some positions in `at`.
        """
        columns, known = self._kept
        inside = np.flatnonzero(at < len(known))
        old = inside[known[at[inside]]]
        if len(old) == len(at) > 0:
            return {name: column[at] for name, column in columns.items()}
        new = np.setdiff1d(np.arange(len(at)), old, assume_unique=True)
        values = {}
        for name, found in find(new).items():
            values[name] = np.empty((len(at), *found.shape[1:]), found.dtype)
            values[name][new] = found
            if len(old):
                values[name][old] = columns[name][at[old]]
        self._keep(at, values)
        return values

    def masks(self, at: Positions, images: Images, find: Callable[[Images], Masks]) -> Masks:
        """The masks of the rows `at`, with these images; kept as bits."""

        def bits(some: Positions) -> Columns:
            masks = find(take(images, some))
            return {"masks": np.packbits(masks.reshape(len(some), -1), axis=1)}

        packed, shape = self.of(at, bits)["masks"], images.shape[1:3]
        pixels = np.unpackbits(packed, axis=1, count=math.prod(shape))
        return pixels.view(bool).reshape(len(at), *shape)

    def _keep(self, at: Positions, values: Columns) -> None:
        columns, known = self._kept
        plain = values and all(v.dtype.kind in "biuf" for v in values.values())
        if len(at) and plain and not columns:
            n = min(len(self._fixed), _MOST_BYTES // sum(v[0].nbytes for v in values.values()))
            columns = {name: np.zeros((n, *v.shape[1:]), v.dtype) for name, v in values.items()}
            known = np.zeros(n, bool)
            self._kept = columns, known
        keepable = np.flatnonzero(self._fixed[at] & (at < len(known)))
        for name, column in columns.items():
            column[at[keepable]] = values[name][keepable]
        known[at[keepable]] = True

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._fixed,)
