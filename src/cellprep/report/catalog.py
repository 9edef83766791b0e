"""Every image that a page names and every picture that it shows, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset.dataset import Dataset
from .pictures import Album

FIELDS = (
    *("id", "copy", "class_name", "file", "group"),
    *("relation", "symmetry", "distance", "difference", "conflict", "part"),
)
"""What the page records of an image; outside of duplicate groups only the first four."""


@dataclass(frozen=True)
class Tile:
    """A picture, the images that it represents, and the text below it."""

    picture: int
    rows: list[int]
    title: str
    facts: str = ""


class Catalog:
    """The images and pictures of a page, numbered in order of first use."""

    def __init__(self) -> None:
        self.album = Album()
        self.rows: list[list[Any]] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._datasets: dict[int, Dataset] = {}  # keeps each alive, so that no id is used twice

    def name(self, dataset: Dataset, row: int, facts: Sequence[Any] = ()) -> int:
        """The page's number for a row; `facts` describe it within a duplicate group."""
        number = self._numbers.get((id(dataset), row))
        if number is None or facts:
            rows = dataset.plan.rows
            name = dataset.class_names[rows.labels[row]]
            known = rows.ids[row].item(), int(rows.copies[row]), name, _file(dataset, row)
            number = len(self.rows)
            self._datasets[id(dataset)] = dataset
            self.rows.append([*known, *facts])
            self._numbers.setdefault((id(dataset), row), number)
        return number

    def tile(self, dataset: Dataset, row: int, digest: NDArray[np.uint64]) -> Tile:
        """A picture of one row, titled with its class."""
        number = self.name(dataset, row)
        return Tile(self.album.row(dataset, row, digest), [number], self.rows[number][2])


def _file(dataset: Dataset, row: int) -> str:
    """The file that contains a row, and the row's position in it."""
    return dataset.source.row_name(int(dataset.plan.origin(np.array([row]))[0]))
