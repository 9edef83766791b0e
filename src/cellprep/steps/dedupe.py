"""Removal of repeated images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from ..duplicates.exact import repeated_rows
from ..duplicates.policies import resolve_duplicates
from ..duplicates.relations import related
from ..duplicates.settings import Search
from ..kernels import Hash
from ..plan.plan import Plan
from .settings import Range
from .step import Step

OnConflict = Literal["drop", "majority", "keep"]
OnDuplicate = Literal["one", "drop", "keep"]


@dataclass(frozen=True)
class Dedupe(Step):
    """Remove images that occur more than once, above all those with conflicting labels.

    Duplicates are images whose pixels are all equal. `symmetries` and `near` add flipped, rotated
    and processed copies, as defined by `find_duplicates`. `Dataset.removed()` lists every removed
    image with the reason. An image that somebody decided to keep is not removed (see `Decide`).

    Parameters
    ----------
    on_conflict : "drop", "majority" or "keep"
        What to do with a group whose labels disagree: drop all its images; keep those with the
        label of more than half of them (if there is none, drop all); or keep the group, unless it
        is larger than `max_copies`.
    on_duplicate : "one", "drop" or "keep"
        What to do with a group whose labels agree: keep the image with the smallest id, drop all,
        or keep all.
    max_copies : int or None
        A larger group is an outlier and is removed entirely, even if its labels agree.
    near : int or None
        Maximum Hamming distance of near duplicates' hashes, of 64 bits; None: no near duplicates.
    symmetries : bool
        Whether flipped and rotated (quarter turns) images are duplicates.
    hash : "phash", "dhash", "ahash" or "whash"
        The perceptual hash that `near` compares.

    Examples
    --------
    >>> Dedupe(on_duplicate="drop")
    Dedupe(on_conflict='drop', on_duplicate='drop', max_copies=10, near=None, symmetries=False, ...)
    """

    on_conflict: OnConflict = "drop"
    on_duplicate: OnDuplicate = "one"
    max_copies: Annotated[int, Range(1, 2**31)] | None = 10
    near: Annotated[int, Range(0, 24)] | None = None
    symmetries: bool = False
    hash: Hash = "phash"

    def extend(self, plan: Plan) -> Plan:
        search = Search(self.near, self.symmetries, self.hash)
        if search:
            plan, found = related(plan, search)
            at, groups = found.repeated(len(plan))
        else:
            plan, at, groups = repeated_rows(plan)
        rows = plan.table.take(at)
        why = resolve_duplicates(
            groups,
            rows.labels,
            rows.order(),
            on_conflict=self.on_conflict,
            on_duplicate=self.on_duplicate,
            max_copies=self.max_copies,
        )
        if rows.decided is not None:
            why = {reason: gone[~rows.decided[gone]] for reason, gone in why.items()}
        stays = np.ones(len(plan), bool)
        for gone in why.values():
            stays[at[gone]] = False
        return plan.keep(stays, {reason: at[gone] for reason, gone in why.items()})
