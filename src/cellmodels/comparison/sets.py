"""The data sets of a comparison: splits, what recipes make of them, and the test sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cellprep
from cellprep import CellprepError, Dataset

from ..data.checks import check_disjoint
from .table import SPLITS, Row, Table, folder_name

_VALIDATION = 1000
"""Added to the seed of a run for the shifts of its validation split, so that these are others than
those of its test split."""


@dataclass(frozen=True)
class Sets:
    """The data sets of one seed, and of one fold if the table has folds.

    Attributes
    ----------
    table : Table
    seed : int
    fold : int or None
        The part that is tested, counted from 1.
    folder : Path
        Where the sets that recipes make are written.
    splits : dict of str to Dataset
        Before any recipe.
    others : dict of str to Dataset
        Test sets of other laboratories, before any recipe.
    """

    table: Table
    seed: int
    fold: int | None
    folder: Path
    splits: Mapping[str, Dataset]
    others: Mapping[str, Dataset]

    def made(self, row: Row, split: str) -> Dataset:
        """What the row's recipe makes of a split; nothing is written."""
        return self.table.recipe(row.recipe, split, self.seed)(self.splits[split])

    def written(self, row: Row, progress: bool) -> dict[str, Dataset]:
        """The splits of a row, written unless they exist already.

        A training set with fresh copies is not written.
        """
        found = {"train": self.made(row, "train")} if row.fresh else {}
        for split in SPLITS[len(found) :]:
            path = self.folder / folder_name(row.recipe) / split
            cellprep.write(self.made(row, split), path, progress=progress)
            found[split] = cellprep.read(path)
        return found

    def shifted(self, row: Row, split: str) -> dict[str, Dataset]:
        """Shifted versions of the validation or test split.

        They are changed first: their crops and masks are found in the changed images, as they would
        be with another camera.
        """
        seed = self.seed + _VALIDATION * (split == "val")
        prepare = self.table.recipe(row.recipe, "test", self.seed)
        return {
            name: prepare(self.table.steps(steps, seed)(self.splits[split]))
            for name, steps in self.table.shifted.items()
        }

    def prepared_others(self, row: Row) -> dict[str, Dataset]:
        """The test sets of other laboratories, with the row's Crop and KMeansMask."""
        prepare = self.table.recipe(row.recipe, "test", self.seed)
        return {name: prepare(cells) for name, cells in self.others.items()}


def open_sets(table: Table, source: str, folder: Path, seed: int) -> list[Sets]:
    """Read the data of a table and split them with a seed: one result, or one per fold.

    Raises
    ------
    CellprepError
        If another laboratory's set has other classes, or shares images with the training split.
    """
    cells = table.steps(table.before, seed)(cellprep.read(source, size=table.size))
    others = {name: cellprep.read(path, size=table.size) for name, path in table.others.items()}
    for name, other in others.items():
        unknown = [each for each in other.class_names if each not in cells.class_names]
        if unknown:
            raise CellprepError(
                f"{name} has the class {unknown[0]!r}, which {source!r} lacks; rename its classes, "
                "or leave these images out"
            )
        if other.shape[1:] != cells.shape[1:]:
            raise CellprepError(
                f"{name} has images of {other.shape[1]}x{other.shape[2]}, {source!r} of "
                f"{cells.shape[1]}x{cells.shape[2]}; set `size`"
            )
    sets = []
    for fold, splits in _divided(table, cells, seed).items():
        for name, other in others.items():
            check_disjoint(splits["train"], other, ("train", name), allow_leaks=False)
        sets.append(Sets(table, seed, fold, folder / "data" / place(seed, fold), splits, others))
    return sets


def place(seed: int, fold: int | None) -> str:
    """The folder of a seed and fold, relative to that of a row or of the data."""
    return f"seed-{seed}" if fold is None else f"seed-{seed}/fold-{fold}"


def _divided(table: Table, cells: Dataset, seed: int) -> dict[int | None, dict[str, Dataset]]:
    """Train, val and test by fold; with the key None if the table has no folds."""
    if table.folds is None:
        fractions: dict[str, Any] = dict(table.parts)
        return {None: cellprep.split(cells, seed=seed, groups=table.groups, **fractions)}
    parts = list(cellprep.split(cells, seed=seed, groups=table.groups, folds=table.folds).values())
    found: dict[int | None, dict[str, Dataset]] = {}
    for k, test in enumerate(parts):
        val = parts[(k + 1) % len(parts)]
        train = cells.readable().without([*val.ids, *test.ids])
        found[k + 1] = {"train": train, "val": val, "test": test}
    return found
