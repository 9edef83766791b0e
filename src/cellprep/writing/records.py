"""The record of a written shard, from which a resumed write and the index are made.

It contains the shard's rows of the index and its entry in the manifest, and ends in its own digest.
"""

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

ShardRecord: TypeAlias = "tuple[pa.Table, dict[str, Any]]"
"""The rows of a shard in the index; its entry in the manifest, with what was `measured` in it."""
_DAMAGED = (OSError, ValueError, KeyError, TypeError)
"""Errors of a record that was damaged, for example by a power cut."""
_AT_ONCE = 16
_DIGEST = 16  # bytes


def record_path(folder: Path, number: int) -> Path:
    """Where the record of a shard is; version 0.1 called shards parts."""
    return folder / WORK / f"part-{number:05d}.arrow"


def save_record(path: Path, table: pa.Table, entry: Mapping[str, Any]) -> None:
    """Save the rows, the entry, and a digest of both."""
    import pyarrow as pa

    table = table.replace_schema_metadata({"entry": json.dumps(entry)})
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, table.schema) as out:
        out.write_table(table)
    data = buffer.getvalue()
    with atomic_write(path) as temporary, temporary.open("xb") as file:
        file.write(data)
        file.write(xxhash.xxh3_128_digest(data))


def load_records(paths: Iterable[Path]) -> Iterator[ShardRecord]:
    """Each record, in order."""
    return map(_parsed, _fetched(paths))


def load_intact(paths: Iterable[Path]) -> Iterator[ShardRecord | None]:
    """Each record; None where it is damaged."""
    for data in _fetched(paths):
        try:
            yield _parsed(data)
        except _DAMAGED:
            yield None


def _fetched(paths: Iterable[Path]) -> Iterator[Prefetched]:
    """The file of each record; URLs, which respond slowly, are fetched 16 at a time."""
    paths = iter(paths)
    while some := list(islice(paths, 1)):
        some += islice(paths, _AT_ONCE - 1) if is_remote(some[0]) else ()
        yield from prefetch(some)


def _parsed(data: Prefetched) -> ShardRecord:
    import pyarrow as pa

    if isinstance(data, OSError):
        raise data
    saved = memoryview(data.read_bytes() if isinstance(data, Path) else data)
    if xxhash.xxh3_128_digest(saved[:-_DIGEST]) != saved[-_DIGEST:]:
        raise ValueError("its digest does not match")
    table = pa.ipc.open_file(saved[:-_DIGEST]).read_all()
    return table.replace_schema_metadata(), json.loads(table.schema.metadata[b"entry"])
