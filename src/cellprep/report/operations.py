"""Which operations a step sampled, and with which values.

This is the only module of the report that knows which steps sample operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset.dataset import Dataset
from ..errors import CellprepError
from ..formats.manifest import load_record
from ..operations import KERAS_CV as OPERATIONS
from ..plan.draws import Draw
from ..steps import RandAugment
from .findings import Operation, Operations


def recorded(path: Path | None, dataset: Dataset) -> list[Operations]:
    """The operations in the record of a written set, one entry per step that sampled any."""
    record = load_record(path) if path is not None else None
    if record is None:
        return []
    found = []
    for stage in dataset.source.history.stages:
        name = str(stage["name"])
        if stage["step"] != RandAugment.__name__ or f"{name}.op_1" not in record.column_names:
            continue
        columns = {
            column.removeprefix(f"{name}."): record[column].drop_null().to_numpy()
            for column in record.column_names
            if column.startswith((f"{name}.op_", f"{name}.value_"))
        }
        try:
            found.append(_counted(name, float(stage["rate"]), columns))
        except (KeyError, TypeError, ValueError) as error:
            raise CellprepError(
                f"the record of {name!r} in {str(path)!r} is damaged ({error!r}); write it again"
            ) from error
    return found


def planned(dataset: Dataset) -> list[Operations]:
    """The operations that the steps of the chain will sample; no pixel is needed to know them."""
    found = []
    for before, after in zip(dataset.chain, dataset.chain[1:], strict=False):
        name, step = after.plan.stages[-1] if after.plan.stages else ("", None)
        if len(after.plan.stages) == len(before.plan.stages) or not isinstance(step, RandAugment):
            continue
        draw = Draw(after.plan.seed, name, after.plan.rows.keys[after.plan.touched])
        columns = step.sample(draw)
        found.append(_counted(name, step.rate, columns))
    return found


def _counted(name: str, rate: float, columns: Mapping[str, NDArray[Any]]) -> Operations:
    slots = sum(column.startswith("op_") for column in columns)
    ops, values = (
        np.concatenate([columns[f"{stem}_{slot + 1}"] for slot in range(slots)])
        for stem in ("op", "value")
    )
    sampled = []
    for operation in (*OPERATIONS, "none"):
        used = values[ops == operation]
        low, median, high = np.quantile(used, (0, 0.5, 1)).tolist() if len(used) else (0, 0, 0)
        share = len(used) / max(1, len(ops))
        sampled.append(Operation(operation, len(used), share, low, median, high))
    return Operations(name, slots, len(ops) // slots, rate / len(OPERATIONS), sampled)
