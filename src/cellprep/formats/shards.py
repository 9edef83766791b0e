"""Shards: a folder of `.npy` files that any NumPy can memory-map, an index and a manifest."""

from __future__ import annotations

import io
import itertools
import math
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions, as_slice
from ..errors import CellprepError
from ..plan.rows import Rows
from ..plan.source import BaseSource, History, Shape
from ..plan.table import Table
from ..system.paths import is_remote, read_ranges, sizes
from .format import Block, Contents, Format, WrittenShard, images_of
from .index import table_of
from .maps import Pages
from .opened import history_of
from .pieces import Shards
from .stamps import Files, save
from .untrusted import DAMAGED_NPY
from .written import manifest_of_format

_MOST_MAPS = 128  # each has a file descriptor
_NEAR = 1 << 16
"""Rows of a URL that are at most so many bytes apart are fetched together."""
_PARSING = threading.Lock()
"""NumPy parses a header as Python source, which Python 3.11 cannot do in two threads at a time."""


@dataclass(frozen=True, eq=False)
class ShardSource(BaseSource):
    """Images of a shard folder, memory-mapped; from a URL, only the requested rows are fetched."""

    path: Path
    manifest: dict[str, Any]
    _table: Table
    trusted: bool = True
    _pages: Pages = field(default_factory=Pages, repr=False)

    @property
    def table(self) -> Table:
        return self._table

    @property
    def rows(self) -> Rows:
        return self._table.rows

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.manifest["class_names"])

    @property
    def shape(self) -> Shape:
        height, width, channels = self.manifest["shape"]
        return height, width, channels

    @cached_property
    def history(self) -> History:
        return history_of(self.manifest, self.path)

    def identity(self) -> str:
        return f"{self.manifest['format']} {self._shards.identity()}"

    @cached_property
    def _shards(self) -> Shards:
        return Shards(self.path, self.manifest)

    @cached_property
    def _remote(self) -> bool:
        return is_remote(self.path)

    @cached_property
    def _maps(self) -> Callable[[int], Images]:
        return self._opened("shard", self.shape, np.uint8)

    @cached_property
    def _mask_maps(self) -> Callable[[int], NDArray[Any]]:
        return self._opened("masks", self.shape[:2], np.bool_)

    def _opened(self, what: str, inner: tuple[int, ...], kind: Any) -> Callable[[int], Any]:
        # Each map keeps a file descriptor open, of which a process has few. They are closed with
        # this source: nothing here may refer to it, or only the garbage collector would do so.
        path, shards, track = self.path, self._shards, self._pages.track
        name, mapped, known = self._name, self._mapped, self.history.opened

        def opened(number: int) -> NDArray[Any]:
            start, stop = shards.span(number)
            shape = (stop - start, *inner)
            try:
                return track(mapped(path / name(number, what), shape, kind))
            finally:
                if known is not None:
                    known.check()

        return lru_cache(maxsize=_MOST_MAPS)(opened)

    @staticmethod
    def _name(number: int, what: str) -> str:
        """The name of a shard, or of its masks."""
        return shard_name(number, what)

    @staticmethod
    def _mapped(file: Path, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        try:
            with _PARSING:
                array = np.lib.format.open_memmap(file, mode="r")
        except DAMAGED_NPY as error:
            raise CellprepError(
                f"shard {str(file)!r} cannot be read: {error}; write the data set again"
            ) from error
        if array.shape != shape or array.dtype != kind:
            raise CellprepError(
                f"shard {str(file)!r} contains {array.shape} {array.dtype}, not {shape} "
                f"{np.dtype(kind)}; it is damaged"
            )
        return array

    def row_name(self, row: int) -> str:
        shard, position = divmod(row, self._each)
        return f"{self._name(shard, 'shard')}: row {position}"

    def _file(self, number: int, what: str) -> tuple[str, int]:
        """The name of a shard, and the offset of its first row."""
        piece = self._shards.piece_of(number)
        offset = self._offsets(piece.number, what)[number - piece.shards[0]]
        return self._name(number, what), offset

    @cached_property
    def _offsets(self) -> Callable[[int, str], list[int]]:
        """The offset of the first row in each shard of a piece: smaller than the entries."""
        path, shape, shards, name = self.path, self.shape, self._shards, self._name

        def offsets(piece: int, what: str) -> list[int]:
            size = math.prod(shape if what == "shard" else shape[:2])
            numbers = range(*shards.pieces[piece].shards)
            try:
                sizes = [shards[n]["files"][name(n, what)]["bytes"] for n in numbers]
            except KeyError as error:
                raise CellprepError(
                    f"{str(path)!r} does not list its shard {error}; it is damaged"
                ) from error
            rows = [shards[n]["rows"] for n in numbers]
            return [end - n * size for end, n in zip(sizes, rows, strict=True)]

        return lru_cache(maxsize=None)(offsets)

    @cached_property
    def _each(self) -> int:
        return self._shards.rows_per_shard

    @property
    def has_masks(self) -> bool:
        return bool(self.manifest["masks"])

    @cached_property
    def _bytes(self) -> int:
        return math.prod(self.shape)

    def image_at(self, row: int) -> Images:
        # Checking takes as long as copying an image. Maps that are open stay those of this set.
        opened = self.history.opened
        if self._remote or opened is None or not opened.was_checked_lately():
            return super().image_at(row)
        number, at = divmod(row, self._each)
        return cast(Images, self._maps(number)[at])

    def images(self, at: Positions) -> Images:
        shard, rows = np.divmod(at, self._each)
        if self._remote:
            out = np.empty((len(at), *self.shape), np.uint8)
            return self._fetched("shard", shard, rows, out)
        if len(at) and shard[0] == shard[-1] and (run := as_slice(rows)):
            self._pages.read(at, self._bytes)
            return self._maps(int(shard[0]))[run]
        self._pages.read(at, self._bytes)
        return _gathered(self._maps, shard, rows, self.shape, np.uint8)

    def masks(self, at: Positions) -> Masks:
        shard, row = np.divmod(at, self._each)
        if self._remote:
            return self._fetched("masks", shard, row, np.empty((len(at), *self.shape[:2]), bool))
        self._pages.read(at, self._bytes // 3)
        return _gathered(self._mask_maps, shard, row, self.shape[:2], np.bool_)

    def _fetched(
        self, what: str, shard: Positions, row: Positions, out: NDArray[Any]
    ) -> NDArray[Any]:
        """The rows from a URL; rows near each other are fetched together."""
        for number in np.unique(shard).tolist():
            here = shard == number
            (name, start), size = self._file(number, what), out[0].nbytes
            distinct, back = np.unique(row[here], return_inverse=True)
            far = np.flatnonzero((np.diff(distinct) - 1) * size > _NEAR) + 1
            runs = [np.arange(run[0], run[-1] + 1) for run in np.split(distinct, far)]
            spans = [(start + int(r[0]) * size, start + int(r[-1] + 1) * size) for r in runs]
            try:
                data = b"".join(read_ranges(self.path / name, spans))
            except OSError as error:
                raise CellprepError(
                    f"shard {str(self.path / name)!r} cannot be read: {error.strerror or error}"
                ) from error
            fetched = np.frombuffer(data, out.dtype).reshape(-1, *out.shape[1:])
            out[here] = fetched[np.concatenate(runs).searchsorted(distinct)[back]]
        return out

    def __getstate__(self) -> dict[str, Any]:
        maps = ("_maps", "_mask_maps", "_offsets")  # they would be copied
        return {k: v for k, v in self.__dict__.items() if k not in maps}


def _gathered(
    maps: Callable[[int], NDArray[Any]],
    shard: Positions,
    row: Positions,
    inner: tuple[int, ...],
    kind: type[np.generic],
) -> NDArray[Any]:
    """These rows of these shards, as a new array (n, *inner)."""
    ends = [*(np.flatnonzero(shard[1:] != shard[:-1]) + 1).tolist(), len(row)]
    of_each = shard.tolist()
    shards = set(of_each)
    if 4 * len(ends) > len(row) and len(shards) <= _MOST_MAPS // 2:
        # a call of NumPy's for each run would take longer than copying it
        bytes_of = {one: maps(one).data.cast("B") for one in shards}
        size = math.prod(inner)
        found = [
            bytes_of[one][start : start + size]
            for one, start in zip(of_each, (row * size).tolist(), strict=True)
        ]
        return np.frombuffer(bytearray().join(found), kind).reshape(-1, *inner)
    out = np.empty((len(row), *inner), kind)
    for start, stop in itertools.pairwise([0, *ends]):
        array = maps(of_each[start])
        # no row is outside; "clip" lets NumPy write to `out` without a buffer
        np.take(array, row[start:stop], axis=0, out=out[start:stop], mode="clip")
    return out


def read(path: Path) -> ShardSource:
    """The source of a folder that `write(format="shards")` wrote."""
    manifest = manifest_of_format(path, "shards")
    table = table_of(path, manifest)
    height, width, channels = manifest["shape"]
    shards = Shards(path, manifest)
    kinds = {"shard": height * width * channels}
    if manifest.get("masks"):
        kinds["masks"] = height * width
    size_of = sizes(path)
    for number in range(len(shards)):
        start, stop = shards.span(number)
        for what, size in kinds.items():
            name = shard_name(number, what)
            if (size_of(name) or 0) < (stop - start) * size:
                raise CellprepError(
                    f"shard {str(path / name)!r} is missing or truncated; write the data set again"
                )
    return ShardSource(path, manifest, table)


def shard_name(number: int, what: str = "shard") -> str:
    """
    >>> shard_name(7), shard_name(7, "masks")
    ('shard-00007.npy', 'masks-00007.npy')
    """
    return f"{what}-{number:05d}.npy"


@dataclass(frozen=True, eq=False)
class NpyWriter:
    """Writes a shard as one `.npy` file, and its masks as another."""

    contents: Contents

    def begin(self, folder: Path) -> Files:
        return {}

    def write_shard(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenShard:
        n, masks = len(self.contents.shard_rows(number)), list[Masks]()
        name, images = shard_name(number), images_of(blocks, masks)
        files = {name: _save(folder / name, "|u1", (n, *self.contents.shape), images)}
        if masks:
            name = shard_name(number, "masks")
            files[name] = _save(folder / name, "|b1", (n, *self.contents.shape[:2]), masks)
        columns = {"shard": np.full(n, number, np.int32), "row": np.arange(n, dtype=np.int32)}
        return WrittenShard(files, columns)


def _save(
    path: Path, kind: str, shape: tuple[int, ...], arrays: Iterable[NDArray[Any]]
) -> dict[str, Any]:
    """Write one `.npy` file from its pieces, and digest it meanwhile."""
    header = _header(kind, shape)
    size = len(header) + math.prod(shape) * np.dtype(kind).itemsize
    return save(path, itertools.chain([header], map(_bytes, arrays)), size)


def _header(kind: str, shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": kind, "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def _bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")


def digest(images: Images) -> str:
    """The digest of the shard file with these images."""
    found = xxhash.xxh3_128(_header("|u1", images.shape))
    found.update(_bytes(images))
    return found.hexdigest()


def shard_files(folder: Path) -> list[Path]:
    """All shard files in a folder, masks included."""
    ours = re.compile(r"(shard|masks)-\d{5,}\.npy")
    return sorted(file for file in folder.iterdir() if ours.fullmatch(file.name))


FORMAT = Format(read, writer=NpyWriter, files=shard_files, digest=digest)
