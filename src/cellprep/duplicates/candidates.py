"""Candidate pairs: those whose perceptual hashes, or hashes of windows, are close."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions
from ..system import executors
from .settings import Search
from .signatures import Signatures

_BATCH = 1 << 14  # pairs at a time

Hashes = NDArray[np.uint64]
Ranks = Callable[[int | None, Hashes], tuple[int, int, Positions]]
"""Of a search for these distinct hashes among more: the number of distinct hashes on its two sides,
and the ranks of these on the second. The hashes are of turned windows, or of images (None)."""

Candidates = tuple[Positions, Positions, NDArray[np.int64], NDArray[np.int64]]
"""First, second, the symmetry that turns the first, and the distance of the hashes."""


def candidate_pairs(
    signatures: Signatures,
    others: Signatures | None,
    search: Search,
    shape: tuple[int, int],
    roots: Positions | None,
    ranks: Ranks | None = None,
) -> Iterator[Candidates]:
    """Candidates within one set or between two, in batches; a pair may occur more than once.

    `roots` may change between batches: pairs with the same root are left out. With `ranks`, the
    images are those of a larger set that have candidates, and the batches are those of that set.
    """
    from ..kernels.hashing import symmetry, windows

    assert search.near is not None
    same = others is None
    others = signatures if others is None else others
    here, there = np.flatnonzero(~signatures.flat), np.flatnonzero(~others.flat)
    turns = symmetry.symmetries_of(*shape) if search.symmetries else (symmetry.IDENTITY,)
    find = _Expanding(search.near, same, roots, ranks)
    yield from find(
        (signatures.hashes[here], here),
        None if same else (others.hashes[there], there),
        symmetry.IDENTITY,
    )
    centers = (signatures.windows[here, 0], here)
    other_centers = (others.windows[there, 0], there)
    for turn in turns:
        # The first image turned: its windows against the centres of the second ...
        turned = windows.turned_hashes(signatures.windows[here], turn)
        yield from find(other_centers, (turned.T.ravel(), np.tile(here, 9)), turn, swapped=True)
        if not same:  # ... and its centre against the windows of the second
            turned = windows.turned_hashes(others.windows[there], symmetry.INVERSE[turn])
            yield from find(centers, (turned.T.ravel(), np.tile(there, 9)), turn)


@dataclass(frozen=True)
class _Expanding:
    """Finds the pairs of rows behind close pairs of hashes; equal hashes are compared once.

    `same` states that both sides are one set, whose rows do not pair with themselves.
    """

    distance: int
    same: bool
    roots: Positions | None
    ranks: Ranks | None = None

    def __call__(
        self,
        table: tuple[Any, Positions],
        queries: tuple[Any, Positions] | None,
        turn: int,
        swapped: bool = False,
    ) -> Iterator[Candidates]:
        """Pairs between hashes with their rows, or within `table` if there are no queries.

        With `swapped`, queries are the first images of the pairs.
        """
        from ..kernels.hashing import pairs

        runs = by_hash(*table)
        other_runs = runs if queries is None else by_hash(*queries)
        repeated = np.flatnonzero(np.diff(runs[1]) > 1)
        no_distance = np.zeros(len(repeated), np.int64)
        equal = [(repeated, repeated, no_distance)] if queries is None else []
        cut = None
        if self.ranks is not None:
            found_ranks = self.ranks(None if queries is None else turn, other_runs[0])
            cut = pairs.cut_as(*found_ranks, self.distance)
        close = pairs.close_pairs(
            runs[0],
            None if queries is None else other_runs[0],
            self.distance,
            executors.cores(),
            cut,
        )
        roots = np.empty(0, np.int64) if self.roots is None else self.roots
        kind = int(self.same) + (queries is None)
        for found in itertools.chain(equal, close):
            cursor = np.zeros(2, np.int64)
            while cursor[0] < len(found[0]):
                first, second, distance = pairs.expand(
                    *found, *runs[1:], *other_runs[1:], roots, kind, cursor, _BATCH
                )
                if swapped:
                    first, second = second, first
                if len(first):
                    yield first, second, np.full(len(first), turn), distance


def by_hash(hashes: Hashes, rows: Positions) -> tuple[Hashes, NDArray[np.int64], Positions]:
    """Distinct hashes, the start of each one's rows, and the rows."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    starts = np.append(np.flatnonzero(new), len(ordered))
    return ordered[new], starts, rows[order]
