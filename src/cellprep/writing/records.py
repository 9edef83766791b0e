"""The record of a part: its rows of the index, and its files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import xxhash

from ..system.paths import WORK, Prefetched, atomic_write, is_remote, prefetch

if TYPE_CHECKING:
    import pyarrow as pa

Saved: TypeAlias = "tuple[pa.Table, dict[str, Any]]"
"""The rows of a part in the index, and its entry in the manifest."""
_DAMAGED = (OSError, ValueError, KeyError, TypeError)
"""What is raised of a record that a power cut, or somebody, left in pieces."""
_AT_ONCE = 16
_DIGEST = 16  # bytes


def record_path(folder: Path, number: int) -> Path:
    return folder / WORK / f"part-{number:05d}.arrow"


def save_record(path: Path, table: pa.Table, entry: Mapping[str, Any]) -> None:
    """Save the rows and the entry in the manifest, and a digest of both at the end."""
    import pyarrow as pa

    table = table.replace_schema_metadata({"entry": json.dumps(entry)})
    data = pa.BufferOutputStream()
    with pa.ipc.new_file(data, table.schema) as out:
        out.write_table(table)
    held = data.getvalue()
    with atomic_write(path) as temporary, temporary.open("xb") as file:
        file.write(held)
        file.write(xxhash.xxh3_128_digest(held))


def load_records(paths: Iterable[Path]) -> Iterator[Saved]:
    """The rows and the entry of each, as the paths come; of URLs, which answer late, by dozens."""
    paths = iter(paths)
    while some := list(islice(paths, 1)):
        some += islice(paths, _AT_ONCE - 1) if is_remote(some[0]) else ()
        yield from map(_parsed, prefetch(some))


def load_whole(paths: list[Path]) -> list[Saved | None]:
    """The rows and the entry of each; None where a record is damaged."""
    records: list[Saved | None] = []
    for data in prefetch(paths):
        try:
            records.append(_parsed(data))
        except _DAMAGED:
            records.append(None)
    return records


def _parsed(data: Prefetched) -> Saved:
    import pyarrow as pa

    if isinstance(data, OSError):
        raise data
    held = memoryview(data.read_bytes() if isinstance(data, Path) else data)
    if xxhash.xxh3_128_digest(held[:-_DIGEST]) != held[-_DIGEST:]:
        raise ValueError("it is not as it was saved")
    table = pa.ipc.open_file(held[:-_DIGEST]).read_all()
    return table.replace_schema_metadata(), json.loads(table.schema.metadata[b"entry"])
