"""Equal class counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np

from ..errors import in_range
from ..plan.balancing import balance_counts, check_classes
from ..plan.draws import Draw
from ..plan.plan import Plan
from .jitter import Jitter
from .settings import Range
from .step import Step

Target = (
    Literal["max", "min", "median"]
    | Annotated[int, Range(1, 2**31)]
    | Mapping[str, int]
    | Mapping[int, int]
)
_MAX_COPIES = 2**20  # of one image


@dataclass(frozen=True)
class Balance(Step):
    """Equal class counts by repeating images, dropping images, or both.

    Added copies are jittered, so that none is an exact repeat. A hash of the seed and the image's
    id decides which images get an extra copy or are dropped, so the order of rows does not matter.

    Parameters
    ----------
    target : "max", "min", "median", int, or {class name: int}
        Number of images per class. A class missing from a table keeps its images.
    jitter : Jitter or None
        Applied to the added copies; None repeats images unchanged.

    Examples
    --------
    >>> Balance(target=100, jitter=Jitter(rotation=15)).target
    100
    """

    target: Target = "max"
    jitter: Jitter | None = field(default_factory=Jitter)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.target, Mapping):
            for name, count in self.target.items():
                in_range(f"target['{name}']", count, 0, 2**31, whole=True)

    def extend(self, plan: Plan) -> Plan:
        names = plan.class_names
        check_classes(names, plan.source_counts.tolist(), self.target)
        present = plan.table.counts(len(names))
        labels = np.empty(len(plan), np.min_scalar_type(len(names)))
        rank = np.empty(len(plan), np.uint64)
        for at, rows in plan.table.blocks():
            labels[at] = rows.labels
            rank[at] = Draw(plan.seed, plan.step, rows.keys).bits("rank")
        counts = balance_counts(labels, present, names, self.target, rank)
        dropped = int((counts == 0).sum())
        added = int(counts.sum()) - len(plan) + dropped
        why = f"{added:,} jittered copies added" if self.jitter else f"{added:,} repeats added"
        if dropped:
            why += f", {dropped:,} above the target dropped"
        for name, count in zip(names, present.tolist(), strict=True):
            if count == 1 and added:
                why += f"; class '{name}' has one image, whose copies add little"
        plan = plan.repeat(counts, _MAX_COPIES, why)
        return plan.map(self.jitter, only_added=True, part="jitter") if self.jitter else plan
