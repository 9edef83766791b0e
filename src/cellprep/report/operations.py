"""Which operations a step sampled, and with which values.

A step samples operations if it has the settings `operations` and `rate`, as RandAugment has; it
records one as `op_1`, `value_1` for each slot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset.dataset import Dataset
from ..errors import CellprepError
from ..formats.index import load_record
from ..operations import LISTS, NONE
from ..plan.draws import Draw
from ..steps.step import STEPS, Step
from .findings import Operation, Operations


def recorded(path: Path | None, dataset: Dataset) -> list[Operations]:
    """The operations in the record of a written set, one entry per step that sampled any."""
    record = load_record(path) if path is not None else None
    if record is None:
        return []
    found = []
    for stage in dataset.source.history.stages:
        name = str(stage["name"])
        kind = STEPS.get(str(stage["step"]))
        if not _samples_operations(kind) or f"{name}.op_1" not in record.column_names:
            continue
        columns = {
            column.removeprefix(f"{name}."): record[column].drop_null().to_numpy()
            for column in record.column_names
            if column.startswith((f"{name}.op_", f"{name}.value_"))
        }
        try:
            names = _names(stage.get("operations"))
            found.append(_counted(name, names, float(stage["rate"]), columns))
        except (KeyError, TypeError, ValueError) as error:
            raise CellprepError(
                f"the record of {name!r} in {str(path)!r} is damaged ({error!r}); write it again"
            ) from error
    return found


def planned(dataset: Dataset) -> list[Operations]:
    """The operations that the steps of the chain will sample; no pixel is needed to know them."""
    found = []
    step: Any
    for before, after in zip(dataset.chain, dataset.chain[1:], strict=False):
        name, step = after.plan.stages[-1] if after.plan.stages else ("", None)
        if len(after.plan.stages) == len(before.plan.stages) or not _samples_operations(type(step)):
            continue
        draw = Draw(
            *(after.plan.seed, name, after.plan.rows.keys[after.plan.touched]), dataset.plan.epoch
        )
        columns = step.sample(draw)
        found.append(_counted(name, _names(step.operations), step.rate, columns))
    return found


def _samples_operations(kind: type[Any] | None) -> bool:
    if kind is None or not issubclass(kind, Step):
        return False
    return {"operations", "rate"} <= {field.name for field in fields(kind)}


def _names(operations: Any) -> Sequence[str]:
    """The operations of a setting; the default is not recorded."""
    if operations is None or isinstance(operations, str):
        return LISTS[operations or "keras-cv"]
    return tuple(operations)


def _counted(
    name: str, names: Sequence[str], rate: float, columns: Mapping[str, NDArray[Any]]
) -> Operations:
    slots = sum(column.startswith("op_") for column in columns)
    ops, values = (
        np.concatenate([columns[f"{stem}_{slot + 1}"] for slot in range(slots)])
        for stem in ("op", "value")
    )
    sampled = []
    for operation in (*names, NONE):
        used = values[ops == operation]
        low, median, high = np.quantile(used, (0, 0.5, 1)).tolist() if len(used) else (0, 0, 0)
        share = len(used) / max(1, len(ops))
        sampled.append(Operation(operation, len(used), share, low, median, high))
    return Operations(name, slots, len(ops) // slots, rate / len(names), sampled)
