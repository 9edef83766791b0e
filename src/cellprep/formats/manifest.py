"""`dataset.json` and `index.parquet`: what a written data set says of itself."""

from __future__ import annotations

import io
import json
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..arrays import Masks, check_ids
from ..errors import CellprepError
from ..plan.nodes import Parameters, Record
from ..plan.plan import Plan
from ..plan.rows import Rows
from ..plan.source import History
from ..system.paths import (
    WORK,
    atomic_write,
    file_version,
    is_remote,
    local_copy,
    open_binary,
    read_bytes,
    sizes,
)
from ..system.platform import reserve

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "dataset.json"
INDEX = "index.parquet"
MOST_PIXELS = 100_000_000  # of one image
_MOST_EXPANDED = 1 << 30
DAMAGED_ZIP = (
    *(zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, struct.error),
    *(NotImplementedError, RuntimeError, UnicodeDecodeError),
)
"""What Python says of an archive that is none, cut, altered, locked, or of an odd compression."""


_HELD: dict[str, Any] = {
    **{"format": str, "rows": int, "shape": [int], "class_names": [str], "recipe": [{"step": str}]},
    **{"made_of": dict, "stages": [{"name": str, "step": str}]},
    "shards": [{"rows": int, "files": dict}],
}
"""What a manifest must hold for a set to be read, by type."""


def _fits(value: object, kind: Any) -> bool:
    if isinstance(kind, list):
        return isinstance(value, list) and all(_fits(item, kind[0]) for item in value)
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(_fits(value.get(k), kind[k]) for k in kind)
    if kind is int:
        return type(value) is int and 0 <= value < 2**63
    if kind is str:
        return isinstance(value, str) and is_text(value)
    return isinstance(value, kind)


def is_text(text: str) -> bool:
    """Whether a table or a file name can hold it."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


DAMAGED_NPY = (
    *(OSError, ValueError, EOFError, TypeError, SyntaxError, tokenize.TokenError),
    *(RecursionError, MemoryError, OverflowError, IndexError, AttributeError, KeyError),
)
"""What NumPy says of a header, a Python literal, that is damaged."""


def read_manifest(text: str, where: Path) -> dict[str, Any]:
    """The manifest of a written data set, refused with the reason if it is not one."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise CellprepError(f"{str(where)!r} is not a manifest that cellprep wrote") from None
    held = manifest if isinstance(manifest, dict) else {}
    wrong = [name for name, kind in _HELD.items() if not _fits(held.get(name), kind)]
    if not wrong:
        shape, names = held["shape"], held["class_names"]
        if len(shape) != 3 or shape[2] != 3 or not 0 < math.prod(shape[:2]) <= MOST_PIXELS:
            wrong.append("shape")
        if not names or len(set(names)) != len(names):
            wrong.append("class_names")
        if held.get("multiplied_by") is not None and not _fits(held["multiplied_by"], str):
            wrong.append("multiplied_by")
        if any(not inside(name) for part in held["shards"] for name in part["files"]):
            wrong.append("shards")
    if wrong:
        raise CellprepError(
            f"{str(where)!r} has no {', '.join(wrong)} that can be used; it is damaged or not from "
            "cellprep"
        )
    return dict(held)


def inside(name: str) -> bool:
    """Whether a name found in data stays in its folder.

    >>> inside("a/1.png"), inside("../1.png"), inside("/1.png")
    (True, False, False)
    """
    path = Path(name)
    return bool(path.parts) and is_text(name) and not path.is_absolute() and ".." not in path.parts


def load_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a folder or npz file that `write` has finished."""
    try:
        return read_manifest(_load(path, MANIFEST).decode("utf-8", "replace"), path / MANIFEST)
    except (OSError, KeyError, *DAMAGED_ZIP):
        raise CellprepError(
            f"{str(path)!r} is not a folder or npz file that `write` has finished"
        ) from None


def load_index(path: Path) -> pa.Table:
    """The index of a folder or npz file that `write` has finished."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.is_dir():
            with local_copy(path / INDEX) as file:  # it may be large
                return pq.read_table(file)
        return pq.read_table(io.BytesIO(_load(path, INDEX)))
    except CellprepError:
        raise
    except (OSError, KeyError, ValueError, *DAMAGED_ZIP, pa.ArrowException) as error:
        why = " ".join(str(error).split())
        raise CellprepError(f"{str(path / INDEX)!r} cannot be read: {why}") from error


def _load(path: Path, name: str) -> bytes:
    if path.is_dir():
        return read_bytes(path / name)
    with open_binary(path) as file, zipfile.ZipFile(file) as archive:
        check_expansion(archive.getinfo(name), path)
        return archive.read(name)


def check_expansion(info: zipfile.ZipInfo, path: Path) -> None:
    """Refuse a compressed member that is made to fill a memory: of more than 1 GB and 200-fold."""
    if info.file_size > max(_MOST_EXPANDED, 200 * info.compress_size):
        raise CellprepError(
            f"{info.filename!r} in {str(path)!r} would grow from {info.compress_size:,} to "
            f"{info.file_size:,} bytes, more than 1 GB and 200-fold; if you trust it, save it "
            "uncompressed (np.savez)"
        )


def check_copies(copies: NDArray[Any], n: int, path: Path) -> NDArray[np.int64]:
    """Copy numbers of n rows, as they were written."""
    if copies.shape != (n,) or copies.dtype.kind not in "iu" or (n and copies.min() < 0):
        raise CellprepError(
            f"the copy numbers in {str(path)!r} must be {n} whole numbers from 0 up, got shape "
            f"{copies.shape}, dtype {copies.dtype}; it is damaged"
        )
    return copies.astype(np.int64)


def written_format(path: Path) -> str | None:
    """The format of a folder that `write` made, None for any other folder."""
    if (path / MANIFEST).is_file():
        return str(load_manifest(path)["format"])
    if (path / WORK).is_dir():
        raise CellprepError(
            f"{str(path)!r} is not written to the end; run the same write again, it "
            "goes on where it stopped"
        )
    return None


def load_written(folder: Path, kind: str) -> tuple[dict[str, Any], pa.Table, Rows]:
    """Manifest, index and rows of a folder that `write(format=kind)` made."""
    found = written_format(folder)
    if found != kind:
        what = f"was written as {found}" if found else "was not written by cellprep"
        raise CellprepError(f"{str(folder)!r} {what}, and cannot be read as {kind}")
    manifest, index = load_manifest(folder), load_index(folder)
    return manifest, index, rows_of(index, manifest, folder / INDEX)


def places_of(
    path: Path, manifest: Mapping[str, Any], index: pa.Table, *columns: str, least: int | None = 0
) -> NDArray[np.int64]:
    """(n, 3): the shard of each row and two columns of the index.

    The two are offset and length, of at least `least` bytes; anything else where that is None.
    """
    names = ("shard", *columns)
    missing = sorted({*names} - {*index.column_names})
    if missing:
        raise CellprepError(f"{str(path / INDEX)!r} has no {missing[0]!r}; it is damaged")
    try:
        places = np.stack([index[name].to_numpy().astype(np.int64) for name in names], axis=1)
        files = [shard["files"].values() for shard in manifest["shards"]]
        ends = np.array([sum(file["bytes"] for file in of_shard) for of_shard in files])
    except (TypeError, ValueError) as error:
        raise CellprepError(f"{str(path / INDEX)!r} is damaged: {error}") from error
    inside = (places >= 0).all(axis=1) & (places[:, 0] < len(ends))
    if least is not None:
        start, length = places[inside, 1:].T
        end = ends[places[inside, 0]]
        inside[inside] = (least <= length) & (start <= end) & (length <= end - start)
    if not inside.all():
        raise CellprepError(
            f"{str(path / INDEX)!r} places row {inside.argmin()} outside its shard; it is damaged, "
            "write the data set again"
        )
    return places


def digests_of(manifest: Mapping[str, Any]) -> str:
    """The digests of all shards: another text for other images."""
    files = (shard["files"] for shard in manifest["shards"])
    return " ".join(of_shard[name]["xxh3_128"] for of_shard in files for name in sorted(of_shard))


def history_of(manifest: Mapping[str, Any], path: Path) -> History:
    """The steps that were taken before the data set was written there."""
    steps, stages = tuple(manifest["recipe"]), tuple(manifest["stages"])
    return History(steps, manifest.get("multiplied_by"), stages, path)


def load_record(path: Path) -> pa.Table | None:
    """What made each image of a written data set: the index without what says where it lies."""
    held = path / INDEX if is_remote(path) and path.is_dir() else path
    return _load_record(path, file_version(held))


@lru_cache(maxsize=2)
def _load_record(path: Path, changed: str) -> pa.Table | None:
    index = load_index(path)
    named = [name for name in index.column_names if "." in name]
    return index.select(named).combine_chunks() if named else None


def to_json(value: object) -> str:
    """Canonical: the same text for the same value."""
    return json.dumps(value, indent=1, sort_keys=True)


def arrow_column(values: NDArray[Any], present: Masks | None = None) -> pa.Array:
    """A column of the index; null where it is not present."""
    import pyarrow as pa

    column = pa.array(values, mask=None if present is None or present.all() else ~present)
    return column.dictionary_encode() if values.dtype.kind == "U" else column


def index_table(
    rows: Rows, class_names: Sequence[str], columns: Mapping[str, pa.Array]
) -> pa.Table:
    """The index of some rows as an Arrow table: who they are, where they lie, what made them."""
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
    return pa.table({**table, **columns})


def index_of(
    plan: Plan, span: tuple[int, int], columns: Parameters, records: list[Record]
) -> pa.Table:
    """The rows of the index for a span, with the records of its blocks.

    The record of an earlier write goes on in it.
    """
    table = {name: arrow_column(values) for name, values in columns.items()}
    past = plan.source.history.path
    record = load_record(past) if past is not None else None
    if record is not None:
        before = record.take(plan.origin(np.arange(*span)))
        table |= dict(zip(before.column_names, before.columns, strict=True))
    for name in records[0]:
        blocks = zip(*(block[name] for block in records), strict=True)
        table[name] = arrow_column(*map(np.concatenate, blocks))
    return index_table(plan.rows.take(slice(*span)), plan.class_names, table)


def rows_of(index: pa.Table, manifest: Mapping[str, Any], where: Path) -> Rows:
    """The rows that an index lists."""
    names, n = index.column_names, len(index)
    if not {"id", "copy", "label"} <= set(names) or n != manifest["rows"]:
        raise CellprepError(
            f"{str(where)!r} does not list the {manifest['rows']} rows of its "
            "dataset.json; it is damaged"
        )
    if len(set(names)) < len(names):
        raise CellprepError(f"{str(where)!r} has two columns of one name; it is damaged")
    ids, copies, labels = (index[name].to_numpy() for name in ("id", "copy", "label"))
    named = labels.dtype.kind in "iu" and not (n and (labels.min() < 0))
    if not named or (n and labels.max() >= len(manifest["class_names"])):
        raise CellprepError(f"{str(where)!r} has labels without a class name; it is damaged")
    groups = index["group"].to_numpy() if "group" in names else None
    return Rows.of(
        check_ids(ids, n, "id"),
        labels.astype(np.int64),
        check_copies(copies, n, where),
        None if groups is None else check_ids(groups, n, "group"),
    )


def stamp(file: Path) -> dict[str, Any]:
    """What a file holds, by its size and digest.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     stamp(Path(file.name))
    {'bytes': 0, 'xxh3_128': '99aa06d3014798d86001c324468d497f'}
    """
    digest, size = xxhash.xxh3_128(), 0
    with open_binary(file) as stream:
        while data := stream.read(1 << 20):
            digest.update(data)
            size += len(data)
    return {"bytes": size, "xxh3_128": digest.hexdigest()}


def save(path: Path, pieces: Iterable[bytes | memoryview], room: int = 0) -> dict[str, Any]:
    """A file from its pieces, and its stamp, made on the way; `room` is the size, where known."""
    digest, size = xxhash.xxh3_128(), 0
    with atomic_write(path) as temporary, temporary.open("xb") as file:
        if room:
            reserve(file, room)
        for data in pieces:
            digest.update(data)
            size += file.write(data)
    return {"bytes": size, "xxh3_128": digest.hexdigest()}


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a data set with a file that is missing or of another size than it was written with."""
    try:
        known = [*(shard["files"] for shard in manifest["shards"]), manifest.get("files", {})]
        wanted = {name: int(stamp["bytes"]) for files in known for name, stamp in files.items()}
        rows = sum(shard["rows"] for shard in manifest["shards"])
    except (KeyError, TypeError, ValueError, AttributeError):
        rows, wanted = -1, {}
    if rows != manifest["rows"]:
        raise CellprepError(
            f"{str(folder / MANIFEST)!r} does not name the files of its rows; it is damaged, write "
            "the data set again"
        )
    held = sizes(folder)
    for name, size in wanted.items():
        found = held(name)
        if found != size:
            what = "is missing" if found is None else f"has {found:,} bytes in place of {size:,}"
            raise CellprepError(f"{str(folder / name)!r} {what}; write the data set again")
