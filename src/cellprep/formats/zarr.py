"""zarr 3: the folder is a group that any zarr library opens, with our shards as its shards."""

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
    ClassNames,
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
from ..errors import CellprepError, nearest, require
from ..plan.rows import Rows
from ..plan.source import NO_HISTORY, BaseSource, History, Shape
from ..system.paths import file_versions, make_folder, names
from .format import UNLABELLED, Block, Contents, Format, WrittenShard, images_of
from .index import table_of
from .pieces import check_files
from .shards import ShardSource
from .stamps import Files, save
from .written import manifest_of_format, written_format

_NAMES = ("images", "masks", "labels", "ids", "copies", "groups")
_KEYS = {"name": "default", "separator": "."}  # one folder per array, not five
_AXES = ("image", "y", "x", "channel")
_ABSENT = 2**64 - 1
_CHUNK_BYTES = 1 << 19


@dataclass(frozen=True, eq=False)
class ZarrSource(ShardSource):
    """Images of a group that `write` wrote, whose shards are uncompressed and memory-mapped."""

    def _file(self, number: int, what: str) -> tuple[str, int]:
        return self._name(number, what), 0

    @staticmethod
    def _name(number: int, what: str) -> str:
        return _shard_name(number, *(("masks", 2) if what == "masks" else ("images", 3)))

    @staticmethod
    def _mapped(file: Path, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        try:
            return np.memmap(file, kind, "r", 0, shape)
        except (OSError, ValueError) as error:
            raise CellprepError(
                f"shard {str(file)!r} cannot be read: {error}; write the data set again"
            ) from error


@dataclass(frozen=True, eq=False)
class GroupSource(BaseSource):
    """Images of any zarr group, read by the zarr library."""

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
    path: Path,
    images: str = "images",
    labels: str | None = "labels",
    masks: str | None = None,
    class_names: ClassNames | None = None,
) -> ZarrSource | GroupSource:
    """The source of a group that `write(format="zarr")` wrote, or of any with such arrays.

    Without labels all images have one class, unless cellprep wrote the group.
    """
    if not path.is_dir():
        raise CellprepError(f"{str(path)!r} is not a folder")
    usual = images == "images" and labels in ("labels", None) and masks is None
    if usual and written_format(path) is not None:
        manifest = manifest_of_format(path, "zarr")
        table = table_of(path, manifest)
        check_files(path, manifest)
        return ZarrSource(path, manifest, table)
    arrays, attribute = _open_group(path)

    def array(name: str) -> Any:
        if name not in arrays:
            advice = nearest(name, arrays) if arrays else "it has none"
            raise CellprepError(
                f"{str(path)!r} has no array {name!r}; {advice}; name the two arrays with images= "
                "and labels= (--arrays)"
            )
        return arrays[name]

    def column(name: str) -> NDArray[Any] | None:
        return _values(path, arrays[name]) if name in arrays else None

    pixels = array(images)
    stand_in = _like(path, pixels)
    check_images(stand_in, images)
    n = len(stand_in)
    is_names = isinstance(attribute, list) and all(isinstance(x, str) for x in attribute)
    known = attribute if is_names else None
    if labels is None:
        values, known, class_names = np.full(n, UNLABELLED), None, None
    else:
        named = known is not None or class_names is not None
        values = read_labels(_values(path, array(labels)), n, empty=named)
    codes, names = encode_labels(values, class_names, known)
    ids, copies, groups = column("ids"), column("copies"), column("groups")
    if copies is not None and (copies.shape != (n,) or copies.dtype.kind not in "iu"):
        raise CellprepError(f"`copies` in {str(path)!r} must be ({n},) whole numbers")
    rows = Rows.of(
        check_ids(ids, n),
        codes,
        None if copies is None or ids is None else copies.astype(np.int64),
        None if groups is None else check_ids(groups, n, "groups"),
    )
    annotated = None if masks is None else array(masks)
    if annotated is not None:
        check_masks(_like(path, annotated), stand_in, masks or "")
    return GroupSource(path, pixels, rows, names, annotated)


def _open_group(path: Path) -> tuple[dict[str, Any], Any]:
    """The arrays of a group, and its attribute `class_names`."""
    zarr = require("zarr", "cellprep[zarr]")
    try:
        group = zarr.open_group(
            str(path), mode="r", storage_options=getattr(path, "storage_options", None)
        )
        with warnings.catch_warnings(action="ignore"):  # about other files beside the arrays
            arrays = dict(sorted(group.arrays()))
        attribute = group.attrs.asdict().get("class_names")
    except Exception as error:  # stores and codecs raise anything on damage
        raise CellprepError(
            f"{str(path)!r} is not a zarr group, or a damaged one: {_first_line(error)}"
        ) from error
    return arrays, attribute


def _like(path: Path, array: Any) -> NDArray[Any]:
    """An array of the same shape and type that repeats the first row, to check without reading."""
    if not array.shape:
        return _values(path, array)
    return np.broadcast_to(_values(path, array, np.arange(min(1, array.shape[0]))), array.shape)


def _values(path: Path, array: Any, at: Positions | None = None) -> NDArray[Any]:
    """An array, or some of its rows."""
    codecs = (*(getattr(array.metadata, "filters", None) or ()), *array.compressors)
    try:
        if any(getattr(codec, "codec_id", "") == "pickle" for codec in codecs):
            raise ValueError("it contains Python objects, which may run code when loaded")
        if at is None:
            return np.asarray(array[...])
        run = as_slice(at)
        return np.asarray(array.oindex[at] if run is None else array[run])
    except Exception as error:  # stores and codecs raise anything on damage
        raise CellprepError(
            f"array {array.path!r} in {str(path)!r} cannot be read: {_first_line(error)}; "
            "copy the group again"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


# -- writing ----------------------------------------------------------------------------------


def _shard_name(number: int, array: str, axes: int) -> str:
    """
    >>> _shard_name(7, "images", 3), _shard_name(7, "masks", 2)
    ('images/c.7.0.0.0', 'masks/c.7.0.0')
    """
    return f"{array}/c.{number}{'.0' * axes}"


@dataclass(frozen=True, eq=False)
class ZarrWriter:
    """Writes the group without its images first, and then their shards.

    Shards are not compressed: zstd would make photographs a quarter smaller and every read two to
    three times slower, and compressed shards could neither be mapped nor written in pieces.
    """

    contents: Contents

    def begin(self, folder: Path) -> Files:
        """Write the group, its labels, ids and copies, and the metadata of the image arrays."""
        zarr = require("zarr", "cellprep[zarr]")
        rows = self.contents.rows
        memory: dict[str, Any] = {}
        group = zarr.create_group(
            zarr.storage.MemoryStore(memory),
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
                compressors=None,  # compressed bytes depend on the version of zstd
                chunk_key_encoding=_KEYS,
                dimension_names=_AXES[:1],
            )
            array[:] = values.astype(object) if text else values
        with warnings.catch_warnings(action="ignore"):  # zarr 3 has not standardised it
            # Without it, opening lists the folder and warns about the index and the manifest.
            zarr.consolidate_metadata(group.store)
        for name in kinds.keys() | columns.keys():
            make_folder(folder / name)
        return {key: save(folder / key, [memory[key].to_bytes()]) for key in sorted(memory)}

    def write_shard(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenShard:
        n, masks = len(self.contents.shard_rows(number)), list[Masks]()
        files = self._save(folder, number, "images", n, images_of(blocks, masks))
        if masks:
            files |= self._save(folder, number, "masks", n, masks)
        columns = {"shard": np.full(n, number, np.int32), "row": np.arange(n, dtype=np.int32)}
        return WrittenShard(files, columns)

    def _inner(self, name: str) -> tuple[int, ...]:
        return self.contents.shape if name == "images" else self.contents.shape[:2]

    @property
    def _shard(self) -> int:
        """Rows of a shard as declared; of a single shard, rounded up to a multiple of 16."""
        return min(self.contents.rows_per_shard, -(-len(self.contents.rows) // 16) * 16)

    def _chunk(self, name: str) -> int:
        """Rows of a chunk: up to 16, which zarr reads as fast as one row."""
        most = _CHUNK_BYTES // math.prod(self._inner(name))
        return math.gcd(self._shard, 2 ** min(4, max(0, most.bit_length() - 1)))

    def _save(
        self, folder: Path, number: int, name: str, n: int, arrays: Iterable[NDArray[Any]]
    ) -> Files:
        """Write a shard as zarr does: chunks in order, their offsets, a checksum of the offsets."""
        crc32c = require("google_crc32c", "cellprep[zarr]")
        chunk, inner = self._chunk(name), self._inner(name)
        size, full = chunk * math.prod(inner), -(-n // chunk)

        def pieces() -> Iterator[bytes | memoryview]:
            for array in arrays:
                yield np.ascontiguousarray(array).data.cast("B")
            yield bytes(full * size - n * math.prod(inner))  # padding of the last chunk
            index = np.full((self._shard // chunk, 2), _ABSENT, "<u8")
            index[:full] = np.arange(full)[:, None] * [size, 0] + [0, size]
            yield index.tobytes()
            yield crc32c.value(index.tobytes()).to_bytes(4, "little")

        key = _shard_name(number, name, len(inner))
        return {key: save(folder / key, pieces())}


def _written_files(folder: Path) -> list[Path]:
    """All files that a writer may have left of a group."""
    arrays = [folder / name for name in _NAMES if (folder / name).is_dir()]
    found = [file for array in arrays for file in array.iterdir()]
    chunks = [file for file in found if re.fullmatch(r"c(\.\d+)+", file.name)]
    return [folder / "zarr.json", *(array / "zarr.json" for array in arrays), *chunks]


FORMAT = Format(
    read,
    options=("images", "labels", "masks", "class_names"),
    looks_like=lambda path: any((path / name).is_file() for name in ("zarr.json", ".zgroup")),
    writer=ZarrWriter,
    files=_written_files,
    needs=("zarr",),
)
