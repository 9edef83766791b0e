"""Data sets that the tests of this folder share."""

from __future__ import annotations

import numpy as np
import pytest

import cellprep as cp
from cellprep import Dataset
from cellprep.plan.source import ArraySource

RECIPE = cp.Recipe([cp.Balance(target=6), cp.RandAugment(copies=1)], seed=5)


@pytest.fixture
def grouped(cells) -> Dataset:
    """40 synthetic cells in groups of two, and an empty class."""
    names = [*"abcdefgh", "none of these"]
    ids = [f"cell {n}" for n in range(40)]
    return Dataset.from_arrays(
        *cells, names, ids=ids, groups=[f"slide {n // 2}" for n in range(40)]
    )


@pytest.fixture
def made(grouped) -> Dataset:
    """96 images that a recipe computes from them on demand."""
    whole = Dataset.from_arrays(grouped.images[:], grouped.labels, ids=grouped.ids)
    return RECIPE(whole)


@pytest.fixture
def nothing(grouped) -> Dataset:
    """An empty data set: every image was a repeat."""
    same = Dataset.from_arrays(np.repeat(grouped.images[:2], 2, axis=0), [0, 0, 1, 1])
    return cp.Recipe([cp.Dedupe(on_duplicate="drop")])(same)


@pytest.fixture
def read_rows(monkeypatch) -> list[int]:
    """The rows of arrays in the order in which they are read."""
    rows: list[int] = []
    images = ArraySource.images

    def recorded(self, at):
        rows.extend(at.tolist())
        return images(self, at)

    monkeypatch.setattr(ArraySource, "images", recorded)
    return rows
