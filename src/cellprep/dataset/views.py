"""Views of a plan, which compute images and masks when they are indexed."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Images, Masks, writable
from ..plan.plan import Plan


def positions(at: SupportsIndex | slice | ArrayLike, n: int) -> NDArray[np.int64]:
    """The selected ones of n rows, as numbers from 0 up, without creating an array of all rows."""
    if isinstance(at, slice):
        return np.arange(*at.indices(n))
    index: NDArray[np.int64] = np.asarray(at)
    if index.dtype == bool:
        if index.shape != (n,):
            raise IndexError(f"a bool array must have {n:,} values, got shape {index.shape}")
        return np.arange(n)[index]
    if not index.size:
        return np.empty(0, np.int64)
    if index.dtype.kind not in "iu":
        raise IndexError(f"images are indexed by whole numbers, slices or bool arrays, got {at!r}")
    low, high = (index, index) if index.ndim == 0 else (index.min(), index.max())
    if low < -n or high >= n:
        raise IndexError(f"there are {n:,} images, got index {low if low < -n else high}")
    return index if low >= 0 else np.where(index < 0, index + n, index)


class ImageView:
    """The images of a data set, computed when they are indexed, as a NumPy array."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self._plan), *self._plan.shape

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, at: SupportsIndex | slice | ArrayLike) -> Images:
        if type(at) is int and 0 <= at < len(self._plan):  # the fastest way, for loops over rows
            return writable(self._plan.image_at(at))
        index = self._index(at)
        if index.ndim == 0:
            return writable(self._plan.image_at(int(index)))
        if not len(index):
            return np.empty((0, *self._plan.shape), np.uint8)
        return writable(self._plan.evaluate(index)[0])

    def _index(self, at: SupportsIndex | slice | ArrayLike) -> NDArray[np.int64]:
        return positions(at, len(self._plan))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or np.uint8, copy=False)


class MaskView(ImageView):
    """The masks of a data set, computed when they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return len(self._plan), *self._plan.shape[:2]

    @property
    def dtype(self) -> np.dtype[np.bool_]:  # type: ignore[override]
        return np.dtype(bool)

    def __getitem__(self, at: SupportsIndex | slice | ArrayLike) -> Masks:  # type: ignore[override]
        index = self._index(at)
        if index.size == 0:
            return np.empty((0, *self._plan.shape[:2]), bool)
        masks = self._plan.evaluate_masked(np.atleast_1d(index))[2]
        return masks[0] if index.ndim == 0 else masks
