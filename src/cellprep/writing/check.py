"""Comparing the files of a finished data set with their recorded stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CellprepError
from ..formats import format_of
from ..formats.index import load_piece
from ..formats.pieces import Piece, Shards
from ..formats.written import load_manifest
from ..system import executors
from .check_archive import damaged_members
from .file_state import INTACT, file_state, files_of_shard

if TYPE_CHECKING:
    import pyarrow as pa

_NONE = -1


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
    piece : int
        The number of the piece whose index or entries it contains, -1 for any other file.
    """

    file: str
    rows: int
    state: str
    shard: int = _NONE
    piece: int = _NONE


@dataclass(frozen=True)
class Checked:
    """The number of rows and files that were checked, and the damaged files."""

    rows: int
    files: int
    damaged: list[Damaged] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The damaged files."""
        return {found.file for found in self.damaged}

    @property
    def pieces(self) -> set[int]:
        """The pieces whose index or entries are damaged."""
        return {found.piece for found in self.damaged} - {_NONE}

    def to_compute(self, shards: Shards) -> list[int]:
        """The shards to compute again: those with a damaged file, and all of a damaged piece.

        Index and entries of a piece contain what was measured in its images.
        """
        found = {found.shard for found in self.damaged} - {_NONE}
        for number in self.pieces:
            found |= {*range(*shards.pieces[number].shards)}
        return sorted(found)


@dataclass(frozen=True, eq=False)
class ExpectedFiles:
    """The files that the shards must have, by their entries and by the index.

    Attributes
    ----------
    shards : Shards
    digests : mapping
        See `Format.digests`.
    without_index : set of int
        The pieces whose index is damaged, so that the files it lists are not known.
    """

    shards: Shards
    digests: Mapping[str, str]
    without_index: Set[int]

    def of_shard(self, number: int) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
        """Name, rows and stamp of every file of a shard."""
        piece = self.shards.piece_of(number)
        table = None
        if self.digests and piece.number not in self.without_index:
            start, stop = self.shards.span(number)
            table = self._index(piece).slice(start - piece.rows[0], stop - start)
        return files_of_shard(self.shards[number], table, self.digests)

    @cached_property
    def _index(self) -> Callable[[Piece], pa.Table]:
        shards = self.shards
        load = lru_cache(1)(lambda n: load_piece(shards, shards.pieces[n], record=False))
        return lambda piece: load(piece.number)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_index"}


def check(path: Path, *, deep: bool = True) -> Checked:
    """Check every file of a finished data set; without `deep` only sizes, and the index.

    The files of a piece whose entries are damaged are not known, and not checked.
    """
    if not path.exists():
        raise CellprepError(f"there is no file or folder {str(path)!r}")
    if path.is_file():
        rows, files, damaged = damaged_members(path)
        return Checked(rows, files, [Damaged(name, rows, state) for name, state in damaged.items()])
    manifest = load_manifest(path)
    format, shards = format_of(manifest["format"], path), Shards(path, manifest)
    of_pieces = {name: piece for piece in shards.pieces for name in piece.files}
    stamps = {**manifest.get("files", {}), **{n: p.files[n] for n, p in of_pieces.items()}}
    found = []
    for name, expected in stamps.items():
        piece = of_pieces.get(name)
        state = file_state(path, name, expected, deep or piece is not None)
        if state != INTACT and piece is None:
            found.append(Damaged(name, 0, state))
        elif state != INTACT and piece is not None:
            rows = piece.rows[1] - piece.rows[0]
            found.append(Damaged(name, rows, state, piece=piece.number))
    checked = Checked(manifest["rows"], len(stamps), found)
    pieces = [piece for piece in shards.pieces if piece.entries not in checked.names]
    without_index = {p.number for p in shards.pieces if p.index in checked.names}
    task = _CheckTask(path, ExpectedFiles(shards, format.digests, without_index), deep)
    spans = [shards.span(number) for piece in pieces for number in range(*piece.shards)]
    files = len(stamps)
    for count, damaged_files in executors.run(task, spans, "verifying"):
        files += count
        found += damaged_files
    return replace(checked, files=files)


@dataclass(frozen=True)
class _CheckTask:
    """Checks one shard: the task of a worker."""

    folder: Path
    expected: ExpectedFiles
    deep: bool

    def __call__(self, span: executors.Span) -> tuple[int, list[Damaged]]:
        """The number of files, and the damaged ones."""
        count, damaged = 0, []
        number = span[0] // self.expected.shards.rows_per_shard
        for name, rows, expected in self.expected.of_shard(number):
            count += 1
            state = file_state(self.folder, name, expected, self.deep)
            if state != INTACT:
                damaged.append(Damaged(name, rows, state, number))
        return count, damaged
