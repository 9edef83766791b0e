"""The column of splits on disk: selecting one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import CellprepError, one_of
from ..plan.plan import Plan
from .dataset import Dataset


def of_split(dataset: Dataset, part: str | None) -> Dataset:
    """The images of one split of a data set that has a column of splits; all without `part`."""
    if part is None or part == "all":
        return dataset
    parts = dataset.source.rows.parts
    if parts is None:
        raise CellprepError(
            f"{str(dataset.source.path)!r} has no column of splits; leave `part` (--part) out"
        )
    one_of("part", part, np.unique(parts).tolist())
    return dataset.then(_OneSplit(part))


@dataclass(frozen=True)
class _OneSplit:
    """Keeps the rows of a split."""

    part: str

    def __call__(self, plan: Plan) -> Plan:
        assert plan.rows.parts is not None
        inside = plan.rows.parts == self.part
        return plan.keep(np.flatnonzero(inside), {"in other splits": np.flatnonzero(~inside)})

    def __str__(self) -> str:
        return f"part {self.part!r}"
