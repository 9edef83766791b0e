"""npz: one file with `images`, `labels` and, if cellprep wrote it, ids, copies and the index."""

from __future__ import annotations

import math
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import (
    ClassNames,
    Images,
    Masks,
    Positions,
    check_ids,
    check_images,
    check_masks,
    decode_text,
    encode_labels,
    read_labels,
)
from ..errors import CellprepError, nearest
from ..plan.rows import Rows
from ..plan.source import NO_HISTORY, ArraySource, History, Opened, Unread
from ..system.paths import atomic_write, local_copy, open_binary
from .format import UNLABELLED, Block, Contents, Format
from .index import check_copies, check_decided
from .manifest import INDEX, MANIFEST, manifest_bytes, read_manifest
from .maps import FileArray, file_array
from .opened import changed, history_of
from .untrusted import DAMAGED_NPY, DAMAGED_ZIP, check_expansion

_COLUMNS = ("class_names", "ids", "groups")
_MOST_IN_MEMORY = 256 << 20  # bytes; larger compressed arrays are unpacked to a file


@dataclass(frozen=True, eq=False)
class NpzSource(ArraySource):
    """The images of an npz file, identified by the checksums in the file."""

    checksums: str = ""
    images_name: str = "images"
    labels_name: str | None = "labels"
    masks_name: str | None = None
    other_labels: tuple[str, ...] = ()
    given_names: ClassNames | None = None
    _images_file: FileArray | None = None
    _masks_file: FileArray | None = None

    def images(self, at: Positions) -> Images:
        return super().images(at) if self._images_file is None else self._images_file.take(at)

    def masks(self, at: Positions) -> Masks:
        if self._masks_file is None:
            return super().masks(at)
        return np.array(self._masks_file.take(at))

    def identity(self) -> str:
        return f"npz {self.checksums}"

    def __reduce__(self) -> tuple[Any, ...]:
        names = (self.images_name, self.labels_name, self.masks_name, self.other_labels)
        opened = (self.given_names, self.history.opened, self.checksums)
        return _reopen, (self.path, *names, *opened)  # a map would be copied


def _reopen(
    path: Path,
    images: str,
    labels: str | None,
    masks: str | None,
    other_labels: tuple[str, ...],
    given_names: ClassNames | None,
    opened: Opened | None,
    checksums: str,
) -> NpzSource:
    """The source that was opened in another process."""
    source = read_members(path, images, labels, masks, other_labels, given_names)
    if opened is not None:
        opened.check()
    if source.checksums != checksums:
        raise changed(path)
    return source


def read(
    path: Path,
    images: str = "images",
    labels: str | None = "labels",
    masks: str | None = None,
    class_names: ClassNames | None = None,
) -> NpzSource:
    """The source of an npz file; uncompressed members are memory-mapped.

    Without labels all images have one class, unless cellprep wrote the file.

    Compressed members are unpacked: up to 256 MB into memory, larger ones into an unnamed file in
    the folder for temporary files (TMPDIR), which disappears with the source. The file of a URL is
    downloaded to such a file first.
    """
    return read_members(path, images, labels, masks, (), class_names)


def read_members(
    path: Path,
    images: str,
    labels: str | None,
    masks: str | None,
    other_labels: tuple[str, ...] = (),
    given_names: ClassNames | None = None,
) -> NpzSource:
    """The source of some members; classes that occur only in `other_labels` are known too."""
    try:
        with local_copy(path) as local, zipfile.ZipFile(local) as archive:
            members = _Members(path, local, archive)
            mask_name = masks
            if masks is None and members.from_cellprep and "masks" in members.names:
                mask_name = "masks"
            pixels, pixel_file = members.load(images)
            check_images(pixels, images)
            if labels is None and members.from_cellprep:
                labels = "labels"
            n = len(pixels)
            named = given_names is not None or "class_names" in members.names
            values = (
                np.full(n, UNLABELLED)
                if labels is None
                else read_labels(members.load(labels)[0], n, empty=named)
            )
            mask_array, mask_file = (None, None) if mask_name is None else members.load(mask_name)
            names = None
            if labels is not None and (given_names is None or "class_names" in members.names):
                names = _class_names(members, values, other_labels)
            known = None if labels is None else given_names
            codes, class_names = encode_labels(values, known, names)
            rows = _rows(members, codes)
            used = [name for name in (images, labels, mask_name) if name is not None]
            history, checksums = members.history(), members.checksums(used)
            left = members.left({*used, *other_labels})
    except DAMAGED_ZIP as error:
        raise _damaged(path, error) from error
    annotated = None if mask_array is None else check_masks(mask_array, pixels)
    return NpzSource(
        *(pixels, rows, class_names, path, history, True, annotated),
        *(checksums, images, labels, masks, other_labels, given_names),
        file_array(pixels, pixel_file),
        None if annotated is None else file_array(annotated, mask_file),
        unread=left,
    )


def _class_names(
    members: _Members, labels: NDArray[Any], other_labels: tuple[str, ...]
) -> list[str] | None:
    """The names of the classes, as far as they are not those of the labels."""
    names = members.optional("class_names")
    if names is not None:
        return [str(name) for name in decode_text(names, "class_names").ravel()]
    others = [members.load(name)[0] for name in other_labels]
    if not others or labels.dtype.kind != "i":
        return None
    numbers = [read_labels(array, len(array), empty=True) for array in others if len(array)]
    found = np.unique(np.concatenate([labels, *numbers]))
    encode_labels(found, None)  # refuses gaps in the numbers
    return [str(number) for number in found]


def _rows(members: _Members, labels: NDArray[np.int64]) -> Rows:
    """The rows of these labels; ids, groups and copy numbers where the file has them."""
    n = len(labels)
    ids, groups = members.optional("ids"), members.optional("groups")
    copies, parts, decided = (
        members.optional(name) if members.from_cellprep else None
        for name in ("copies", "parts", "decided")
    )
    return Rows.of(
        check_ids(ids, n),
        labels,
        None if copies is None else check_copies(copies, n, members.path),
        None if groups is None else check_ids(groups, n, "groups"),
        None if parts is None else check_ids(parts, n, "parts"),
        check_decided(decided, n, members.path),
    )


@dataclass(frozen=True)
class _Members:
    """The arrays of an open npz file."""

    path: Path
    local: Path
    archive: zipfile.ZipFile

    @cached_property
    def _infos(self) -> dict[str, zipfile.ZipInfo]:
        return {info.filename: info for info in self.archive.infolist()}

    @cached_property
    def names(self) -> list[str]:
        return [name.removesuffix(".npy") for name in self._infos if name.endswith(".npy")]

    @property
    def from_cellprep(self) -> bool:
        return MANIFEST in self._infos

    def load(self, name: str) -> tuple[NDArray[Any], IO[bytes] | None]:
        """An array, and the file that it is mapped from."""
        if name not in self.names:
            raise CellprepError(
                f"{str(self.path)!r} has no array {name!r}; {nearest(name, self.names)}; name the "
                "arrays with images= and labels= (--arrays), and masks="
            )
        return _member(self.path, self.local, self.archive, self._infos[f"{name}.npy"])

    def optional(self, name: str) -> NDArray[Any] | None:
        return self.load(name)[0] if name in self.names else None

    def history(self) -> History:
        if not self.from_cellprep:
            return NO_HISTORY
        check_expansion(self._infos[MANIFEST], self.path)
        manifest = read_manifest(self.archive.read(MANIFEST), self.path)
        return history_of(manifest, self.path, is_file=True)

    def left(self, used: set[str]) -> Unread:
        """The arrays, and other members, that are not read."""
        known = {f"{name}.npy" for name in (*used, *_COLUMNS)} | {MANIFEST, INDEX}
        if self.from_cellprep:
            return ()
        left = sorted({*self._infos} - known)
        return tuple((name, "is not one of the arrays read") for name in left)

    def checksums(self, names: list[str]) -> str:
        return " ".join(f"{self._infos[f'{name}.npy'].CRC:08x}" for name in names)


def _member(
    path: Path, local: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> tuple[NDArray[Any], IO[bytes] | None]:
    """One array of the archive, memory-mapped or unpacked, and the file that it is mapped from."""
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as file:
        shape, fortran, dtype = _header(path, file, name)
        start = file.tell()
        if dtype.hasobject:
            raise CellprepError(
                f"{name!r} in {str(path)!r} contains Python objects, which may run code "
                "when loaded; save it with a plain dtype (images uint8, labels int "
                "or str)"
            )
        size = dtype.itemsize * math.prod(shape)
        if info.file_size - start < size:
            raise CellprepError(f"{name!r} in {str(path)!r} is truncated; copy the file again")
        try:
            if 0 in shape:
                return np.zeros(shape, dtype), None  # nothing to map
            if not size:
                raise ValueError("its elements have no bytes")
            if info.compress_type == zipfile.ZIP_STORED:
                mapped: IO[bytes] | None = local.open("rb")
                flat: Any = np.memmap(local, np.uint8, "r", _offset(local, info) + start, (size,))
            else:
                check_expansion(info, path)
                flat, mapped = _unpacked(file, size)
            return flat.view(dtype).reshape(shape, order="F" if fortran else "C"), mapped
        except (ValueError, TypeError, MemoryError) as error:
            raise CellprepError(f"{name!r} in {str(path)!r} is damaged: {error}") from error


def _header(path: Path, file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(file)
        if min(shape, default=0) < 0:
            raise ValueError(f"its shape is {shape}")
    except DAMAGED_NPY as error:
        raise CellprepError(f"{name!r} in {str(path)!r} is not a NumPy array: {error}") from error
    return shape, fortran, dtype


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every array in an npz file, by the headers alone."""
    shapes = {}
    try:
        with open_binary(path) as stream, zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name != info.filename:
                    with archive.open(info) as file:
                        shapes[name] = _header(path, file, name)[0]
    except DAMAGED_ZIP as error:
        raise _damaged(path, error) from error
    return shapes


def _damaged(path: Path, error: Exception) -> CellprepError:
    return CellprepError(f"{str(path)!r} is not an npz file, or a damaged one: {error}")


def _offset(path: Path, info: zipfile.ZipInfo) -> int:
    """The offset in the archive of the bytes of an uncompressed member."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(30)  # local header: its name and extra lengths may differ from the index
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return int(info.header_offset + 30 + name_length + extra_length)


def _unpacked(file: IO[bytes], size: int) -> tuple[NDArray[np.uint8], IO[bytes] | None]:
    """The next bytes of a compressed member; many are mapped from an unnamed file."""
    if size > _MOST_IN_MEMORY:
        spool = tempfile.TemporaryFile()  # noqa: SIM115, it is closed with the source
        for piece in _pieces(file, size):
            spool.write(piece)
        spool.flush()
        return np.memmap(spool, np.uint8, "r", shape=(size,)), spool
    array, filled = np.empty(size, np.uint8), 0
    for piece in _pieces(file, size):
        array[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return array, None


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = file.read(min(size, 1 << 20))
        if not piece:
            raise ValueError("it ends too early")
        size -= len(piece)
        yield piece
    file.read(1)  # zipfile compares the checksum at the end of the member


def write_file(
    path: Path,
    contents: Contents,
    blocks: Iterable[Block],
    finish: Callable[[], tuple[dict[str, Any], bytes]],
) -> None:
    """Write the file; `finish()` returns manifest and index."""
    labels = {"labels": contents.rows.labels}
    write_members(path, contents, blocks, finish, "images", labels)


def write_members(
    path: Path,
    contents: Contents,
    blocks: Iterable[Block],
    finish: Callable[[], tuple[dict[str, Any], bytes]],
    images: str,
    others: Mapping[str, NDArray[Any]],
) -> None:
    """Write the file with the images under this name, other arrays, and the columns of the rows.

    Masks are kept in an unnamed file until all images are written.
    """
    rows, shape = contents.rows, contents.shape
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
        tempfile.TemporaryFile(dir=temporary.parent) as mask_bytes,
    ):
        with archive.open(_entry(f"{images}.npy"), "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for batch, masks in blocks:
                file.write(np.ascontiguousarray(batch).data.cast("B"))
                if masks is not None:
                    mask_bytes.write(masks.tobytes())
        if mask_bytes.tell():
            mask_bytes.seek(0)
            with archive.open(_entry("masks.npy"), "w", force_zip64=True) as file:
                header = {"descr": "|b1", "fortran_order": False, "shape": (len(rows), *shape[:2])}
                np.lib.format.write_array_header_1_0(file, header)
                shutil.copyfileobj(mask_bytes, file)
        arrays = {
            **others,
            "ids": rows.ids,
            "copies": rows.copies,
            "class_names": np.array(contents.class_names),
        }
        for name in ("groups", "parts", "decided"):
            if (column := getattr(rows, name)) is not None:
                arrays[name] = column
        for name, array in arrays.items():
            with archive.open(_entry(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        manifest, index = finish()
        archive.writestr(_entry(INDEX), index)
        archive.writestr(_entry(MANIFEST), manifest_bytes(manifest))


def _entry(name: str) -> zipfile.ZipInfo:
    """A member without a date, so that every run writes equal bytes."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


FORMAT = Format(
    read,
    options=("images", "labels", "masks", "class_names"),
    looks_like=lambda path: path.suffix.lower() == ".npz" and path.is_file(),
    write_file=write_file,
    members=("images", "labels"),
)
