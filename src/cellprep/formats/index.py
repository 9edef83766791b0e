"""`index.parquet`, one row per image: its id and label, its location, and what was done to it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Masks, check_ids
from ..errors import CellprepError
from ..plan.nodes import Parameters, Record
from ..plan.plan import Plan
from ..plan.rows import Rows
from ..plan.source import check_unchanged
from ..system.paths import file_version, is_remote, local_copy
from .manifest import INDEX, MANIFEST
from .stamps import stamp_of
from .untrusted import DAMAGED_ZIP
from .written import load_manifest, read_entry

if TYPE_CHECKING:
    import pyarrow as pa


# -- writing ----------------------------------------------------------------------------------


def index_of(
    plan: Plan, span: tuple[int, int], columns: Parameters, records: list[Record]
) -> pa.Table:
    """The rows of the index for a span, with the records of its blocks.

    Where the source was written by cellprep, its record is continued.
    """
    table = {name: _arrow_column(values) for name, values in columns.items()}
    past = plan.source.history.path
    record = load_record(past) if past is not None else None
    check_unchanged(plan.source)
    if record is not None:
        before = record.take(plan.origin(np.arange(*span)))
        table |= dict(zip(before.column_names, before.columns, strict=True))
    for name in records[0]:
        blocks = zip(*(block[name] for block in records), strict=True)
        table[name] = _arrow_column(*map(np.concatenate, blocks))
    return _index_table(plan.table.take(slice(*span)), plan.class_names, table)


def _arrow_column(values: NDArray[Any], present: Masks | None = None) -> pa.Array:
    """A column of the index; null where it is not present."""
    import pyarrow as pa

    column = pa.array(values, mask=None if present is None or present.all() else ~present)
    return column.dictionary_encode() if values.dtype.kind == "U" else column


def _index_table(
    rows: Rows, class_names: Sequence[str], columns: Mapping[str, pa.Array]
) -> pa.Table:
    import pyarrow as pa

    names = pa.DictionaryArray.from_arrays(
        pa.array(rows.labels.astype(np.int32)), pa.array(list(class_names), pa.string())
    )
    table = {
        "id": pa.array(rows.ids),
        "copy": pa.array(rows.copies),
        "label": pa.array(rows.labels),
        "class_name": names,
    }
    if rows.groups is not None:
        table["group"] = pa.array(rows.groups)
    if rows.parts is not None:
        table["part"] = pa.array(rows.parts)
    if rows.decided is not None:
        table["decided"] = pa.array(rows.decided)
    return pa.table({**table, **columns})


# -- reading ----------------------------------------------------------------------------------


def load_index(path: Path, manifest: Mapping[str, Any]) -> pa.Table:
    """The index of a folder or npz file that `write` has finished.

    Nothing in it is used unless it has the digest that its manifest states. In an npz file, zipfile
    compares the checksum.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.is_file():
            return pq.read_table(io.BytesIO(read_entry(path, INDEX)))
        expected = manifest.get("files", {}).get(INDEX)
        with local_copy(path / INDEX) as file, file.open("rb") as stream:  # it may be large
            if expected is not None and stamp_of(stream) != expected:
                raise CellprepError(
                    f"{str(path / INDEX)!r} does not match its digest in {MANIFEST}; "
                    "the write that made the data set repairs it"
                )
            stream.seek(0)
            return pq.read_table(stream)
    except CellprepError:
        raise
    except (OSError, KeyError, ValueError, *DAMAGED_ZIP, pa.ArrowException) as error:
        why = " ".join(str(error).split())
        raise CellprepError(f"{str(path / INDEX)!r} cannot be read: {why}") from error


def load_record(path: Path) -> pa.Table | None:
    """What was done to each image of a written data set: the columns with a dot in their name."""
    file = path / INDEX if is_remote(path) and not path.is_file() else path
    return _load_record(path, file_version(file))


@lru_cache(maxsize=2)
def _load_record(path: Path, changed: str) -> pa.Table | None:
    index = load_index(path, load_manifest(path))
    named = [name for name in index.column_names if "." in name]
    return index.select(named).combine_chunks() if named else None


def load_rows(path: Path, manifest: Mapping[str, Any]) -> tuple[pa.Table, Rows]:
    """The index of a data set folder, and the rows that it lists."""
    index = load_index(path, manifest)
    return index, rows_of(index, manifest, path / INDEX)


def rows_of(index: pa.Table, manifest: Mapping[str, Any], where: Path) -> Rows:
    """The rows that an index lists."""
    names, n = index.column_names, len(index)
    if not {"id", "copy", "label"} <= set(names) or n != manifest["rows"]:
        raise CellprepError(
            f"{str(where)!r} does not list the {manifest['rows']} rows of its "
            "dataset.json; it is damaged"
        )
    if len(set(names)) < len(names):
        raise CellprepError(f"{str(where)!r} has two columns of the same name; it is damaged")
    ids, copies, labels = (index[name].to_numpy() for name in ("id", "copy", "label"))
    named = labels.dtype.kind in "iu" and not (n and (labels.min() < 0))
    if not named or (n and labels.max() >= len(manifest["class_names"])):
        raise CellprepError(f"{str(where)!r} has labels without a class name; it is damaged")
    groups, parts = (
        check_ids(index[name].to_numpy(), n, name) if name in names else None
        for name in ("group", "part")
    )
    decided = index["decided"].to_numpy() if "decided" in names else None
    return Rows.of(
        check_ids(ids, n, "id"),
        labels.astype(np.int64),
        check_copies(copies, n, where),
        groups,
        parts,
        check_decided(decided, n, where),
    )


def check_decided(decided: NDArray[Any] | None, n: int, path: Path) -> Masks | None:
    """Which of n rows a person has decided on, if that is known."""
    if decided is not None and (decided.shape != (n,) or decided.dtype != bool):
        raise CellprepError(
            f"`decided` in {str(path)!r} must be {n} booleans, got shape {decided.shape}, dtype "
            f"{decided.dtype}; it is damaged"
        )
    return decided


def check_copies(copies: NDArray[Any], n: int, path: Path) -> NDArray[np.int64]:
    """The copy numbers of n rows, as int64."""
    if copies.shape != (n,) or copies.dtype.kind not in "iu" or (n and copies.min() < 0):
        raise CellprepError(
            f"the copy numbers in {str(path)!r} must be {n} whole numbers from 0 up, got shape "
            f"{copies.shape}, dtype {copies.dtype}; it is damaged"
        )
    return copies.astype(np.int64)


def locations_of(
    path: Path, manifest: Mapping[str, Any], index: pa.Table, *columns: str, least: int | None = 0
) -> NDArray[np.int64]:
    """(n, 3): the shard of each row and two columns of the index.

    The two are offset and length, of at least `least` bytes; with None they may be anything.
    """
    names = ("shard", *columns)
    missing = sorted({*names} - {*index.column_names})
    if missing:
        raise CellprepError(f"{str(path / INDEX)!r} has no {missing[0]!r}; it is damaged")
    try:
        of_rows = [index[name].to_numpy() for name in names]
        if any(values.dtype.kind not in "iu" for values in of_rows):
            raise ValueError(f"{', '.join(names)} must be whole numbers")
        found = np.stack([values.astype(np.int64) for values in of_rows], axis=1)
        files = [shard["files"].values() for shard in manifest["shards"]]
        ends = np.array([sum(file["bytes"] for file in of_shard) for of_shard in files])
    except (TypeError, ValueError) as error:
        raise CellprepError(f"{str(path / INDEX)!r} is damaged: {error}") from error
    valid = (found >= 0).all(axis=1) & (found[:, 0] < len(ends))
    if least is not None:
        start, length = found[valid, 1:].T
        end = ends[found[valid, 0]]
        valid[valid] = (least <= length) & (start <= end) & (length <= end - start)
    if not valid.all():
        raise CellprepError(
            f"{str(path / INDEX)!r} locates row {valid.argmin()} outside its shard; it is damaged, "
            "write the data set again"
        )
    return found
