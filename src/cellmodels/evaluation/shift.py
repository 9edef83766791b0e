"""`shift`: corrupt a test set. Every shifted test set of cellmodels is made here."""

from __future__ import annotations

from typing import Any

import cellprep
from cellprep import Dataset, Recipe
from cellprep.errors import one_of

SUITES = ("heavy", "microscopy")


def shift(dataset: Dataset, suite: str, *, severity: int | None = None, seed: int = 0) -> Dataset:
    """The data set with each image corrupted by a suite of `cellprep.Corrupt`.

    Parameters
    ----------
    dataset : Dataset
    suite : "heavy" or "microscopy"
    severity : int, optional
        1 to 5, for "microscopy". Default: sampled for each image. Not used by "heavy".
    seed : int
        Seed of the corruptions.

    Returns
    -------
    Dataset
        Lazy: images are corrupted when they are read.

    Examples
    --------
    >>> shifted = shift(cells, "microscopy", severity=5)  # doctest: +SKIP
    """
    one_of("suite", suite, SUITES)
    settings: dict[str, Any] = {"suite": suite}
    if suite == "microscopy":
        settings["severity"] = severity
    return Recipe([cellprep.Corrupt(**settings)], seed)(dataset)
