"""Which rows of a table another table has: compact, because tables may have billions of rows.

A choice of up to `SMALL` rows is an array of positions; a larger one takes a bit per row of the
table before, if rows were left out, and the smallest whole number that fits, if they were repeated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Masks, Positions, as_slice

SMALL = 1 << 22
"""Rows up to which everything about them is computed at once and kept."""
_BLOCK = 1024  # rows of the table before that are looked at together


class Compact:
    """Keeps what it has computed of itself, but does not send it to other processes."""

    def __getstate__(self) -> dict[str, Any]:
        kind = type(self)
        return {
            name: value
            for name, value in vars(self).items()
            if not isinstance(getattr(kind, name, None), cached_property)
        }


@dataclass(frozen=True, eq=False)
class Choice(Compact, ABC):
    """The row of the table before that each of n rows is."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _find(self, at: Positions) -> Positions:
        """The rows before of the rows at these positions."""

    @abstractmethod
    def _span(self, start: int, stop: int) -> Positions:
        """The same for consecutive rows, in less time."""

    @cached_property
    def _every(self) -> Positions:
        return self._span(0, len(self))

    def rows(self, at: Positions | slice) -> Positions:
        """The rows before of the rows at these positions."""
        if len(self) <= SMALL:
            return self._every[at]
        run = consecutive(at, len(self))
        return self._find(np.asarray(at)) if run is None else self._span(*run)


@dataclass(frozen=True, eq=False)
class Picked(Choice):
    """Any rows, in any order."""

    at: Positions

    def __len__(self) -> int:
        return len(self.at)

    def _find(self, at: Positions) -> Positions:
        return self.at[at]

    def _span(self, start: int, stop: int) -> Positions:
        return self.at[start:stop]


@dataclass(frozen=True, eq=False)
class Kept(Choice):
    """The rows that were kept, in their order.

    Attributes
    ----------
    bits : (m // 8,) uint8
        A bit per row of the table before, padded to whole blocks.
    n : int
        Rows kept.
    """

    bits: NDArray[np.uint8]
    n: int

    @classmethod
    def of(cls, kept: Masks) -> Kept:
        """
        >>> Kept.of(np.array([False, True, True]))._find(np.array([1, 0]))
        array([2, 1])
        """
        packed = np.packbits(kept)
        bits = np.zeros(-(-len(kept) // _BLOCK) * _BLOCK // 8, np.uint8)
        bits[: len(packed)] = packed
        return cls(bits, int(np.count_nonzero(kept)))

    def __len__(self) -> int:
        return self.n

    @cached_property
    def _blocks(self) -> NDArray[np.uint8]:
        return self.bits.reshape(-1, _BLOCK // 8)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """(blocks + 1,) the number of rows kept before each block."""
        return _sums(np.bitwise_count(self._blocks).sum(axis=1, dtype=np.int64))

    def _find(self, at: Positions) -> Positions:
        blocks, which = np.unique(_block_of(at, self._starts), return_inverse=True)
        inside = np.flatnonzero(np.unpackbits(self._blocks[blocks]))
        before = _sums(self._starts[blocks + 1] - self._starts[blocks])
        found = inside[before[which] + at - self._starts[blocks[which]]]
        return np.asarray(blocks[which] * _BLOCK + found % _BLOCK)

    def _span(self, start: int, stop: int) -> Positions:
        if start >= stop:
            return np.empty(0, np.int64)
        first, last = _block_of(np.array([start, stop - 1]), self._starts)
        inside = np.flatnonzero(np.unpackbits(self._blocks[first : last + 1]))
        before = self._starts[first]
        return np.asarray(first * _BLOCK + inside[start - before : stop - before])


@dataclass(frozen=True, eq=False)
class Repeats(Choice):
    """Each row so many times, one after the other.

    Attributes
    ----------
    counts : (m,) unsigned, or int
        How often each row occurs; a single number holds for all rows.
    of : int
        Rows of the table before.
    """

    counts: NDArray[Any] | int
    of: int

    @classmethod
    def compact(cls, counts: NDArray[Any] | int, of: int) -> Repeats:
        """
        >>> repeats = Repeats.compact(np.array([2, 0, 1]), 3)
        >>> repeats._find(np.arange(3)), repeats.repetition(np.arange(3))
        (array([0, 0, 2]), array([0, 1, 0]))
        """
        if isinstance(counts, int):
            return cls(counts, of)
        most = int(counts.max(initial=0))
        return cls(counts.astype(np.min_scalar_type(most), copy=False), of)

    @cached_property
    def _n(self) -> int:
        return self.counts * self.of if isinstance(self.counts, int) else int(self._starts[-1])

    def __len__(self) -> int:
        return self._n

    @cached_property
    def _blocks(self) -> NDArray[Any]:
        assert not isinstance(self.counts, int)
        whole = np.zeros(-(-self.of // _BLOCK) * _BLOCK, self.counts.dtype)
        whole[: self.of] = self.counts
        return whole.reshape(-1, _BLOCK)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """(blocks + 1,) the number of rows before those of each block."""
        return _sums(self._blocks.sum(axis=1, dtype=np.int64))

    def _find(self, at: Positions) -> Positions:
        return self._find_both(at)[0]

    def _span(self, start: int, stop: int) -> Positions:
        return self._span_of_both(start, stop)[0]

    def repetition(self, at: Positions | slice) -> NDArray[np.int64]:
        """Which repetition the rows at these positions are, from 0."""
        if len(self) <= SMALL:
            return self._every_repetition[at]
        run = consecutive(at, len(self))
        both = self._find_both(np.asarray(at)) if run is None else self._span_of_both(*run)
        return both[1]

    @cached_property
    def _every_repetition(self) -> NDArray[np.int64]:
        return self._span_of_both(0, len(self))[1]

    def _span_of_both(self, start: int, stop: int) -> tuple[Positions, NDArray[np.int64]]:
        if isinstance(self.counts, int) or start >= stop:
            return self._find_both(np.arange(start, stop))
        first, last = _block_of(np.array([start, stop - 1]), self._starts)
        counts = self.counts[first * _BLOCK : (last + 1) * _BLOCK]
        here = np.repeat(np.arange(len(counts)), counts)[start - self._starts[first] :]
        here = here[: stop - start]
        begins = self._starts[first] + np.cumsum(counts, dtype=np.int64) - counts
        return first * _BLOCK + here, np.arange(start, stop) - begins[here]

    def _find_both(self, at: Positions) -> tuple[Positions, NDArray[np.int64]]:
        if isinstance(self.counts, int):
            rows, repetition = np.divmod(at, max(self.counts, 1))
            return rows, repetition
        blocks = np.unique(_block_of(at, self._starts))
        counts = self._blocks[blocks]
        ends = (np.cumsum(counts, axis=1, dtype=np.int64) + self._starts[blocks, None]).ravel()
        here = np.searchsorted(ends, at, side="right")
        rows = blocks[here // _BLOCK] * _BLOCK + here % _BLOCK
        return rows, at - (ends[here] - counts.ravel()[here])


def kept(at: NDArray[Any], n: int) -> Choice:
    """The choice of some of n rows, by their positions or by a mask."""
    if at.dtype == bool:
        return Kept.of(at) if n > SMALL else Picked(np.flatnonzero(at))
    if n <= SMALL or not (at[1:] > at[:-1]).all():
        return Picked(at)
    mask = np.zeros(n, bool)
    mask[at] = True
    return Kept.of(mask)


def consecutive(at: Positions | slice, n: int) -> tuple[int, int] | None:
    """The first of consecutive rows, and the end after the last; None if they are not."""
    run = at if isinstance(at, slice) else as_slice(at)
    if run is None:
        return None
    start, stop, _ = run.indices(n)
    return start, max(start, stop)


def as_positions(at: Positions | slice, n: int) -> Positions:
    """A slice of n rows as positions."""
    return np.arange(*at.indices(n)) if isinstance(at, slice) else at


def _block_of(at: Positions, starts: NDArray[np.int64]) -> Positions:
    return np.searchsorted(starts, at, side="right") - 1


def _sums(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of all counts before each one, and of all."""
    return np.concatenate([[0], np.cumsum(counts)])
