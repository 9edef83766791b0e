"""Groups of images with equal pixels: digests propose them, pixels confirm them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..plan import choice
from ..plan.digests import digest, prefilter_digest
from ..plan.groups import Groups, equal_rows, occur_again
from ..plan.nodes import Node
from ..plan.plan import Plan
from ..plan.rows import SAME
from ..system import executors
from . import on_ray
from .settings import Search


def exact_groups(plan: Plan) -> tuple[Plan, Groups]:
    """Groups of rows with equal pixels, and the plan with a column of them."""
    plan, at, found = _repeated_rows(plan)
    groups = _of_all(len(plan), at, found)
    return _with_same(plan, groups), groups


def repeated_rows(plan: Plan) -> tuple[Plan, Positions, Groups]:
    """The rows whose pixels another row has too, and their groups.

    The plan of a small table gets a column of them. Rows with equal digests are compared byte by
    byte with the first of them, so a collision is split into its true groups.
    """
    if not on_ray.applies(plan):
        plan, at, found = _repeated_rows(plan)
        if len(plan) <= choice.SMALL:
            plan = _with_same(plan, _of_all(len(plan), at, found))
        return plan, at, found
    some, _ = on_ray.candidates(plan, Search())
    _, at, groups = _repeated_rows(plan.keep(some))
    return plan, some[at], groups


def _repeated_rows(plan: Plan) -> tuple[Plan, Positions, Groups]:
    """The same, with the digests in this process."""
    if SAME in plan.table.take(slice(0)).columns:
        groups = equal_rows(plan.rows.columns[SAME][:, None])
        return plan, np.flatnonzero(groups >= 0), groups[groups >= 0]
    # Digests and comparisons keep the interpreter lock: threads only pay where images are computed.
    with executors.in_this_thread() if plan.is_unprocessed else nullcontext():
        plan, at, proposed = _proposed(plan)
        groups = _confirmed(plan, at, proposed)
    return plan, at[groups >= 0], groups[groups >= 0]


def _of_all(n: int, at: Positions, found: Groups) -> Groups:
    """The groups of n rows, of which some are in one."""
    groups = np.full(n, -1, np.int64)
    groups[at] = found
    return groups


def _with_same(plan: Plan, groups: Groups) -> Plan:
    """The plan with a column in which rows of one group have the same number."""
    same = np.where(groups >= 0, groups, int(groups.max(initial=-1)) + 1 + np.arange(len(plan)))
    return plan.with_column(SAME, same)


def _proposed(plan: Plan) -> tuple[Plan, Positions, Groups]:
    """Rows with equal digests, and their groups.

    Images in memory get a prefilter digest first: equal images have equal middle rows, so an image
    whose middle row is unique needs no digest. Of very many images, the first half of their digests
    is compared first, which takes 8 bytes per row.
    """
    known = plan.table.take(slice(0)).columns
    if "digest" not in known and (plan.is_unprocessed or len(plan) > choice.SMALL):
        first = prefilter_digest if plan.is_unprocessed else _first_half
        halves = np.empty(len(plan), np.uint64)
        for (start, stop), found in plan.each(first, "digest"):
            halves[start:stop] = found
        alike = np.flatnonzero(occur_again(halves))
        del halves
        digests = plan.keep(alike).measure("digest", digest).rows.columns["digest"]
    else:
        plan = plan.measure("digest", digest)
        alike, digests = np.arange(len(plan)), plan.rows.columns["digest"]
    groups = equal_rows(digests)
    return plan, alike[groups >= 0], groups[groups >= 0]


def _first_half(images: Images) -> NDArray[np.uint64]:
    return digest(images)[:, 0]


def _confirmed(plan: Plan, rows: Positions, proposed: Groups) -> Groups:
    """The proposed groups of these rows, split where pixels differ; -1 for rows in none."""
    confirmed = np.full(len(rows), -1, np.int64)
    pending = np.arange(len(rows))
    count = 0
    while len(pending):
        group = proposed[pending]
        names, first = np.unique(group, return_index=True)
        example = pending[first][np.searchsorted(names, group)]
        same = _equal_pixels(plan, rows[pending], rows[example])
        found = pending[same]
        several = np.bincount(proposed[found], minlength=group.max() + 1)[proposed[found]] > 1
        numbers = np.unique(proposed[found[several]], return_inverse=True)[1]
        confirmed[found[several]] = count + numbers
        count += int(numbers.max(initial=-1)) + 1
        pending = pending[~same]
    return confirmed


def _equal_pixels(plan: Plan, rows: Positions, others: Positions) -> Masks:
    """Whether the images of pairs of rows are equal, byte by byte."""
    same = np.ones(len(rows), bool)
    todo = np.flatnonzero(rows != others)
    spans = plan.spans(len(todo))
    calls = executors.run(_Equal(plan.pixels, rows[todo], others[todo]), spans, "comparing")
    for (start, stop), equal in zip(spans, calls, strict=True):
        same[todo[start:stop]] = equal
    return same


@dataclass(frozen=True)
class _Equal:
    """Whether the images of each pair of a span are equal."""

    pixels: Node
    rows: Positions
    others: Positions

    def __call__(self, span: executors.Span) -> list[bool]:
        images, _ = self.pixels.evaluate(self.rows[slice(*span)])
        examples, index = np.unique(self.others[slice(*span)], return_inverse=True)
        others = [image.tobytes() for image in self.pixels.evaluate(examples)[0]]
        pairs = zip(images, index.tolist(), strict=True)
        return [image.tobytes() == others[other] for image, other in pairs]
