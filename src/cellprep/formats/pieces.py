"""The shards of a written folder and the files of its index: in one piece, or in several.

Up to 4,096 shards are listed in the manifest, and `index.parquet` has all their rows. The manifest
of a larger set lists pieces of 4,096 shards instead: piece 7 has its rows in `index/00007.parquet`,
and the entries of its shards in `index/_00007.json`. Thus the manifest stays small, and whatever
the size of a set, one piece is written or read at a time.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias, overload

from ..errors import CellprepError
from ..system import executors
from ..system.executors import Span
from ..system.paths import read_bytes, sizes
from .manifest import CARDS, INDEX, MANIFEST, are_shards, is_sealed, sealed, to_json
from .stamps import Files, stamp_of

SHARDS_PER_PIECE = 4096
"""Shards of every piece of a set that is written, but the last; a smaller set has no pieces."""
FOLDER = "index"
"""The folder with the files of all pieces."""
_ENTRIES_IN_MEMORY = 2
"""Pieces whose entries are kept in memory, about 4 MB each."""

Entry: TypeAlias = "Mapping[str, Any]"
"""A shard in the manifest: its `rows`, and the stamps of its `files`."""


@dataclass(frozen=True)
class Piece:
    """Consecutive shards of a written folder.

    Attributes
    ----------
    number : int
    shards, rows : (start, stop)
        Their numbers, and those of their rows.
    index : str
        The file with their rows.
    entries : str or None
        The file with their entries; None where these are in the manifest.
    files : dict
        The stamps of both files, where the manifest has them.
    """

    number: int
    shards: Span
    rows: Span
    index: str
    entries: str | None
    files: Files


@dataclass(frozen=True, eq=False)
class Shards(Sequence[Entry]):
    """The entries of all shards of a written folder, wherever they are.

    All shards but the last have the same number of rows. Nothing is read before it is used.

    Attributes
    ----------
    path : Path
    manifest : dict
    """

    path: Path
    manifest: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self._in_pieces:
            rows = [entry["rows"] for entry in self.manifest["shards"]]
            _check_rows(rows, self.rows_per_shard, self.rows, self.path / MANIFEST)

    @property
    def _in_pieces(self) -> bool:
        return "pieces" in self.manifest

    @property
    def index_path(self) -> Path:
        """The index, or the folder with its pieces."""
        return self.path / (FOLDER if self._in_pieces else INDEX)

    @property
    def rows(self) -> int:
        """The rows of all shards."""
        return int(self.manifest["rows"])

    @cached_property
    def rows_per_shard(self) -> int:
        """The rows of every shard but the last."""
        if self._in_pieces:
            first = self.manifest["pieces"][0]
            return int(first["rows"] // first["shards"])
        return int(self.manifest["shards"][0]["rows"]) if self.manifest["shards"] else 0

    @cached_property
    def pieces(self) -> list[Piece]:
        """One piece with all shards, or several."""
        if not self._in_pieces:
            stamps = self.manifest.get("files", {})
            files = {INDEX: stamps[INDEX]} if INDEX in stamps else {}
            every = (0, len(self.manifest["shards"]))
            return [Piece(0, every, (0, self.rows), INDEX, None, files)]
        pieces: list[Piece] = []
        shards = rows = 0
        for number, found in enumerate(self.manifest["pieces"]):
            index, entries = piece_files(number)
            of_shards, of_rows = (shards, shards + found["shards"]), (rows, rows + found["rows"])
            files = {index: found["index"], entries: found["entries"]}
            pieces.append(Piece(number, of_shards, of_rows, index, entries, files))
            (_, shards), (_, rows) = of_shards, of_rows
        return pieces

    def __len__(self) -> int:
        return self.pieces[-1].shards[1]

    @overload
    def __getitem__(self, number: int) -> Entry: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Entry]: ...
    def __getitem__(self, number: int | slice) -> Entry | Sequence[Entry]:
        at = range(len(self))[number]
        if isinstance(at, range):
            return [self[one] for one in at]
        piece = self.piece_of(at)
        return self._entries(piece.number)[at - piece.shards[0]]

    def __iter__(self) -> Iterator[Entry]:
        for piece in self.pieces:
            yield from self._entries(piece.number)

    def piece_of(self, shard: int) -> Piece:
        """The piece that a shard belongs to."""
        return self.pieces[shard // self.pieces[0].shards[1]]

    def span(self, shard: int) -> Span:
        """The rows of a shard."""
        start = shard * self.rows_per_shard
        return start, min(start + self.rows_per_shard, self.rows)

    def identity(self) -> str:
        """A text that changes when any file of a shard changes: their digests, or digests of these.

        A format with one file per row has their digests in the index.
        """
        if self._in_pieces:
            return " ".join(piece["entries"]["xxh3_128"] for piece in self.manifest["pieces"])
        return digests_of(self)

    @cached_property
    def _entries(self) -> Callable[[int], Sequence[Entry]]:
        """The entries of a piece, by its number."""
        return lru_cache(_ENTRIES_IN_MEMORY)(self._load)

    def _load(self, number: int) -> Sequence[Entry]:
        piece = self.pieces[number]
        if piece.entries is None:
            entries: Sequence[Entry] = self.manifest["shards"]
            return entries
        where = self.path / piece.entries
        try:
            data = read_bytes(where)
        except OSError as error:
            raise CellprepError(
                f"{str(where)!r} cannot be read: {error.strerror or error}; the write that made "
                "the data set repairs it"
            ) from error
        if stamp_of(io.BytesIO(data)) != piece.files[piece.entries]:
            raise CellprepError(
                f"{str(where)!r} does not match its digest in {MANIFEST}; the write that made the "
                "data set repairs it"
            )
        entries = _parsed(data, where)
        if len(entries) != piece.shards[1] - piece.shards[0]:
            raise CellprepError(
                f"{str(where)!r} has {len(entries):,} shards instead of "
                f"{piece.shards[1] - piece.shards[0]:,}; it is damaged"
            )
        rows = [entry["rows"] for entry in entries]
        _check_rows(rows, self.rows_per_shard, piece.rows[1] - piece.rows[0], where)
        return entries

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "manifest": self.manifest}


def _check_rows(rows: list[int], each: int, total: int, where: Path) -> None:
    """Refuse entries with other rows than expected."""
    fit = rows and each > 0 and all(n == each for n in rows[:-1]) and 0 < rows[-1] <= each
    if not fit or sum(rows) != total:
        raise CellprepError(
            f"{str(where)!r} does not name the shards of {total:,} rows; it is damaged, write the "
            "data set again"
        )


def cut_into_pieces(shards: int) -> list[Span]:
    """The shards of each piece of a set that is to be written."""
    return executors.cut(shards, SHARDS_PER_PIECE)


def piece_files(number: int) -> tuple[str, str]:
    """The files with the rows of a piece and with the entries of its shards.

    Readers of Parquet folders ignore names that begin with an underscore.

    >>> piece_files(7)
    ('index/00007.parquet', 'index/_00007.json')
    """
    return f"{FOLDER}/{number:05d}.parquet", f"{FOLDER}/_{number:05d}.json"


def index_files(folder: Path) -> list[Path]:
    """The index of a folder, or the files of all its pieces, finished or not."""
    pieces = folder / FOLDER
    found = pieces.iterdir() if pieces.is_dir() else ()
    ours = re.compile(r"\d{5,}\.parquet|_\d{5,}\.json")
    return [folder / INDEX, *(file for file in found if ours.fullmatch(file.name))]


def entries_bytes(entries: Iterable[Entry]) -> bytes:
    """The entries of a piece as they are saved, ending in their digest."""
    return sealed(to_json({"shards": list(entries)}).encode())


def _parsed(data: bytes, where: Path) -> list[Entry]:
    """The entries of a piece, checked like a manifest."""
    try:
        saved = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        saved = None
    entries = saved.get("shards") if isinstance(saved, dict) and is_sealed(data) else None
    if not isinstance(entries, list) or not are_shards(entries):
        raise CellprepError(f"{str(where)!r} has no usable shards; it is damaged")
    return entries


def digests_of(shards: Iterable[Entry]) -> str:
    """The digests of all files of these shards, which change when any image changes."""
    files = (entry["files"] for entry in shards)
    return " ".join(of_shard[name]["xxh3_128"] for of_shard in files for name in sorted(of_shard))


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a data set with a file that is missing or has another size than was written."""
    size_of = sizes(folder)
    outside = dict(manifest.get("files", {}))
    for name in CARDS:  # somebody may have added to them
        outside.pop(name, None)
    of_shards = (entry["files"] for entry in Shards(folder, manifest))
    for files in itertools.chain(of_shards, [outside]):
        for name, stamp in files.items():
            found, size = size_of(name), int(stamp["bytes"])
            if found != size:
                what = "is missing" if found is None else f"has {found:,} bytes instead of {size:,}"
                raise CellprepError(f"{str(folder / name)!r} {what}; write the data set again")
