"""Tables of duplicates and suspicions as groups with pictures, as many as there is space for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..dataset.dataset import Dataset
from ..plan.digests import digest
from .catalog import Catalog, Tile
from .findings import Duplicates, Group
from .inspect import counted_labels

if TYPE_CHECKING:
    import pandas as pd

MOST_LISTED = 15_000  # images in groups that the page lists
MOST_TILES = 2_000  # pictures in all groups together
_TILES_PER_GROUP = 24
_SETS = {"a": "this set", "b": "test set"}


def duplicate_groups(
    table: pd.DataFrame, datasets: Mapping[str, Dataset], catalog: Catalog
) -> Duplicates:
    """The groups of a table of `find_duplicates`, `find_leaks` or `given.lookalikes`.

    `datasets` has an entry for each value of the column "part"; without that column, for "".
    """
    groups: list[Group] = []
    tiles = _Tiles(datasets, catalog)
    listed = 0
    for _, rows in table.groupby("group"):
        listed += len(rows)
        if groups and listed > MOST_LISTED:
            break
        groups.append(_group(rows, *tiles.of(rows)))
    numbers, conflict = table["group"], table["conflict"].astype(bool)
    return Duplicates(
        groups,
        len(table) if "part" not in table else int((table["part"] == "b").sum()),
        numbers.nunique(),
        numbers[conflict].nunique(),
        int(conflict.sum()),
    )


def suspected_labels(
    table: pd.DataFrame, dataset: Dataset, digests: NDArray[np.uint64], catalog: Catalog
) -> list[Group]:
    """One group for each row of a table of `given.suspected`."""
    groups = []
    row: Any
    for number, row in enumerate(table.itertuples(index=False)):
        if number == MOST_LISTED:
            break
        name = dataset.class_names[dataset.labels[row.at]]
        score = "" if np.isnan(row.score) else f", with probability {row.score:.3f}"
        groups.append(
            Group(
                number,
                conflict=False,
                kinds=["suspected label"],
                votes=f"labelled {name}{score}",
                distance=0,
                difference=0.0,
                rows=[catalog.name(dataset, row.at)],
                tiles=[catalog.tile(dataset, row.at, digests[row.at])] * (number < MOST_TILES),
                suggested=row.suggested,
            )
        )
    return groups


class _Tiles:
    """Pictures of groups, until there is no space for more."""

    def __init__(self, datasets: Mapping[str, Dataset], catalog: Catalog) -> None:
        self.datasets, self.catalog, self.space = datasets, catalog, MOST_TILES
        self.positions = {
            (part, str(id), copy): row
            for part, dataset in datasets.items()
            for row, (id, copy) in enumerate(
                zip(dataset.ids.tolist(), dataset.copies.tolist(), strict=True)
            )
        }
        self.digests = {
            part: dataset.plan.measure("digest", digest).rows.columns["digest"]
            for part, dataset in datasets.items()
        }

    def of(self, rows: pd.DataFrame) -> tuple[list[int], list[Tile]]:
        """The images of a group as the page numbers them, and a tile for each distinct picture."""
        row: Any
        parts = rows["part"] if "part" in rows else [""] * len(rows)
        names: list[int] = []
        distinct: dict[bytes, tuple[int, list[int], str]] = {}
        for row, part in zip(rows.itertuples(index=False), parts, strict=True):
            dataset, at = self.datasets[part], self.positions[part, str(row.id), int(row.copy)]
            names.append(self.catalog.name(dataset, at, _facts(row, part)))
            its_digest = self.digests[part][at]
            picture = part.encode() + its_digest.tobytes()
            if picture in distinct:
                distinct[picture][1].append(names[-1])
            elif len(distinct) < min(_TILES_PER_GROUP, self.space):
                number = self.catalog.album.row(dataset, at, its_digest)
                distinct[picture] = number, [names[-1]], _relation(row, part)
        self.space -= len(distinct)
        return names, [
            Tile(number, same, self._title(same), facts)
            for number, same, facts in distinct.values()
        ]

    def _title(self, rows: Sequence[int]) -> str:
        """The classes of equal images."""
        counts = Counter(self.catalog.rows[row][2] for row in rows)
        return counted_labels(counts) if len(rows) > 1 else next(iter(counts))


def _group(rows: pd.DataFrame, names: list[int], tiles: list[Tile]) -> Group:
    relations = set(rows["relation"])
    kinds = {
        "exact": "exact" in relations or any(len(tile.rows) > 1 for tile in tiles),
        "symmetry": "symmetry" in relations,
        "near": "near" in relations,
        "lookalike": "lookalike" in relations,
    }
    return Group(
        int(rows["group"].to_numpy()[0]),
        bool(rows["conflict"].iloc[0]),
        [kind for kind, present in kinds.items() if present],
        counted_labels(dict(Counter(map(str, rows["class_name"])).most_common())),
        int(rows["distance"].to_numpy().max()),
        float(rows["difference"].to_numpy().max()),
        names,
        tiles,
    )


def _facts(row: Any, part: str) -> list[Any]:
    """The `FIELDS` of an image that describe it within its group."""
    apart = int(row.distance), round(float(row.difference), 2)
    return [int(row.group), row.relation, row.symmetry, *apart, int(row.conflict), part]


def _relation(row: Any, part: str) -> str:
    """How an image differs from the first of its group, in words."""
    words = [_SETS[part]] if part else []
    if row.symmetry != "identity":
        words.append(str(row.symmetry).replace("_", " "))
    if row.relation == "near" and (row.distance or row.difference):
        bits = f"{row.distance} bit{'s' * (row.distance != 1)}"
        words.append(f"{bits}, {row.difference:.1f} levels apart")
    if getattr(row, "matches", 0) > 0:
        words.append(f"{row.matches:.0f} matches")
    return " · ".join(words)
