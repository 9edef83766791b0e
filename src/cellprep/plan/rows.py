"""The rows of a data set: image, copy number, label; no pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ids, Keys, Labels, Masks, Positions
from ..errors import CellprepError
from .draws import Draw, id_keys, row_keys

SAME = "same"
"""The column in which rows with the same number have the same pixels, within one table."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A table of n rows; a row is one (source id, copy number).

    Attributes
    ----------
    ids : (n,) int64 or str
        Id of the source image.
    id_keys : (n,) uint64
        The ids as random-number keys.
    labels : (n,) int64
    copies : (n,) int64
        0 for the source image itself.
    groups : (n,) int64 or str, or None
        What must stay together in a split: patient, slide, photograph.
    columns : dict
        What was measured on the pixels, one value per row.
    parts : (n,) str, or None
        The split that each image belongs to on disk.
    decided : (n,) bool, or None
        The rows that a person has decided on, whatever else is measured of them.
    """

    ids: Ids
    id_keys: Keys
    labels: Labels
    copies: NDArray[np.int64]
    groups: Ids | None = None
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    parts: NDArray[Any] | None = None
    decided: Masks | None = None

    @classmethod
    def of(
        cls,
        ids: Ids,
        labels: Labels,
        copies: NDArray[np.int64] | None = None,
        groups: Ids | None = None,
        parts: NDArray[Any] | None = None,
        decided: Masks | None = None,
    ) -> Rows:
        """Rows of a source; a repeated (id, copy) is refused."""
        keys = id_keys(ids)
        numbers = np.zeros(len(ids), np.int64) if copies is None else copies
        unique = row_keys(keys, numbers)
        unique.sort()
        if (unique[1:] == unique[:-1]).any():
            found, counts = np.unique(ids, return_counts=True)
            most = int(counts.max())
            often = "twice" if most == 2 else f"{most} times"
            raise CellprepError(f"`ids` must be unique; '{found[counts.argmax()]}' occurs {often}")
        return cls(ids, keys, labels, numbers, groups, parts=parts, decided=decided)

    @classmethod
    def concatenate(cls, first: Rows, second: Rows, labels: Labels) -> Rows:
        """The rows of both, the second with these labels; an id may occur in both."""
        ids = [first.ids, second.ids]
        if first.ids.dtype.kind != second.ids.dtype.kind:
            ids = [array.astype(str) for array in ids]
        shared = (first.columns.keys() & second.columns.keys()) - {SAME}
        return cls(
            np.concatenate(ids),
            np.concatenate([first.id_keys, second.id_keys]),
            np.concatenate([first.labels, labels]),
            np.concatenate([first.copies, second.copies]),
            columns={
                name: np.concatenate([first.columns[name], second.columns[name]]) for name in shared
            },
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to other processes: a byte or two per row, if ids are row numbers."""
        state = dict(vars(self))
        if self.ids.dtype.kind != "U":
            del state["id_keys"]
            if (self.ids == np.arange(len(self))).all():
                state["ids"] = len(self)
        for name in ("labels", "copies"):
            most = int(state[name].max(initial=0))
            state[name] = state[name].astype(np.min_scalar_type(most)) if most else len(self)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["ids"], int):
            state["ids"] = np.arange(state["ids"])
        for name in ("labels", "copies"):
            values = state[name]
            zeros = isinstance(values, int)
            state[name] = np.zeros(values, np.int64) if zeros else values.astype(np.int64)
        vars(self).update({"id_keys": id_keys(state["ids"])} | state)

    @property
    def keys(self) -> Keys:
        """(n,) uint64, one for each (id, copy)."""
        return row_keys(self.id_keys, self.copies)

    def take(self, at: Positions | slice) -> Rows:
        """The rows at these positions, in this order; views for a slice."""
        return Rows(
            self.ids[at],
            self.id_keys[at],
            self.labels[at],
            self.copies[at],
            None if self.groups is None else self.groups[at],
            {name: column[at] for name, column in self.columns.items()},
            None if self.parts is None else self.parts[at],
            None if self.decided is None else self.decided[at],
        )

    def shuffled(self, seed: int, epoch: int) -> Positions:
        """Positions in the order of an epoch, which depends on seed, epoch and row keys only."""
        return np.argsort(Draw(seed, "fit", self.keys).bits(f"epoch {epoch}"), kind="stable")

    def one_per_image(self) -> Positions:
        """Positions of the lowest copy number of each id, ascending."""
        order = self.order()
        ids = self.ids[order]
        first = np.ones(len(order), bool)
        first[1:] = ids[1:] != ids[:-1]
        return np.sort(order[first])

    def order(self) -> Positions:
        """Positions sorted by (id, copy), so that the result does not depend on row order."""
        return np.lexsort((self.copies, self.ids))
