"""Groups of images with equal pixels: digests propose them, pixels confirm them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from ..arrays import Masks, Positions
from ..plan.digests import digest, prefilter_digest
from ..plan.groups import Groups, equal_rows
from ..plan.nodes import Node
from ..plan.plan import Plan
from ..plan.rows import SAME
from ..system import executors


def exact_groups(plan: Plan) -> tuple[Plan, Groups]:
    """Groups of rows with equal pixels, and the plan with a column of them.

    Rows with equal digests are compared byte by byte with the first of them, so a collision is
    split into its true groups.
    """
    if SAME in plan.rows.columns:
        return plan, equal_rows(plan.rows.columns[SAME][:, None])
    # Digests and comparisons keep the interpreter lock: threads only pay where images are computed.
    with executors.in_this_thread() if plan.is_unprocessed else nullcontext():
        plan, proposed = _proposed(plan)
        groups = _confirmed(plan, proposed)
    same = np.where(groups >= 0, groups, int(groups.max(initial=-1)) + 1 + np.arange(len(plan)))
    return plan.with_column(SAME, same), groups


def _proposed(plan: Plan) -> tuple[Plan, Groups]:
    """Groups of rows with equal digests.

    Images in memory get a prefilter digest first: equal images have equal middle rows, so an image
    whose middle row is unique needs no digest.
    """
    if not plan.is_unprocessed or "digest" in plan.rows.columns:
        plan = plan.measure("digest", digest)
        return plan, equal_rows(plan.rows.columns["digest"])
    prefilters = [found for _, found in plan.each(prefilter_digest)]
    alike = np.flatnonzero(equal_rows(np.concatenate(prefilters)[:, None]) >= 0)
    groups = np.full(len(plan), -1, np.int64)
    if len(alike):
        digests = plan.keep(alike).measure("digest", digest).rows.columns["digest"]
        groups[alike] = equal_rows(digests)
    return plan, groups


def _confirmed(plan: Plan, proposed: Groups) -> Groups:
    """The proposed groups, split where pixels differ."""
    confirmed = np.full(len(plan), -1, np.int64)
    pending = np.flatnonzero(proposed >= 0)
    count = 0
    while len(pending):
        group = proposed[pending]
        names, first = np.unique(group, return_index=True)
        example = pending[first][np.searchsorted(names, group)]
        same = _equal_pixels(plan, pending, example)
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
