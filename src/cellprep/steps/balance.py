"""Classes of equal size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from ..errors import CellprepError, in_range
from ..plan import policies
from ..plan.draws import Draw
from ..plan.plan import Plan
from .jitter import Jitter
from .settings import OneOf, Range
from .step import Step

Target = (
    Annotated[str, OneOf("max", "min", "median")]
    | Annotated[int, Range(1, 2**31)]
    | Mapping[str, int]
    | Mapping[int, int]
)
_MOST_COPIES = 2**20  # of one image


@dataclass(frozen=True)
class Balance(Step):
    """Equal class counts by repeating images, dropping images, or both.

    The copies that are added go through `jitter`, so none repeats another. Which images get the odd
    copy, or go, is settled by a hash of the seed and the image's id: the order of rows does not
    matter.

    Parameters
    ----------
    target : "max", "min", "median", int, or {class name: int}
        Images a class is to have. A class that a table leaves out stays as it is.
    jitter : Jitter or None
        What the added copies go through; None repeats images as they are.

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
        labels, names = plan.rows.labels, plan.class_names
        if len(names) < 2 and not isinstance(self.target, Mapping):
            raise CellprepError(
                f"there is one class, '{names[0]}', and so nothing to balance; "
                "read data with two classes or more"
            )
        self._check_single(plan)
        rank = Draw(plan.seed, plan.step, plan.rows.keys).bits("rank")
        counts = policies.balance_counts(labels, names, self.target, rank)
        added = int(np.maximum(counts - 1, 0).sum())
        why = f"{added:,} jittered copies added" if self.jitter else f"{added:,} repeats added"
        dropped = int((counts == 0).sum())
        if dropped:
            why += f", {dropped:,} above the target dropped"
        for name, count in zip(names, np.bincount(labels, minlength=len(names)), strict=True):
            if count == 1 and added:
                why += f"; class '{name}' has one image, and copies of it teach little"
        plan, copies = plan.repeat(counts, _MOST_COPIES, why)
        return plan.map(self.jitter, only=copies, part="jitter") if self.jitter else plan

    def _check_single(self, plan: Plan) -> None:
        """Refuse to make a class of copies of the only image that the data hold of it."""
        if isinstance(self.target, Mapping):
            return
        for name, count in zip(plan.class_names, plan.source_counts.tolist(), strict=True):
            if count == 1 and self.target not in ("min", 1):
                raise CellprepError(
                    f"class '{name}' has one image, and copies of one image teach "
                    "nothing; find more, leave the class out, or give a target by "
                    "class"
                )
