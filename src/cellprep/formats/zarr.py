"""zarr 3: the folder is a zarr group, whose arrays any zarr opens; a part is one shard of them."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..arrays import (
    Images,
    Masks,
    Positions,
    as_slice,
    check_ids,
    check_images,
    check_masks,
    encode_labels,
    read_labels,
)
from ..errors import CellprepError, nearest
from ..plan.rows import Rows
from ..plan.source import NO_HISTORY, History, Shape
from ..system.paths import file_versions, make_folder, names
from .format import Block, Contents, Files, Format, WrittenPart, require
from .manifest import check_files, load_written, save, written_format
from .shards import ShardSource

_NAMES = ("images", "masks", "labels", "ids", "copies", "groups")
_KEYS = {"name": "default", "separator": "."}  # one folder an array, and not five
_AXES = ("image", "y", "x", "channel")
_ABSENT = 2**64 - 1
_CHUNK_BYTES = 1 << 19


@dataclass(frozen=True, eq=False)
class ZarrSource(ShardSource):
    """Images of a group that `write` made: a shard is its images as they are, and is mapped."""

    def _file(self, number: int, what: str) -> tuple[str, int]:
        return _part(number, *(("masks", 2) if what == "masks" else ("images", 3))), 0

    def _array(self, number: int, what: str, inner: tuple[int, ...], kind: Any) -> NDArray[Any]:
        file = self.path / self._file(number, what)[0]
        shape = (self.manifest["shards"][number]["rows"], *inner)
        try:
            return self._pages.of(np.memmap(file, kind, "r", 0, shape))
        except (OSError, ValueError) as error:
            raise CellprepError(
                f"shard {str(file)!r} cannot be read: {error}; write the data set again"
            ) from error


@dataclass(frozen=True, eq=False)
class GroupSource:
    """Images of any zarr group, read by zarr."""

    path: Path
    array: Any
    rows: Rows
    class_names: tuple[str, ...]
    mask_array: Any = None
    history: History = NO_HISTORY
    trusted: bool = True

    @property
    def shape(self) -> Shape:
        _, height, width, channels = self.array.shape
        return height, width, channels

    @property
    def has_masks(self) -> bool:
        return self.mask_array is not None

    def identity(self) -> str:
        digest = xxhash.xxh3_128()
        for array in (self.array, self.mask_array) if self.has_masks else (self.array,):
            folder = self.path / array.path
            state = file_versions(folder)
            for name in names(folder):
                known = f"{array.path}/{name}\0{state(name)}\n"
                digest.update(known.encode("utf-8", "surrogateescape"))
        return f"zarr {digest.hexdigest()}"

    def images(self, at: Positions) -> Images:
        return np.asarray(_values(self.path, self.array, at), np.uint8)

    def masks(self, at: Positions) -> Masks:
        return np.asarray(_values(self.path, self.mask_array, at) != 0)


def read(
    path: Path, images: str = "images", labels: str = "labels", masks: str | None = None
) -> ZarrSource | GroupSource:
    """The source of a group that `write(format="zarr")` made, or of any with such arrays."""
    if not path.is_dir():
        raise CellprepError(f"{str(path)!r} is not a folder")
    if (images, labels, masks) == ("images", "labels", None) and written_format(path) is not None:
        manifest, _, rows = load_written(path, "zarr")
        check_files(path, manifest)
        return ZarrSource(path, manifest, rows)
    zarr = require("zarr", "cellprep[zarr]")
    try:
        group = zarr.open_group(
            str(path), mode="r", storage_options=getattr(path, "storage_options", None)
        )
        with warnings.catch_warnings(action="ignore"):  # of other files beside the arrays
            arrays = dict(sorted(group.arrays()))
        noted = group.attrs.asdict().get("class_names")
    except Exception as error:  # whatever a store or a codec makes of damage
        raise CellprepError(
            f"{str(path)!r} is not a zarr group, or a damaged one: {_first_line(error)}"
        ) from error

    def array(name: str) -> Any:
        if name not in arrays:
            held = nearest(name, arrays) if arrays else "it holds none"
            raise CellprepError(
                f"{str(path)!r} has no array {name!r}; {held}; name the two arrays with images= "
                "and labels= (--arrays)"
            )
        return arrays[name]

    def column(name: str) -> NDArray[Any] | None:
        return _values(path, arrays[name]) if name in arrays else None

    pixels = array(images)
    looks = _looks(path, pixels)
    check_images(looks, images)
    n = len(looks)
    known = noted if isinstance(noted, list) and all(isinstance(x, str) for x in noted) else None
    values = read_labels(_values(path, array(labels)), n, empty=known is not None)
    codes, class_names = encode_labels(values, known)
    ids, copies, groups = column("ids"), column("copies"), column("groups")
    if copies is not None and (copies.shape != (n,) or copies.dtype.kind not in "iu"):
        raise CellprepError(f"`copies` in {str(path)!r} must be ({n},) whole numbers")
    rows = Rows.of(
        check_ids(ids, n),
        codes,
        None if copies is None or ids is None else copies.astype(np.int64),
        None if groups is None else check_ids(groups, n, "groups"),
    )
    drawn = None if masks is None else array(masks)
    if drawn is not None:
        check_masks(_looks(path, drawn), looks, masks or "")
    return GroupSource(path, pixels, rows, class_names, drawn)


def _looks(path: Path, array: Any) -> NDArray[Any]:
    """A stand-in of an array's shape and type, with the values of its first row."""
    if not array.shape:
        return _values(path, array)
    return np.broadcast_to(_values(path, array, np.arange(min(1, array.shape[0]))), array.shape)


def _values(path: Path, array: Any, at: Positions | None = None) -> NDArray[Any]:
    """An array, or some of its rows."""
    codecs = (*(getattr(array.metadata, "filters", None) or ()), *array.compressors)
    try:
        if any(getattr(codec, "codec_id", "") == "pickle" for codec in codecs):
            raise ValueError("it holds Python objects, which may run code when loaded")
        if at is None:
            return np.asarray(array[...])
        run = as_slice(at)
        return np.asarray(array.oindex[at] if run is None else array[run])
    except Exception as error:  # whatever a store or a codec makes of damage
        raise CellprepError(
            f"array {array.path!r} in {str(path)!r} cannot be read: {_first_line(error)}; "
            "copy the group again"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


# -- writing ----------------------------------------------------------------------------------


def _part(number: int, array: str, axes: int) -> str:
    """
    >>> _part(7, "images", 3), _part(7, "masks", 2)
    ('images/c.7.0.0.0', 'masks/c.7.0.0')
    """
    return f"{array}/c.{number}{'.0' * axes}"


@dataclass(frozen=True, eq=False)
class ZarrWriter:
    """Writes the group first, all but its images, and then a part as one shard of these.

    Inside a shard the pixels lie as they are. zstd would make photographs a quarter smaller and
    every read two to three times slower; a shard without it can be mapped, and written in pieces.
    """

    contents: Contents

    def begin(self, folder: Path) -> Files:
        """The group, its labels, ids and copies, and what the arrays of parts will be."""
        zarr = require("zarr", "cellprep[zarr]")
        rows = self.contents.rows
        held: dict[str, Any] = {}
        group = zarr.create_group(
            zarr.storage.MemoryStore(held),
            attributes={"class_names": list(self.contents.class_names)},
        )
        kinds = {"images": np.uint8, **({"masks": np.bool_} if self.contents.masks else {})}
        for name, kind in kinds.items():
            inner = self._inner(name)
            group.create_array(
                name,
                shape=(len(rows), *inner),
                dtype=kind,
                chunks=(self._chunk(name), *inner),
                shards=(self._shard, *inner),
                compressors=None,
                chunk_key_encoding=_KEYS,
                dimension_names=_AXES[: 1 + len(inner)],
            )
        columns = {"labels": rows.labels, "ids": rows.ids, "copies": rows.copies}
        if rows.groups is not None:
            columns["groups"] = rows.groups
        for name, values in columns.items():
            text = values.dtype.kind == "U"
            array = group.create_array(
                name,
                shape=values.shape,
                dtype="string" if text else values.dtype,
                chunks=(min(len(rows), 1 << 20),),
                compressors=None,  # its bytes would depend on the version of zstd
                chunk_key_encoding=_KEYS,
                dimension_names=_AXES[:1],
            )
            array[:] = values.astype(object) if text else values
        with warnings.catch_warnings(action="ignore"):  # zarr 3 leaves it to the libraries
            # Without it, opening lists the folder, and warns of the index and the manifest.
            zarr.consolidate_metadata(group.store)
        for name in kinds.keys() | columns.keys():
            make_folder(folder / name)
        return {key: save(folder / key, [held[key].to_bytes()]) for key in sorted(held)}

    def write_part(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenPart:
        """The shard of the images, and that of their masks."""
        n, masks = len(self.contents.part(number)), []

        def images() -> Iterator[Images]:
            for batch, found in blocks:
                yield batch
                if found is not None:
                    masks.append(found)

        files = self._save(folder, number, "images", n, images())
        if masks:
            files |= self._save(folder, number, "masks", n, masks)
        columns = {"shard": np.full(n, number, np.int32), "row": np.arange(n, dtype=np.int32)}
        return WrittenPart(files, columns)

    def _inner(self, name: str) -> tuple[int, ...]:
        return self.contents.shape if name == "images" else self.contents.shape[:2]

    @property
    def _shard(self) -> int:
        """Rows of a shard: those of a part, or a few more than there are."""
        return min(self.contents.rows_per_part, -(-len(self.contents.rows) // 16) * 16)

    def _chunk(self, name: str) -> int:
        """Rows of a chunk: up to 16, which zarr reads as quickly as one, and ten times as many."""
        most = _CHUNK_BYTES // math.prod(self._inner(name))
        return math.gcd(self._shard, 2 ** min(4, max(0, most.bit_length() - 1)))

    def _save(
        self, folder: Path, number: int, name: str, n: int, arrays: Iterable[NDArray[Any]]
    ) -> Files:
        """A shard as zarr writes it: chunks in order, where they lie, a checksum of that."""
        crc32c = require("google_crc32c", "cellprep[zarr]")
        chunk, inner = self._chunk(name), self._inner(name)
        size, full = chunk * math.prod(inner), -(-n // chunk)

        def pieces() -> Iterator[bytes | memoryview]:
            for array in arrays:
                yield np.ascontiguousarray(array).data.cast("B")
            yield bytes(full * size - n * math.prod(inner))  # the last chunk is filled up
            index = np.full((self._shard // chunk, 2), _ABSENT, "<u8")
            index[:full] = np.arange(full)[:, None] * [size, 0] + [0, size]
            yield index.tobytes()
            yield crc32c.value(index.tobytes()).to_bytes(4, "little")

        key = _part(number, name, len(inner))
        return {key: save(folder / key, pieces())}


def _written_files(folder: Path) -> list[Path]:
    """What a writer left of a group."""
    parts = [folder / name for name in _NAMES if (folder / name).is_dir()]
    found = [file for part in parts for file in part.iterdir()]
    ours = [file for file in found if re.fullmatch(r"c(\.\d+)+", file.name)]
    return [folder / "zarr.json", *(part / "zarr.json" for part in parts), *ours]


FORMAT = Format(
    read,
    options=("images", "labels", "masks"),
    looks_like=lambda path: any((path / name).is_file() for name in ("zarr.json", ".zgroup")),
    writer=ZarrWriter,
    files=_written_files,
    needs=("zarr",),
)
