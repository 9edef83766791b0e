"""Shards: a folder of `.npy` files that any NumPy can memory-map, an index and a manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..arrays import Images, Positions, run_of
from ..errors import CellprepError
from ..rows import Rows
from ..source import Past, Shape
from .manifest import MANIFEST, load_written, past_of, replacing


@dataclass(frozen=True, eq=False)
class ShardSource:
    """Images of a shard folder, memory-mapped."""

    path: Path
    manifest: dict[str, Any]
    rows: Rows
    trusted: bool = True

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.manifest["class_names"])

    @property
    def shape(self) -> Shape:
        height, width, channels = self.manifest["shape"]
        return height, width, channels

    @property
    def past(self) -> Past:
        return past_of(self.manifest, self.path)

    def identity(self) -> str:
        return "shards " + " ".join(shard["xxh3_128"] for shard in self.manifest["shards"])

    @cached_property
    def _maps(self) -> Callable[[int], Images]:
        # A map holds a file descriptor, of which a process has few.
        return lru_cache(maxsize=128)(self._open)

    def _open(self, number: int) -> Images:
        shard = self.manifest["shards"][number]
        name, rows = shard["file"], shard["rows"]
        if Path(name).name != name:
            raise CellprepError(
                f"{str(self.path / MANIFEST)!r} names a shard outside its folder: {name!r}"
            )
        try:
            array = np.load(self.path / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise CellprepError(
                f"shard {str(self.path / name)!r} cannot be read: {error}; write the data set again"
            ) from error
        if array.shape != (rows, *self.shape) or array.dtype != np.uint8:
            raise CellprepError(
                f"shard {str(self.path / name)!r} holds {array.shape} "
                f"{array.dtype}, not {(rows, *self.shape)} uint8; it is damaged"
            )
        return np.asarray(array)  # a plain view, which is quicker to cut than a map

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        rows = [shard["rows"] for shard in self.manifest["shards"]]
        return np.cumsum([0, *rows])[:-1]

    def images(self, at: Positions) -> Images:
        shard = self._starts.searchsorted(at, side="right") - 1
        row = at - self._starts[shard]
        if len(at) and shard[0] == shard[-1] and (run := run_of(row)):
            return self._maps(int(shard[0]))[run]
        ends = [*(np.flatnonzero(shard[1:] != shard[:-1]) + 1).tolist(), len(at)]
        out = np.empty((len(at), *self.shape), np.uint8)
        for start, stop in zip([0, *ends], ends, strict=False):
            shard_images = self._maps(int(shard[start]))
            # "clip": no row is outside, and NumPy takes straight into `out`
            np.take(shard_images, row[start:stop], axis=0, out=out[start:stop], mode="clip")
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_maps"}  # maps would be copied


def read(path: Path) -> ShardSource:
    """The source of a folder that `write(format="shards")` made."""
    manifest, _, rows = load_written(path, "shards")
    for shard in manifest["shards"]:
        pixels = shard["rows"] * int(np.prod(manifest["shape"]))
        file = path / Path(shard["file"]).name
        if not file.is_file() or file.stat().st_size < pixels:
            raise CellprepError(
                f"shard {str(file)!r} is missing or cut short; write the data set again"
            )
    return ShardSource(path, manifest, rows)


def shard_name(number: int) -> str:
    """
    >>> shard_name(7)
    'shard-00007.npy'
    """
    return f"shard-{number:05d}.npy"


@dataclass(frozen=True)
class ShardWriter:
    """Writes rows as one shard."""

    shape: Shape

    def write_part(
        self, folder: Path, number: int, start: int, rows: Rows, images: Iterable[Images]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """One shard under its final name once complete; where its rows lie, and its digest."""
        name = shard_name(number)
        digest = xxhash.xxh3_128()
        with replacing(folder / name) as temporary, temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *self.shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for batch in images:
                data = np.ascontiguousarray(batch).data.cast("B")
                digest.update(data)
                file.write(data)
        columns = {
            "shard": np.full(len(rows), number, np.int32),
            "row": np.arange(len(rows), dtype=np.int32),
        }
        return columns, {"file": name, "rows": len(rows), "xxh3_128": digest.hexdigest()}


def shard_files(folder: Path) -> list[Path]:
    """The shards in a folder."""
    files = sorted(folder.glob("shard-*.npy"))
    return [file for file in files if re.fullmatch(r"shard-\d{5,}\.npy", file.name)]
