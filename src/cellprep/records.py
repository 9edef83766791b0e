"""The record of a part: its rows of the index, its files, and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import xxhash
from numpy.typing import NDArray

from .formats.manifest import WORK, replacing
from .place import Found, found, is_remote

if TYPE_CHECKING:
    import pyarrow as pa

Saved: TypeAlias = "tuple[pa.Table, dict[str, Any]]"
"""The rows of a part in the index, and its entry in the manifest."""
DAMAGED_RECORD = (OSError, ValueError, KeyError, TypeError)
"""What is raised of a record that a power cut, or somebody, left in pieces."""
_AT_ONCE = 16


def record_path(folder: Path, number: int) -> Path:
    return folder / WORK / f"part-{number:05d}.arrow"


def save_record(
    path: Path, table: pa.Table, entry: Mapping[str, Any], seen: NDArray[Any] | None
) -> None:
    """Save the rows, the entry in the manifest, and the fingerprints of the images that were read.

    The last are needed where the identity of the source is known only when all parts are there.
    """
    import pyarrow as pa

    table = table.replace_schema_metadata({"entry": json.dumps(entry), "seen": digest_of(seen)})
    data = pa.BufferOutputStream()
    with pa.ipc.new_file(data, table.schema) as file:
        file.write_table(table)
    with replacing(path) as temporary:
        temporary.write_bytes(data.getvalue())


def digest_of(seen: NDArray[Any] | None) -> str:
    return "" if seen is None else xxhash.xxh3_128_hexdigest(seen.data)


def load_record(path: Path) -> Saved:
    return next(load_records([path]))


def load_records(paths: Iterable[Path]) -> Iterator[Saved]:
    """The rows and the entry of each, as the paths come; of URLs, which answer late, by dozens."""
    paths = iter(paths)
    while some := list(islice(paths, 1)):
        some += islice(paths, _AT_ONCE - 1) if is_remote(some[0]) else ()
        for table in map(_table, found(some)):
            yield table.replace_schema_metadata(), json.loads(table.schema.metadata[b"entry"])


def load_seen(paths: list[Path]) -> list[str | None]:
    """What `digest_of` gave for each; None of a record that is damaged."""
    digests: list[str | None] = []
    for data in found(paths):
        try:
            digests.append(_table(data).schema.metadata[b"seen"].decode())
        except DAMAGED_RECORD:
            digests.append(None)
    return digests


def _table(data: Found) -> pa.Table:
    import pyarrow as pa

    if isinstance(data, OSError):
        raise data
    with pa.OSFile(str(data)) if isinstance(data, Path) else pa.BufferReader(data) as file:
        return pa.ipc.open_file(file).read_all()
