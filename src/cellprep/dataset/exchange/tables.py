"""pandas: the provenance of a data set as a table, and data sets from tables of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import ClassNames, Ids, check_ids, encode_labels, read_labels
from ...errors import CellprepError, nearest
from ...formats.codec import check_size
from ...formats.folder import FolderSource
from ...formats.index import index_of
from ...formats.untrusted import inside
from ...plan.plan import Plan
from ...plan.rows import Rows
from ...system import executors
from ...system.paths import anchored, as_path, is_remote

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def to_pandas(plan: Plan) -> pd.DataFrame:
    """See `Dataset.to_pandas`."""
    import pyarrow as pa

    spans = plan.spans() or [(0, 0)]
    tables = list(executors.run(_IndexOfSpan(plan), spans))
    table: pd.DataFrame = pa.concat_tables(tables).unify_dictionaries().to_pandas()
    return table


@dataclass(frozen=True)
class _IndexOfSpan:
    """The index of a span; computes its images if only that reveals their parameters."""

    plan: Plan

    def __call__(self, span: executors.Span) -> pa.Table:
        at = np.arange(*span)
        record = self.plan.evaluate(at)[1] if self.plan.stages and len(at) else {}
        return index_of(self.plan, span, {}, [record])


def from_pandas(
    table: pd.DataFrame,
    file: str,
    label: str,
    id: str | None,
    group: str | None,
    class_names: ClassNames | None,
    root: str | Path | None,
    size: int | tuple[int, int] | None,
) -> FolderSource:
    """See `Dataset.from_pandas`."""
    if not len(table):
        raise CellprepError("the table has no rows")
    paths = check_ids(column_of(table, file), len(table), file)
    if paths.dtype.kind != "U":
        raise CellprepError(f"column {file!r} must contain paths as text, got {paths.dtype}")
    rows, names = rows_of(table, label, id, group, class_names, paths)
    folder, files = relative(paths.tolist()) if root is None else (as_path(root), paths.tolist())
    folder = anchored(folder)
    outside = next((name for name in files if not inside(name)), None)
    if outside is not None:
        raise CellprepError(
            f"{outside!r} is not below {str(folder)!r}; pass absolute paths or another root="
        )
    return FolderSource(folder, tuple(files), rows, names, check_size(size), listed=True)


def rows_of(
    table: pd.DataFrame,
    label: str,
    id: str | None,
    group: str | None,
    class_names: ClassNames | None,
    names: Ids | None,
) -> tuple[Rows, tuple[str, ...]]:
    """The rows of a table, and the class names.

    The columns `id`, `copy` and `group` are used as `to_pandas` writes them. If `id` is not unique,
    the ids are `names` instead.
    """
    n = len(table)
    values = read_labels(column_of(table, label), n, empty=class_names is not None)
    codes, known = encode_labels(values, class_names)
    copies = table["copy"].to_numpy() if "copy" in table else np.zeros(n, np.int64)
    if copies.dtype.kind not in "iu" or (copies < 0).any():
        raise CellprepError(
            f"column 'copy' must have the copy number of each row, 0 for an original, got "
            f"{copies.dtype}; rename or drop it if it means something else"
        )
    if id is None and "id" in table:
        keys = table[["id", "copy"]] if "copy" in table else table[["id"]]
        id = None if keys.isna().any(axis=None) or keys.duplicated().any() else "id"
    if id is None and names is not None:
        _refuse_repeated(names)
    ids = names if id is None else column_of(table, id)
    group = "group" if group is None and "group" in table else group
    groups = None if group is None else check_ids(column_of(table, group), n, group)
    rows = Rows.of(check_ids(ids, n, id or "ids"), codes, copies.astype(np.int64), groups)
    return rows, known


def _refuse_repeated(names: Ids) -> None:
    """A file may be listed twice, by two people, but then its rows need other names."""
    found, counts = np.unique(names, return_counts=True)
    if len(found) < len(names):
        raise CellprepError(
            f"{str(found[counts.argmax()])!r} is listed {int(counts.max())} times, but each row "
            "needs a name of its own; pass id=, a column of unique values such as row numbers"
        )


def column_of(table: pd.DataFrame, name: str) -> NDArray[Any]:
    """A column without missing values."""
    if name not in table:
        raise CellprepError(
            f"the table has no column {name!r}; {nearest(name, map(str, table.columns))}"
        )
    column = table[name]
    if column.isna().any():
        gap = int(column.isna().to_numpy().argmax())
        raise CellprepError(
            f"column {name!r} is empty in row {gap}; fill in a value or drop the row"
        )
    values: NDArray[Any] = column.to_numpy()
    is_path = values.dtype == object and any(isinstance(value, os.PathLike) for value in values)
    return np.array([str(value) for value in values]) if is_path else values


def relative(files: Sequence[str]) -> tuple[Path, list[str]]:
    """The folder that all files are in, and their paths relative to it."""
    if is_remote(as_path(files[0])):
        raise CellprepError(
            f"the files are URLs ({files[0]}, ...); pass the bucket or folder as root=, and the "
            "names below it"
        )
    plain = [os.path.normpath(file) for file in files]
    try:
        folder = os.path.commonpath([os.path.dirname(file) for file in plain])
    except ValueError as error:
        raise CellprepError(f"the files have no folder in common: {error}; pass root=") from None
    return Path(folder), [PurePath(file).relative_to(folder).as_posix() for file in plain]
