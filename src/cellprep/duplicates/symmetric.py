"""Pairs of images that are equal after a flip or a quarter turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Positions
from ..plan.digests import digest
from ..plan.groups import equal_rows
from ..plan.nodes import Node
from ..plan.plan import Plan
from ..system import executors
from .pairs import Pairs

_ROUNDS = 4  # rounds by invariants; more are needed by chance or malice only


def symmetric_pairs(plan: Plan, rows: Positions, invariants: NDArray[np.uint64]) -> Iterator[Pairs]:
    """Pairs of these rows, whose pixels differ, that are equal under a symmetry.

    Rows with the same invariant are compared with the first of them, the remaining ones with the
    next first. After a few rounds they are grouped by the least digest of all turned images
    instead.
    """
    proposed = equal_rows(invariants[:, None])
    pending = np.flatnonzero(proposed >= 0)
    rounds = 0
    while len(pending):
        names, first = np.unique(proposed[pending], return_index=True)
        leader = pending[first][np.searchsorted(names, proposed[pending])]
        follower = pending != leader
        one, two = leader[follower], pending[follower]
        spans = plan.spans(len(one))
        calls = executors.run(_Matching(plan.pixels, rows[one], rows[two]), spans, "comparing")
        turn = np.concatenate([*calls, np.empty(0, np.int64)]).astype(np.int64)
        found = turn >= 0
        zeros = np.zeros(int(found.sum()))
        if len(zeros):
            yield Pairs(one[found], two[found], turn[found], zeros.astype(int), zeros)
        pending = two[~found]
        rounds += 1
        if rounds == _ROUNDS and len(pending):
            spans = plan.spans(len(pending))
            digests = executors.run(_LeastDigest(plan.pixels, rows[pending]), spans, "comparing")
            proposed[pending] = equal_rows(np.concatenate([*digests]))
            pending = pending[proposed[pending] >= 0]


@dataclass(frozen=True)
class _Matching:
    """The symmetry that turns each row of a span into the other one of its pair, or -1."""

    pixels: Node
    rows: Positions
    others: Positions

    def __call__(self, span: executors.Span) -> NDArray[np.int64]:
        from ..kernels.hashing import symmetry

        images, index = _distinct(self.pixels, self.rows[slice(*span)])
        others, _ = _distinct(self.pixels, self.others[slice(*span)])
        return symmetry.matching(others, images, index)


@dataclass(frozen=True)
class _LeastDigest:
    """The least digest among each image of a span and its turned copies."""

    pixels: Node
    rows: Positions

    def __call__(self, span: executors.Span) -> NDArray[np.uint64]:
        from ..kernels.hashing import symmetry

        images, _ = self.pixels.evaluate(self.rows[slice(*span)])
        turns = symmetry.symmetries_of(*images.shape[1:3])
        found = np.stack([digest(symmetry.turned(images, turn)) for turn in turns])
        least = np.lexsort((found[..., 1], found[..., 0]), axis=0)[0]
        return np.asarray(found[least, np.arange(len(images))])


def _distinct(pixels: Node, rows: Positions) -> tuple[Images, Positions]:
    """The distinct images of these rows, and the index of each row's image."""
    distinct, index = np.unique(rows, return_inverse=True)
    if len(distinct) == len(rows):
        distinct, index = rows, np.arange(len(rows))
    return np.ascontiguousarray(pixels.evaluate(distinct)[0]), index
