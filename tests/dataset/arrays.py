"""Arrays that several test files use."""

from __future__ import annotations

import numpy as np

from cellprep import Dataset


def many(n: int = 20_000) -> Dataset:
    return Dataset.from_arrays(np.zeros((n, 4, 4, 3), np.uint8), np.arange(n) % 2)
