"""Views of a plan that compute images and masks when they are indexed."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Images, Masks, writable
from ..plan.plan import Plan


class ImageView:
    """The images of a data set, made when they are indexed; rows first, as in NumPy."""

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
        if type(at) is int and 0 <= at < len(self._plan):  # the quickest way, for loops over rows
            return writable(self._plan.evaluate(np.array([at]))[0][0])
        places = self._places(at)
        if places.ndim == 0:
            return writable(self._plan.evaluate(places[None])[0][0])
        if not len(places):
            return np.empty((0, *self._plan.shape), np.uint8)
        return writable(self._plan.evaluate(places)[0])

    def _places(self, at: SupportsIndex | slice | ArrayLike) -> NDArray[np.int64]:
        """The rows that an index means, from 0 up; a list of all rows is never made for it."""
        n = len(self._plan)
        if isinstance(at, slice):
            return np.arange(*at.indices(n))
        places: NDArray[np.int64] = np.asarray(at)
        if places.dtype == bool:
            return np.arange(n)[places]
        if not places.size:
            return np.empty(0, np.int64)
        if places.dtype.kind not in "iu":
            raise IndexError(f"images are indexed by whole numbers, slices and masks, got {at!r}")
        low, high = (places, places) if places.ndim == 0 else (places.min(), places.max())
        if low < -n or high >= n:
            raise IndexError(f"there are {n:,} images, got index {low if low < -n else high}")
        return places if low >= 0 else np.where(places < 0, places + n, places)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or np.uint8, copy=False)


class MaskView(ImageView):
    """The masks of a data set, made when they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return len(self._plan), *self._plan.shape[:2]

    @property
    def dtype(self) -> np.dtype[np.bool_]:  # type: ignore[override]
        return np.dtype(bool)

    def __getitem__(self, at: SupportsIndex | slice | ArrayLike) -> Masks:  # type: ignore[override]
        places = self._places(at)
        if places.size == 0:
            return np.empty((0, *self._plan.shape[:2]), bool)
        masks = self._plan.evaluate_masked(np.atleast_1d(places))[2]
        return masks[0] if places.ndim == 0 else masks
