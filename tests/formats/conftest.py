"""Data sets that the tests of formats share."""

from __future__ import annotations

import pytest

import cellprep as cp

from .exchange_helpers import NAMES, RECIPE


@pytest.fixture
def grouped(cells) -> cp.Dataset:
    """40 cells with text ids and groups."""
    images, labels = cells
    return cp.Dataset.from_arrays(
        *(images, labels, NAMES),
        ids=[f"slide {n % 3}/../{n}.x" for n in range(40)],
        groups=[f"patient {n // 4}" for n in range(40)],
    )


@pytest.fixture
def made(grouped) -> cp.Dataset:
    """The same, masked and augmented."""
    return RECIPE(grouped)
