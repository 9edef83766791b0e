"""Repeated images out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ..duplicates.near import Search
from ..duplicates.search import related
from ..kernels import HASHES
from ..plan import policies
from ..plan.plan import Plan
from .settings import OneOf, Range
from .step import Step


@dataclass(frozen=True)
class Dedupe(Step):
    """Remove images that stand more than once, first of all those under conflicting labels.

    Images are repeats when all their pixels are equal; if asked, also when they are flipped,
    turned or processed copies, as `find_duplicates` has it. `Dataset.removed()` names every image
    that went, and why.

    Parameters
    ----------
    on_conflict : "drop", "majority" or "keep"
        What to do with a group of equal images whose labels disagree: drop all of them; keep those
        under the label that more than half of them have (and drop all where none has); or leave
        the group as it is, if it is no larger than `max_copies`.
    on_duplicate : "one", "drop" or "keep"
        What to do with a group whose labels agree: keep the one with the smallest id, drop all, or
        keep all.
    max_copies : int or None
        A group larger than this is an outlier picture and goes whole, even when its labels agree.
    near : int or None
        Largest distance of the hashes of near duplicates; None looks for none.
    symmetries : bool
        Whether flips and quarter turns count.
    hash : "phash", "dhash", "ahash" or "whash"
        Of the near duplicates.

    Examples
    --------
    >>> Dedupe(on_duplicate="drop")
    Dedupe(on_conflict='drop', on_duplicate='drop', max_copies=10, near=None, symmetries=False, ...)
    """

    on_conflict: Annotated[str, OneOf("drop", "majority", "keep")] = "drop"
    on_duplicate: Annotated[str, OneOf("one", "drop", "keep")] = "one"
    max_copies: Annotated[int, Range(1, 2**31)] | None = 10
    near: Annotated[int, Range(0, 24)] | None = None
    symmetries: bool = False
    hash: Annotated[str, OneOf(*HASHES)] = "phash"

    def extend(self, plan: Plan) -> Plan:
        plan, found = related(plan, Search(self.near, self.symmetries, self.hash))
        why = policies.resolve_duplicates(
            found.groups,
            plan.rows.labels,
            plan.rows.order(),
            on_conflict=self.on_conflict,
            on_duplicate=self.on_duplicate,
            max_copies=self.max_copies,
        )
        stays = np.ones(len(plan), bool)
        for places in why.values():
            stays[places] = False
        return plan.keep(np.flatnonzero(stays), why)
