"""Tables of rows that are computed when they are needed, a block at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Keys, Positions
from ..errors import CellprepError
from . import choice
from .choice import Choice, Compact, Repeats
from .rows import Rows

_RECENT, _RECENT_ROWS = 8, 4096
_BLOCK = 1 << 16
"""Rows that are looked at together where all of a large table are needed."""


class Table(Compact, ABC):
    """n rows; those of a small table are computed once and kept."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _compute(self, at: Positions | slice) -> Rows:
        """The rows at these positions."""

    @cached_property
    def rows(self) -> Rows:
        """All rows, 32 bytes and more each."""
        return self._compute(slice(None))

    @cached_property
    def _keys(self) -> Keys:
        return self.rows.keys

    def take(self, at: Positions | slice) -> Rows:
        """The rows at these positions, in this order."""
        if self._is_small:
            return self.rows.take(at)
        run = choice.consecutive(at, len(self))
        if run is None or run[1] - run[0] > _RECENT_ROWS:
            return self._compute(at)
        for (start, stop), rows in list(self._recent.items()):
            if start <= run[0] and run[1] <= stop:
                return rows.take(slice(run[0] - start, run[1] - start))
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        rows = self._recent[run] = self._compute(slice(*run))
        return rows

    @cached_property
    def _recent(self) -> dict[tuple[int, int], Rows]:
        """Consecutive rows that were needed last: all that is done to a block needs the same."""
        return {}

    def keys(self, at: Positions) -> Keys:
        """(k,) uint64, the random-number keys of the rows at these positions."""
        return self._keys[at] if self._is_small else self.take(at).keys

    def blocks(self) -> Iterator[tuple[slice, Rows]]:
        """All rows, block by block, with their positions."""
        if self._is_small:
            yield slice(0, len(self)), self.rows
            return
        for start in range(0, len(self), _BLOCK):
            at = slice(start, min(start + _BLOCK, len(self)))
            yield at, self._compute(at)

    def counts(self, classes: int) -> NDArray[np.int64]:
        """(classes,) rows of each class."""
        counts = np.zeros(classes, np.int64)
        for _, rows in self.blocks():
            counts += np.bincount(rows.labels, minlength=classes)
        return counts

    @property
    def _is_small(self) -> bool:
        return len(self) <= choice.SMALL


@dataclass(frozen=True, eq=False)
class Stored(Table):
    """Rows in memory."""

    stored: Rows

    def __len__(self) -> int:
        return len(self.stored)

    def _compute(self, at: Positions | slice) -> Rows:
        return self.stored if isinstance(at, slice) and at == slice(None) else self.stored.take(at)


@dataclass(frozen=True, eq=False)
class Chosen(Table):
    """Some rows of another table."""

    before: Table
    choice: Choice

    def __len__(self) -> int:
        return len(self.choice)

    def _compute(self, at: Positions | slice) -> Rows:
        return _rows_of(self.before, self.choice.rows(at))


@dataclass(frozen=True, eq=False)
class Repeated(Table):
    """Rows of another table several times, as copies.

    Copy c of an image becomes its copies c * radix + first, first + 1 ... While these are below
    the next multiple of radix, numbers are unique and do not depend on other rows.
    """

    before: Table
    choice: Repeats
    radix: int
    first: int = 0

    def __len__(self) -> int:
        return len(self.choice)

    def _compute(self, at: Positions | slice) -> Rows:
        rows = _rows_of(self.before, self.choice.rows(at))
        copies = rows.copies * self.radix + self.first + self.choice.repetition(at)
        return replace(rows, copies=copies)

    def added(self, at: Positions | slice) -> NDArray[np.bool_]:
        """Whether the rows at these positions are added copies, not the row itself."""
        return self.choice.repetition(at) + self.first > 0


@dataclass(frozen=True, eq=False)
class Changed(Table):
    """The rows of another table with other values in some columns.

    Attributes
    ----------
    values : dict
        By the name of an attribute of `Rows`: a value per row, None, or, for the columns that were
        measured, a dict of arrays.
    """

    before: Table
    values: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.before)

    def _compute(self, at: Positions | slice) -> Rows:
        values = {name: _taken(value, at) for name, value in self.values.items()}
        return replace(self.before.take(at), **values)


def _rows_of(table: Table, at: Positions) -> Rows:
    """Rows of a table; where there are few others between them, all at once, which is faster."""
    if len(at) and at[-1] - at[0] < 4 * len(at) and (at[1:] >= at[:-1]).all():
        first = int(at[0])
        return table.take(slice(first, int(at[-1]) + 1)).take(at - first)
    return table.take(at)


def _taken(value: Any, at: Positions | slice) -> Any:
    if isinstance(value, Mapping):
        return {name: column[at] for name, column in value.items()}
    return None if value is None else value[at]


def repeated(before: Table, counts: NDArray[Any] | int, radix: int, first: int = 0) -> Repeated:
    """Each row `counts` times; refused if there are too many copies to number them."""
    most = (counts if isinstance(counts, int) else int(counts.max(initial=0))) + first
    highest = max((int(rows.copies.max(initial=0)) for _, rows in before.blocks()), default=0)
    if most > radix or (highest + 1) * radix > 2**63 - 1:
        raise CellprepError(
            f"{most:,} copies of an image that is itself copy {highest:,} exceed the copy numbers "
            "available; choose fewer"
        )
    return Repeated(before, Repeats.compact(counts, len(before)), radix, first)
