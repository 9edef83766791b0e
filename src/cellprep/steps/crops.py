"""`crops`: crops of several sizes, for which the cells are located once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..dataset.dataset import Dataset, check_dataset
from ..plan.plan import Plan
from .crop import CELL, Crop
from .jitter import Border
from .step import Applied


def crops(
    dataset: Dataset,
    *,
    sizes: Sequence[int],
    resize_to: int | None = None,
    fill: Border | int | None = None,
) -> dict[int, Dataset]:
    """Crops of several sizes around the same cells, one data set per size.

    Each equals the result of `Crop(size, resize_to=..., fill=...)`, but the cells are located only
    once, when the first of the data sets is used.

    Parameters
    ----------
    dataset : Dataset
    sizes : sequence of int
        Sides of the windows in pixels.
    resize_to : int, optional
    fill : "reflect", "edge" or int, optional
        As in `Crop`.

    Returns
    -------
    dict of int to Dataset
        By size, in the order given.

    Examples
    --------
    >>> import numpy as np
    >>> cells = Dataset.from_arrays(np.zeros((2, 16, 16, 3), np.uint8), [0, 1])
    >>> {size: made.shape for size, made in crops(cells, sizes=(8, 12)).items()}
    {8: (2, 8, 8, 3), 12: (2, 12, 12, 3)}
    """
    check_dataset(dataset)
    located = dataset.then(_LocateCells())
    return {
        size: located.then(Applied(Crop(size, resize_to=resize_to, fill=fill), 0)) for size in sizes
    }


@dataclass(frozen=True)
class _LocateCells:
    """Locates the cells once, for all following crops."""

    def __call__(self, plan: Plan) -> Plan:
        from ..kernels.segment.centers import find_centers

        return plan if plan.pixels.has_masks else plan.measure(CELL, find_centers)

    def __str__(self) -> str:
        return "cells located"
