"""Comparing the files of a finished data set with their recorded stamps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CellprepError
from ..formats import format_of
from ..formats.index import load_index
from ..formats.manifest import INDEX, MANIFEST
from ..formats.written import load_manifest
from ..system import executors
from .check_archive import damaged_members
from .file_state import INTACT, file_state, files_of_shard

if TYPE_CHECKING:
    import pyarrow as pa

_NO_SHARD = -1


@dataclass(frozen=True)
class Damaged:
    """A file that differs from what was written.

    Attributes
    ----------
    file : str
        Its name in the data set.
    rows : int
        The number of images in it.
    state : str
        "missing", "cut short", "too long", "wrong bytes", or "unreadable" with the reason.
    shard : int
        The number of the shard that it belongs to, -1 for a file outside all shards.
    """

    file: str
    rows: int
    state: str
    shard: int = _NO_SHARD


@dataclass(frozen=True)
class Checked:
    """The number of rows and files that were checked, and the damaged files."""

    rows: int
    files: int
    damaged: list[Damaged] = field(default_factory=list)

    @property
    def shards(self) -> set[int]:
        """The shards with a damaged file."""
        return {found.shard for found in self.damaged} - {_NO_SHARD}

    @property
    def index_is_damaged(self) -> bool:
        return any(found.file == INDEX for found in self.damaged)


@dataclass(frozen=True)
class ExpectedShards:
    """The files that the shards must have, by their entries in the manifest and by the index."""

    entries: Sequence[Mapping[str, Any]]
    index: pa.Table | None
    digests: Mapping[str, str]

    @cached_property
    def numbers(self) -> dict[executors.Span, int]:
        """The number of each shard, by its rows."""
        ends = list(itertools.accumulate(entry["rows"] for entry in self.entries))
        return {span: n for n, span in enumerate(zip([0, *ends], ends, strict=False))}

    def files(self, span: executors.Span) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
        """Name, rows and stamp of every file of a shard."""
        table = None if self.index is None else self.index.slice(span[0], span[1] - span[0])
        return files_of_shard(self.entries[self.numbers[span]], table, self.digests)


def check(path: Path, *, deep: bool = True) -> Checked:
    """Check every file of a finished data set; without `deep` only sizes, and the index."""
    if not path.exists():
        raise CellprepError(f"there is no file or folder {str(path)!r}")
    if path.is_file():
        rows, files, damaged = damaged_members(path)
        return Checked(rows, files, [Damaged(name, rows, state) for name, state in damaged.items()])
    manifest = load_manifest(path)
    format = format_of(manifest["format"], path)
    outside, shards = manifest.get("files", {}), manifest["shards"]
    if not all(isinstance(shard.get("files"), dict) and "rows" in shard for shard in shards):
        raise CellprepError(
            f"{str(path / MANIFEST)!r} does not name the files of its shards; it is damaged"
        )
    damaged_files = []
    for name, expected in outside.items():
        state = file_state(path, name, expected, deep or name == INDEX)
        if state != INTACT:
            rows = manifest["rows"] if name == INDEX else 0
            damaged_files.append(Damaged(name, rows, state))
    index = None
    if format.digests and not any(found.file == INDEX for found in damaged_files):
        index = load_index(path, manifest)
    task = _CheckTask(path, ExpectedShards(shards, index, format.digests), deep)
    files = len(outside)
    for count, found in executors.run(task, list(task.expected.numbers), "verifying"):
        files += count
        damaged_files += found
    return Checked(manifest["rows"], files, damaged_files)


@dataclass(frozen=True)
class _CheckTask:
    """Checks one shard: the task of a worker."""

    folder: Path
    expected: ExpectedShards
    deep: bool

    def __call__(self, span: executors.Span) -> tuple[int, list[Damaged]]:
        """The number of files, and the damaged ones."""
        count, damaged = 0, []
        for name, rows, expected in self.expected.files(span):
            count += 1
            state = file_state(self.folder, name, expected, self.deep)
            if state != INTACT:
                damaged.append(Damaged(name, rows, state, self.expected.numbers[span]))
        return count, damaged
