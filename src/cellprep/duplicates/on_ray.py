"""The search for duplicates on a Ray cluster: only rows that may have some come back.

Tasks measure digests and hashes, which stay on the cluster. Others divide them into buckets, by
bits that duplicates have in common, and search each bucket. The caller then searches the rows found
as it always does, with the same result as if it had searched all rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Positions
from ..errors import BadImagesError
from ..kernels.splitmix import mix
from ..plan.digests import digest
from ..plan.groups import equal_rows
from ..plan.nodes import Node
from ..plan.plan import Plan
from ..system import executors
from .candidates import Hashes, Ranks, by_hash
from .pairs import first_of_runs
from .settings import Search
from .signatures import Measuring

MOST_ROWS = 1_000_000
"""Rows that the caller searches by itself, also with `executor="ray"`."""

_SPAN = 1 << 14  # rows that one task measures
_BUCKET = 1 << 20  # entries of a bucket, on average
_BLOCK = 1 << 13  # entries of a block, at least: Ray keeps values below 100 KB in the caller

Records = NDArray[np.void]
"""What was measured of each row: the arrays of `Signatures` without thumbnails."""
Bits = NDArray[np.uint64]
"""(n,), the leading ones of which determine the bucket of an entry."""
Entries = NDArray[np.uint64]
"""(n, k): what is compared, and the row that it belongs to."""


def applies(plan: Plan) -> bool:
    """Whether duplicates among the rows of this plan are searched on a cluster."""
    return executors.on_cluster() and len(plan) > MOST_ROWS


def candidates(plan: Plan, search: Search) -> tuple[Positions, Ranks]:
    """The rows that may have duplicates, ascending, and the ranks of their hashes among all."""
    found = np.zeros(len(plan), bool)
    measured = _measured(plan, search)
    for rows in measured.candidates():
        found[rows] = True
    return np.flatnonzero(found), measured.ranks


def _measured(plan: Plan, search: Search) -> _OnCluster:
    """Digests and hashes of all rows, which stay on the cluster."""
    task: _Known | _Measuring
    if not search and "digest" in plan.table.take(slice(0)).columns:
        task = _Known(plan.rows.columns["digest"])
    else:
        task = _Measuring(plan.pixels, search, plan.spans()[0][1])
    spans, size = executors.cut(len(plan), _SPAN), math.prod(plan.shape)
    causes: dict[str, str] = {}
    pieces = []
    for piece, bad in executors.keep(task, spans, "looking for duplicates", image_bytes=size):
        pieces.append(piece)
        causes |= bad
    if causes:
        raise BadImagesError(causes, "Fix them, or omit them with .readable()")
    return _OnCluster(pieces, len(plan), plan.shape, search)


@dataclass(frozen=True, eq=False)
class _OnCluster:
    """What was measured of n rows, in pieces on the cluster."""

    pieces: Sequence[Any]
    n: int
    shape: tuple[int, int, int]
    search: Search

    def candidates(self) -> Iterator[Positions]:
        """The rows that may have duplicates; a row may occur more than once."""
        from ..kernels.hashing import symmetry

        yield from self._shuffle(_digests, _repeated)
        if self.search.symmetries:
            yield from self._shuffle(_invariants, _repeated)
        near = self.search.near
        if near is None:
            return
        turns: Sequence[int] = (symmetry.IDENTITY,)
        if self.search.symmetries:
            turns = symmetry.symmetries_of(*self.shape[:2])
        for turn in (None, *turns):
            search = partial(_close, near, turn is None)
            for band in range(near + 1):
                yield from self._shuffle(
                    partial(_banded, turn, band, near + 1), search, _per_row(turn)
                )

    def ranks(self, turn: int | None, hashes: Hashes) -> tuple[int, int, Positions]:
        """See `Ranks`."""
        counts = np.zeros(2, np.int64)
        ranks = [np.empty(0, np.int64)]
        search = partial(_found, hashes)
        for sizes, found in self._shuffle(partial(_distinct, turn), search, _per_row(turn)):
            ranks.append(found + counts[1])
            counts += sizes
        return int(counts[int(turn is None)]), int(counts[1]), np.concatenate(ranks)

    def _shuffle(
        self, select: _Select, search: Callable[..., Any], per_row: int = 1
    ) -> Iterator[Any]:
        """What a search finds in each bucket of entries, in the order of their bits."""
        buckets = max(2, -(-self.n * per_row // _BUCKET))
        together = -(-buckets * _BLOCK // (_SPAN * per_row))
        groups = executors.cut(len(self.pieces), together)
        pieces = [self.pieces[start:stop] for start, stop in groups]
        return executors.shuffle(pieces, partial(_split, select, buckets), search, buckets)


# -- tasks: what is measured ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Known:
    """Digests that were measured before."""

    digests: NDArray[np.uint64]

    def __call__(self, span: executors.Span) -> tuple[tuple[int, Records], Mapping[str, str]]:
        return (span[0], _as_records(self.digests[slice(*span)])), {}


@dataclass(frozen=True, eq=False)
class _Measuring:
    """Measures the rows of a span, a block at a time; also the causes why some cannot be read."""

    pixels: Node
    search: Search
    block: int

    def __call__(self, span: executors.Span) -> tuple[tuple[int, Records], Mapping[str, str]]:
        causes: dict[str, str] = {}
        records = []
        for start, stop in executors.cut(span[1] - span[0], self.block):
            try:
                images, _ = self.pixels.evaluate(np.arange(span[0] + start, span[0] + stop))
            except BadImagesError as error:
                causes |= error.causes
            else:
                records.append(self._records(images))
        return (span[0], np.concatenate(records or [np.empty(0, np.void)])), causes

    def _records(self, images: Images) -> Records:
        if not self.search:  # compiled code would be loaded in vain
            return _as_records(digest(images))
        found = Measuring(self.search)(images)
        return replace(found, thumbnails=found.thumbnails[:0]).packed()


def _as_records(digests: NDArray[np.uint64]) -> Records:
    return np.ascontiguousarray(digests).view([("digests", np.uint64, 2)])[:, 0]


# -- tasks: which entries there are, and in which buckets ----------------------------------------

_Select = Callable[[int, Records], tuple[Bits, Entries]]
"""The entries of a piece, which starts at that row."""


def _split(select: _Select, buckets: int, *pieces: tuple[int, Records]) -> list[Entries]:
    """The entries of some pieces, bucket by bucket."""
    selected = [select(*piece) for piece in pieces]
    bits = np.concatenate([bits for bits, _ in selected])
    entries = np.concatenate([entries for _, entries in selected])
    bucket = ((bits >> np.uint64(32)) * np.uint64(buckets)) >> np.uint64(32)
    order = np.argsort(bucket, kind="stable")
    edges = np.searchsorted(bucket[order], np.arange(1, buckets).astype(np.uint64))
    return np.split(entries[order], edges)


def _digests(start: int, records: Records) -> tuple[Bits, Entries]:
    """Rows and digests."""
    digests = records["digests"]
    return digests[:, 1], np.column_stack([_rows(start, records), digests])


def _invariants(start: int, records: Records) -> tuple[Bits, Entries]:
    """Rows, and what is equal for turned images."""
    invariants = records["invariants"]
    return mix(invariants), np.column_stack([_rows(start, records), invariants])


def _banded(
    turn: int | None, band: int, bands: int, start: int, records: Records
) -> tuple[Bits, Entries]:
    """Hashes, rows and sides, by one band of the hashes.

    Hashes that differ in fewer bits than there are bands agree in one of them.
    """
    entries = _hashes(turn, start, records)
    edges = np.linspace(0, 64, bands + 1).round().astype(np.uint64)
    above = np.uint64(64) - edges[band + 1]
    # Mixed, because the leading bits of hashes are uneven.
    return mix(entries[:, 0] << above >> (above + edges[band])), entries


def _distinct(turn: int | None, start: int, records: Records) -> tuple[Bits, Entries]:
    """Distinct hashes and sides, in the order of the hashes."""
    entries = _hashes(turn, start, records)[:, [0, 2]]
    order = np.lexsort((entries[:, 0], entries[:, 1]))
    entries = entries[first_of_runs(order, *entries.T)]
    return entries[:, 0], entries


def _hashes(turn: int | None, start: int, records: Records) -> Entries:
    """Hashes, rows and sides: with a turn, of centres (0) and turned windows (1), else of images.

    Images without detail have none.
    """
    from ..kernels.hashing.windows import turned_hashes

    rows = _rows(start, records)[~records["flat"]]
    records = records[~records["flat"]]
    if turn is None:
        hashes, sides = records["hashes"][:, None], np.ones(1, np.uint64)
    else:
        windows = np.ascontiguousarray(records["windows"])
        hashes = np.column_stack([windows[:, 0], turned_hashes(windows, turn)])
        sides = (np.arange(10) > 0).astype(np.uint64)
    columns = np.broadcast_arrays(hashes, rows[:, None], sides)
    return np.stack([column.ravel() for column in columns], axis=1)


def _rows(start: int, records: Records) -> NDArray[np.uint64]:
    return np.arange(start, start + len(records)).astype(np.uint64)


def _per_row(turn: int | None) -> int:
    """The number of hashes of one row."""
    return 1 if turn is None else 10


# -- tasks: the search in one bucket -------------------------------------------------------------


def _repeated(*blocks: Entries) -> Positions:
    """Rows that are not the only one of their kind."""
    entries = np.concatenate(blocks)
    repeated: Entries = entries[equal_rows(entries[:, 1:]) >= 0]
    return repeated[:, 0].astype(np.int64)


def _close(distance: int, within: bool, *blocks: Entries) -> Positions:
    """Rows with a hash that is close to one of another row, on the other side unless `within`."""
    from ..kernels.hashing.pairs import close_pairs

    entries = np.concatenate(blocks)
    theirs = _side(entries, 1)
    ours = theirs if within else _side(entries, 0)
    hits = [np.zeros(len(side[0]), bool) for side in (ours, theirs)]
    if within:
        hits[0] |= np.diff(ours[1]) > 1
    for first, second, _ in close_pairs(ours[0], None if within else theirs[0], distance):
        # An image's centre is close to its own windows.
        least = [side[2][side[1][at]] for side, at in ((ours, first), (theirs, second))]
        most = [side[2][side[1][at + 1] - 1] for side, at in ((ours, first), (theirs, second))]
        others = np.minimum(*least) != np.maximum(*most)
        hits[0][first[others]] = hits[1][second[others]] = True
    rows = [
        side[2][np.repeat(hit, np.diff(side[1]))]
        for side, hit in zip((ours, theirs), hits, strict=True)
    ]
    return np.unique(np.concatenate(rows)).astype(np.int64)


def _side(entries: Entries, side: int) -> tuple[Hashes, Positions, Positions]:
    """The distinct hashes of a side, the start of each one's rows, and the rows, ascending."""
    hashes, rows, _ = entries[entries[:, 2] == side].T
    order = np.lexsort((rows, hashes))
    return by_hash(hashes[order], rows[order])


def _found(hashes: Hashes, *blocks: Entries) -> tuple[NDArray[np.int64], Positions]:
    """The number of distinct entries of both sides, and the ranks on side 1 of these hashes."""
    hashes_and_sides = np.unique(np.concatenate(blocks), axis=0)
    sides = [hashes_and_sides[hashes_and_sides[:, 1] == side, 0] for side in (0, 1)]
    return np.array([len(side) for side in sides]), np.flatnonzero(np.isin(sides[1], hashes))
