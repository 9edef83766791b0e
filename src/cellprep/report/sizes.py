"""Sizes of the files, and images whose size is far from that of the others."""

from __future__ import annotations

import numpy as np

from ..arrays import Positions
from ..dataset.dataset import Dataset
from ..plan.source import frequencies


def odd_sizes(dataset: Dataset) -> tuple[Positions, dict[tuple[int, int], int]]:
    """Rows whose file has an unusual size, and the number of files by (height, width).

    Unusual: more than three interquartile ranges outside the quartiles, in the square root of the
    area or in the logarithm of width / height.
    """
    source = dataset.source
    if source.trusted:
        return np.empty(0, np.int64), {dataset.plan.shape[:2]: len(dataset)}
    sizes = source.image_sizes()
    origin = dataset.plan.origin(np.arange(len(dataset))).tolist()
    of_rows = [sizes[position] or dataset.plan.shape[:2] for position in origin]
    height, width = np.array(of_rows, float).T
    odd = np.zeros(len(of_rows), bool)
    for values in (np.sqrt(height * width), np.log(width / height)):
        low, high = np.quantile(values, (0.25, 0.75))
        slack = 3 * (high - low) + 1e-9
        odd |= (values < low - slack) | (values > high + slack)
    return np.flatnonzero(odd), frequencies(of_rows)
