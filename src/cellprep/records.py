"""The record of a part: its rows of the index, its files, and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash
from numpy.typing import NDArray

from .formats.manifest import WORK, replacing, to_json
from .place import Found, found

if TYPE_CHECKING:
    import pyarrow as pa


def record_path(folder: Path, number: int) -> Path:
    return folder / WORK / f"part-{number:05d}.arrow"


def save_record(
    path: Path, table: pa.Table, entry: Mapping[str, Any], seen: NDArray[Any] | None
) -> None:
    """Save the rows, the entry in the manifest, and the fingerprints of the images that were read.

    The last are needed where the identity of the source is known only when all parts are there.
    """
    import pyarrow as pa

    table = table.replace_schema_metadata({"entry": to_json(entry), "seen": digest_of(seen)})
    with replacing(path) as temporary, pa.ipc.new_file(str(temporary), table.schema) as file:
        file.write_table(table)


def digest_of(seen: NDArray[Any] | None) -> str:
    return "" if seen is None else xxhash.xxh3_128_hexdigest(seen.data)


def load_record(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    return load_records([path])[0]


def load_records(paths: list[Path]) -> list[tuple[pa.Table, dict[str, Any]]]:
    """The rows and the entry of each."""
    tables = map(_table, found(paths))
    return [
        (table.replace_schema_metadata(), json.loads(table.schema.metadata[b"entry"]))
        for table in tables
    ]


def load_seen(paths: list[Path]) -> list[str | None]:
    """What `digest_of` gave for each; None of a record that is damaged."""
    digests: list[str | None] = []
    for data in found(paths):
        try:
            digests.append(_table(data).schema.metadata[b"seen"].decode())
        except DAMAGED_RECORD:
            digests.append(None)
    return digests


DAMAGED_RECORD = (OSError, ValueError, KeyError, TypeError)
"""What is raised of a record that a power cut, or somebody, left in pieces."""


def _table(data: Found) -> pa.Table:
    import pyarrow as pa

    if isinstance(data, OSError):
        raise data
    with pa.OSFile(str(data)) if isinstance(data, Path) else pa.BufferReader(data) as file:
        return pa.ipc.open_file(file).read_all()
