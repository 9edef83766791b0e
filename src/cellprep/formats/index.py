"""`index.parquet`, one row per image: its id and label, its location, and what was done to it.

Large sets have a file for each piece of it (see `formats.pieces`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Masks, Positions, check_ids
from ..errors import CellprepError
from ..plan.choice import as_positions
from ..plan.nodes import Parameters, Record
from ..plan.plan import Plan
from ..plan.rows import Rows
from ..plan.source import check_unchanged
from ..plan.table import Stored, Table
from ..system.paths import file_version, is_remote, local_copy
from .manifest import INDEX, MANIFEST
from .pieces import Piece, Shards
from .stamps import stamp_of
from .untrusted import DAMAGED_ZIP
from .written import load_manifest, read_entry

if TYPE_CHECKING:
    import pyarrow as pa

_PIECES_IN_MEMORY = 4
"""Pieces whose rows or records are kept in memory."""


# -- writing ----------------------------------------------------------------------------------


def index_of(
    plan: Plan, span: tuple[int, int], columns: Parameters, records: list[Record]
) -> pa.Table:
    """The rows of the index for a span, with the records of its blocks.

    Where the source was written by cellprep, its record is continued.
    """
    table = {name: _arrow_column(values) for name, values in columns.items()}
    past = plan.source.history.path
    before = None if past is None else record_at(past, plan.origin(np.arange(*span)))
    check_unchanged(plan.source)
    if before is not None:
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


def load_index(path: Path, manifest: Mapping[str, Any], *, record: bool = True) -> pa.Table:
    """The index of a folder or npz file that `write` has finished; see `load_piece`."""
    import pyarrow as pa

    if path.is_file():
        with _damage_reported(path / INDEX):
            return _parsed(io.BytesIO(read_entry(path, INDEX)), record=record)
    shards = Shards(path, manifest)
    tables = [load_piece(shards, piece, record=record) for piece in shards.pieces]
    with _damage_reported(shards.index_path):
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries()


def load_piece(shards: Shards, piece: Piece, *, record: bool = True) -> pa.Table:
    """The rows of the index in a piece; without `record`, not what was done to the images.

    Nothing in it is used unless it has the digest that its manifest states. In an npz file, zipfile
    compares the checksum.
    """
    where = shards.path / piece.index
    expected = piece.files.get(piece.index)
    with (
        _damage_reported(where),
        local_copy(where) as file,  # it may be large
        file.open("rb") as stream,
    ):
        if expected is not None and stamp_of(stream) != expected:
            raise CellprepError(
                f"{str(where)!r} does not match its digest in {MANIFEST}; "
                "the write that made the data set repairs it"
            )
        stream.seek(0)
        rows = piece.rows[1] - piece.rows[0]
        return _parsed(stream, record=record, rows=rows, where=where)


def _parsed(
    stream: BinaryIO, *, record: bool, rows: int | None = None, where: Path | None = None
) -> pa.Table:
    """The table in a Parquet file, which must have so many rows."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(stream)
    if rows is not None and file.metadata.num_rows != rows:
        raise CellprepError(
            f"{str(where)!r} does not list the {rows} rows of its dataset.json; it is damaged"
        )
    names = [name for name in file.schema_arrow.names if record or "." not in name]
    return file.read(columns=names)


@contextmanager
def _damage_reported(where: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except CellprepError:
        raise
    except (OSError, KeyError, ValueError, *DAMAGED_ZIP, pa.ArrowException) as error:
        why = " ".join(str(error).split())
        raise CellprepError(f"{str(where)!r} cannot be read: {why}") from error


def index_at(path: Path, manifest: Mapping[str, Any], at: ArrayLike) -> pa.Table:
    """Some rows of an index, by position; only their pieces are read."""
    if path.is_file() or len(Shards(path, manifest).pieces) == 1:
        index = load_index(path, manifest)
        return index.take(np.arange(len(index))[at])  # type: ignore[index]
    shards = Shards(path, manifest)
    rows = np.asarray(at)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
    if ((rows < -shards.rows) | (rows >= shards.rows)).any():
        raise IndexError(f"there are {shards.rows} rows, got row {rows.max()}")
    return _taken(
        rows % shards.rows, shards, lambda number: load_piece(shards, shards.pieces[number])
    )


def load_record(path: Path) -> pa.Table | None:
    """What was done to each image of a written data set: the columns with a dot in their name."""
    import pyarrow as pa

    version = _version(path)
    shards = _shards(path, version)
    pieces = [_record(path, version, n) for n in range(1 if shards is None else len(shards.pieces))]
    found = [piece for piece in pieces if piece is not None]
    return pa.concat_tables(found).unify_dictionaries().combine_chunks() if found else None


def record_at(path: Path, at: Positions) -> pa.Table | None:
    """The same of some images; only their pieces are read."""
    version = _version(path)
    shards = _shards(path, version)
    if _record(path, version, 0) is None:
        return None
    return _taken(at, shards, lambda number: _record(path, version, number))


def _taken(at: Positions, shards: Shards | None, load: Callable[[int], pa.Table]) -> pa.Table:
    """Rows at these positions, in this order, from the tables of all pieces."""
    import pyarrow as pa

    if shards is None or len(shards.pieces) == 1:
        return load(0).take(at)
    number, row = np.divmod(at, shards.pieces[0].rows[1])
    order = np.argsort(number, kind="stable")
    numbers = np.unique(number).tolist() or [0]
    tables = [load(one).take(row[number == one]) for one in numbers]
    with _damage_reported(shards.index_path):
        return pa.concat_tables(tables).unify_dictionaries().take(np.argsort(order))


def _version(path: Path) -> str:
    return file_version(path / MANIFEST if is_remote(path) and not path.is_file() else path)


@lru_cache(maxsize=2)
def _shards(path: Path, version: str) -> Shards | None:
    """The shards of a folder."""
    manifest = load_manifest(path)
    return None if path.is_file() else Shards(path, manifest)


@lru_cache(maxsize=_PIECES_IN_MEMORY)
def _record(path: Path, version: str, number: int) -> pa.Table | None:
    """The record in a piece of a folder, or in an npz file."""
    shards = _shards(path, version)
    index = load_index(path, {}) if shards is None else load_piece(shards, shards.pieces[number])
    named = [name for name in index.column_names if "." in name]
    return index.select(named).combine_chunks() if named else None


def load_rows(path: Path, manifest: Mapping[str, Any]) -> tuple[pa.Table, Rows]:
    """The index of a data set folder without its record, and the rows that it lists."""
    index, shards = load_index(path, manifest, record=False), Shards(path, manifest)
    return index, _rows_of(index, shards, shards.rows, shards.index_path)


def _rows_of(index: pa.Table, shards: Shards, n: int, where: Path) -> Rows:
    """The n rows that an index or one of its pieces lists."""
    names = index.column_names
    if not {"id", "copy", "label"} <= set(names) or len(index) != n:
        raise CellprepError(
            f"{str(where)!r} does not list the {n} rows of its dataset.json; it is damaged"
        )
    if len(set(names)) < len(names):
        raise CellprepError(f"{str(where)!r} has two columns of the same name; it is damaged")
    ids, copies, labels = (index[name].to_numpy() for name in ("id", "copy", "label"))
    named = labels.dtype.kind in "iu" and not (n and (labels.min() < 0))
    if not named or (n and labels.max() >= len(shards.manifest["class_names"])):
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


def table_of(path: Path, manifest: Mapping[str, Any]) -> Table:
    """The rows of a data set folder; those of pieces are read when they are needed."""
    shards = Shards(path, manifest)
    return IndexTable(shards) if len(shards.pieces) > 1 else Stored(load_rows(path, manifest)[1])


@dataclass(frozen=True, eq=False)
class IndexTable(Table):
    """The rows of a set in pieces, which are read when they are needed.

    Those of a few pieces are kept, and all of them once something has needed all.
    """

    shards: Shards

    def __len__(self) -> int:
        return self.shards.rows

    @cached_property
    def rows(self) -> Rows:
        return load_rows(self.shards.path, self.shards.manifest)[1]

    def _compute(self, at: Positions | slice) -> Rows:
        at = as_positions(at, len(self))
        if len(at) >= len(self) or "rows" in vars(self):
            return self.rows.take(at)
        number, row = np.divmod(at, self.shards.pieces[0].rows[1])
        order = np.argsort(number, kind="stable")
        numbers = np.unique(number).tolist() or [0]
        found = [self._piece(one).take(row[number == one]) for one in numbers]
        return found[0] if len(found) == 1 else _joined(found, self.shards, np.argsort(order))

    @cached_property
    def _piece(self) -> Callable[[int], Rows]:
        """The rows of a piece, by its number."""
        shards = self.shards

        def load(number: int) -> Rows:
            piece = shards.pieces[number]
            index = load_piece(shards, piece, record=False)
            return _rows_of(index, shards, piece.rows[1] - piece.rows[0], shards.path / piece.index)

        return lru_cache(_PIECES_IN_MEMORY)(load)


def _joined(pieces: list[Rows], shards: Shards, order: Positions) -> Rows:
    """The rows of several pieces, in this order."""

    def joined(name: str) -> Any:
        columns = [getattr(rows, name) for rows in pieces]
        known = [column for column in columns if column is not None]
        if len({column.dtype.kind for column in known}) > 1 or len(known) not in (0, len(columns)):
            raise CellprepError(
                f"{str(shards.index_path)!r} has pieces with other columns than others; it is "
                "damaged"
            )
        return np.concatenate(known)[order] if known else None

    names = ("ids", "id_keys", "labels", "copies", "groups", "parts", "decided")
    return Rows(**{name: joined(name) for name in names})


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
    names, shards = ("shard", *columns), Shards(path, manifest)
    missing = sorted({*names} - {*index.column_names})
    if missing:
        raise CellprepError(f"{str(shards.index_path)!r} has no {missing[0]!r}; it is damaged")
    try:
        of_rows = [index[name].to_numpy() for name in names]
        if any(values.dtype.kind not in "iu" for values in of_rows):
            raise ValueError(f"{', '.join(names)} must be whole numbers")
        found = np.stack([values.astype(np.int64) for values in of_rows], axis=1)
        files = (shard["files"].values() for shard in shards)
        ends = np.array([sum(file["bytes"] for file in of_shard) for of_shard in files])
    except (TypeError, ValueError) as error:
        raise CellprepError(f"{str(shards.index_path)!r} is damaged: {error}") from error
    valid = (found >= 0).all(axis=1) & (found[:, 0] < len(ends))
    if least is not None:
        start, length = found[valid, 1:].T
        end = ends[found[valid, 0]]
        valid[valid] = (least <= length) & (start <= end) & (length <= end - start)
    if not valid.all():
        raise CellprepError(
            f"{str(shards.index_path)!r} locates row {valid.argmin()} outside its shard; it is "
            "damaged, write the data set again"
        )
    return found
