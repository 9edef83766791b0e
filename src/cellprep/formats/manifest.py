"""`dataset.json` and `index.parquet`: what a written data set says of itself."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..arrays import Masks
from ..errors import CellprepError
from ..place import changed, fetched, is_remote, opened, read_bytes, sizes
from ..place import replacing as replacing
from ..rows import Rows
from ..source import Past

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "dataset.json"
INDEX = "index.parquet"
WORK = ".cellprep"
LOCK = "lock"
_MOST_EXPANDED = 1 << 30


def read_manifest(text: str, where: Path) -> dict[str, Any]:
    """The manifest of a written data set, refused with the reason if it is not one."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise CellprepError(f"{str(where)!r} is not a manifest that cellprep wrote") from None
    needed = {
        **{"format": str, "rows": int, "shape": list, "class_names": list},
        **{"recipe": list, "made_of": dict, "shards": list, "stages": list},
    }
    held = manifest if isinstance(manifest, dict) else {}
    wrong = [name for name, kind in needed.items() if not isinstance(held.get(name), kind)]
    if wrong:
        raise CellprepError(
            f"{str(where)!r} has no {', '.join(wrong)}; it is damaged or not from cellprep"
        )
    return dict(manifest)


def load_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a folder or npz file that `write` has finished."""
    try:
        return read_manifest(_load(path, MANIFEST).decode("utf-8", "replace"), path / MANIFEST)
    except (OSError, KeyError, zipfile.BadZipFile):
        raise CellprepError(
            f"{str(path)!r} is not a folder or npz file that `write` has finished"
        ) from None


def load_index(path: Path) -> pa.Table:
    """The index of a folder or npz file that `write` has finished."""
    import pyarrow.parquet as pq

    try:
        if path.is_dir():
            with fetched(path / INDEX) as file:  # it may be large
                return pq.read_table(file)
        return pq.read_table(io.BytesIO(_load(path, INDEX)))
    except (OSError, KeyError, zipfile.BadZipFile, ValueError) as error:
        why = " ".join(str(error).split())
        raise CellprepError(f"{str(path / INDEX)!r} cannot be read: {why}") from error


def _load(path: Path, name: str) -> bytes:
    if path.is_dir():
        return read_bytes(path / name)
    with opened(path) as file, zipfile.ZipFile(file) as archive:
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


def past_of(manifest: Mapping[str, Any], path: Path) -> Past:
    """The steps that were taken before the data set was written there."""
    steps, stages = tuple(manifest["recipe"]), tuple(manifest["stages"])
    return Past(steps, manifest.get("multiplied_by"), stages, path)


def load_record(path: Path) -> pa.Table | None:
    """What made each image of a written data set: the index without what says where it lies."""
    held = path / INDEX if is_remote(path) and path.is_dir() else path
    return _load_record(path, changed(held))


@lru_cache(maxsize=2)
def _load_record(path: Path, changed: int | str) -> pa.Table | None:
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


def rows_of(index: pa.Table, manifest: Mapping[str, Any], where: Path) -> Rows:
    """The rows that an index lists."""
    names = set(index.column_names)
    if not {"id", "copy", "label"} <= names or len(index) != manifest["rows"]:
        raise CellprepError(
            f"{str(where)!r} does not list the {manifest['rows']} rows of its "
            "dataset.json; it is damaged"
        )
    ids = index["id"].to_numpy()
    groups = index["group"].to_numpy() if "group" in names else None
    if ids.dtype.kind == "O":
        ids = ids.astype(str)
    if groups is not None and groups.dtype.kind == "O":
        groups = groups.astype(str)
    labels = index["label"].to_numpy().astype(np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(manifest["class_names"]):
        raise CellprepError(f"{str(where)!r} has labels without a class name; it is damaged")
    return Rows.of(ids, labels, index["copy"].to_numpy().astype(np.int64), groups)


def stamp(file: Path) -> dict[str, Any]:
    """What a file holds, by its size and digest.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     stamp(Path(file.name))
    {'bytes': 0, 'xxh3_128': '99aa06d3014798d86001c324468d497f'}
    """
    digest, size = xxhash.xxh3_128(), 0
    with opened(file) as stream:
        while data := stream.read(1 << 20):
            digest.update(data)
            size += len(data)
    return {"bytes": size, "xxh3_128": digest.hexdigest()}


def save(path: Path, pieces: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """A file from its pieces, and its stamp, made on the way."""
    digest, size = xxhash.xxh3_128(), 0
    # "r+b": ext4 flushes a file that was truncated on opening
    with replacing(path) as temporary, temporary.open("r+b") as file:
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
