"""npz: one file with `images`, `labels` and, if cellprep wrote it, ids, copies and the record."""

from __future__ import annotations

import math
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import (
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
from ..plan.source import NO_HISTORY, ArraySource
from ..system.paths import atomic_write, local_copy, open_binary
from .format import Block, Contents, Format
from .manifest import (
    DAMAGED_NPY,
    DAMAGED_ZIP,
    INDEX,
    MANIFEST,
    check_copies,
    check_expansion,
    history_of,
    read_manifest,
    to_json,
)
from .maps import OnDisk, on_disk

_SPOOLED = 256 << 20  # bytes of a compressed array above which it is unpacked to a file


@dataclass(frozen=True, eq=False)
class NpzSource(ArraySource):
    """The images of an npz file; known by the checksums that the file itself holds."""

    checksums: str = ""
    images_name: str = "images"
    labels_name: str = "labels"
    masks_name: str | None = None
    among: tuple[str, ...] = ()
    _on_disk: OnDisk | None = None
    _masks_on_disk: OnDisk | None = None

    def images(self, at: Positions) -> Images:
        return super().images(at) if self._on_disk is None else self._on_disk.take(at)

    def masks(self, at: Positions) -> Masks:
        if self._masks_on_disk is None:
            return super().masks(at)
        return np.array(self._masks_on_disk.take(at))

    def identity(self) -> str:
        return f"npz {self.checksums}"

    def __reduce__(self) -> tuple[Any, ...]:
        return read_members, (
            self.path,
            self.images_name,
            self.labels_name,
            self.masks_name,
            self.among,
        )  # a map would be copied


def read(
    path: Path, images: str = "images", labels: str = "labels", masks: str | None = None
) -> NpzSource:
    """The source of an npz file; members that are not compressed are memory-mapped.

    Those of a URL in a copy that has no name any more. Compressed ones are unpacked: up to 256 MB
    into memory, larger ones into a file without a name in the folder for temporary files (TMPDIR),
    which is gone when the source is.
    """
    return read_members(path, images, labels, masks)


def read_members(
    path: Path, images: str, labels: str, masks: str | None, among: tuple[str, ...] = ()
) -> NpzSource:
    """The source of some members; what the labels in `among` number are classes too."""
    try:
        with local_copy(path) as local, zipfile.ZipFile(local) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            keys = [name.removesuffix(".npy") for name in infos if name.endswith(".npy")]
            for wanted in (images, labels):
                if wanted not in keys:
                    raise CellprepError(
                        f"{str(path)!r} has no array {wanted!r}; "
                        f"{nearest(wanted, keys)}; name the two arrays with images= and "
                        "labels= (--arrays)"
                    )
            pixels, pixel_file = _member(path, local, archive, infos[f"{images}.npy"])
            check_images(pixels, images)
            found, _ = _member(path, local, archive, infos[f"{labels}.npy"])
            values = read_labels(found, len(pixels), empty="class_names" in keys)
            known = ["ids", "groups", "class_names", *(["copies"] if MANIFEST in infos else [])]
            extra = {
                key: _member(path, local, archive, infos[f"{key}.npy"])[0]
                for key in known
                if key in keys
            }
            mask_file = None
            if masks is None and MANIFEST in infos and "masks" in keys:
                extra["masks"], mask_file = _member(path, local, archive, infos["masks.npy"])
            if masks is not None:
                if masks not in keys:
                    raise CellprepError(
                        f"{str(path)!r} has no array {masks!r}; {nearest(masks, keys)}"
                    )
                extra["masks"], mask_file = _member(path, local, archive, infos[f"{masks}.npy"])
            others = [_member(path, local, archive, infos[f"{key}.npy"])[0] for key in among]
            past = NO_HISTORY
            if MANIFEST in infos:
                check_expansion(infos[MANIFEST], path)
                text = archive.read(MANIFEST).decode("utf-8", "replace")
                past = history_of(read_manifest(text, path), path)
            held = [images, labels, *([masks or "masks"] if "masks" in extra else [])]
            checksums = " ".join(f"{infos[f'{key}.npy'].CRC:08x}" for key in held)
    except DAMAGED_ZIP as error:
        raise _damaged(path, error) from error
    names = None
    if "class_names" in extra:
        names = [str(name) for name in decode_text(extra["class_names"], "class_names").ravel()]
    elif others and values.dtype.kind == "i":
        numbers = [read_labels(array, len(array), empty=True) for array in others if len(array)]
        used = np.unique(np.concatenate([values, *numbers]))
        encode_labels(used, None)  # refuses numbers that no image has
        names = [str(number) for number in used]
    codes, class_names = encode_labels(values, names)
    n = len(codes)
    copies = check_copies(extra["copies"], n, path) if "copies" in extra else None
    groups = check_ids(extra["groups"], n, "groups") if "groups" in extra else None
    rows = Rows.of(check_ids(extra.get("ids"), n), codes, copies, groups)
    drawn = check_masks(extra["masks"], pixels) if "masks" in extra else None
    return NpzSource(
        *(pixels, rows, class_names, path, past, True, drawn),
        *(checksums, images, labels, masks, among),
        on_disk(pixels, pixel_file),
        None if drawn is None else on_disk(drawn, mask_file),
    )


def _member(
    path: Path, local: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> tuple[NDArray[Any], IO[bytes] | None]:
    """One array of the archive: mapped where it lies bare, unpacked where it is compressed.

    With the file that it is mapped from.
    """
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as file:
        shape, fortran, dtype = _header(path, file, name)
        start = file.tell()
        if dtype.hasobject:
            raise CellprepError(
                f"{name!r} in {str(path)!r} holds Python objects, which may run code "
                "when loaded; save it with a plain dtype (images uint8, labels int "
                "or str)"
            )
        size = dtype.itemsize * math.prod(shape)
        if info.file_size - start < size:
            raise CellprepError(f"{name!r} in {str(path)!r} is cut short; copy the file again")
        try:
            if 0 in shape:
                return np.zeros(shape, dtype), None  # nothing to map
            if not size:
                raise ValueError("its elements have no bytes")
            if info.compress_type == zipfile.ZIP_STORED:
                held: IO[bytes] | None = local.open("rb")
                flat: Any = np.memmap(local, np.uint8, "r", _begin(local, info) + start, (size,))
            else:
                check_expansion(info, path)
                flat, held = _unpacked(file, size)
            return flat.view(dtype).reshape(shape, order="F" if fortran else "C"), held
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


def _begin(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a bare member begin."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(30)  # local header: its name and extra lengths may differ from the index
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return int(info.header_offset + 30 + name_length + extra_length)


def _unpacked(file: IO[bytes], size: int) -> tuple[NDArray[np.uint8], IO[bytes] | None]:
    """The next bytes of a compressed member; if they are many, mapped in a file without a name."""
    if size > _SPOOLED:
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
    file.read(1)  # at the end of the member its checksum is compared


def write_file(
    path: Path,
    contents: Contents,
    blocks: Iterable[Block],
    finish: Callable[[], tuple[dict[str, Any], bytes]],
) -> None:
    """The whole file under a temporary name, then under its own; `finish()` gives the record."""
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
    """The file with the images under this name, other arrays, and what is kept of the rows.

    Masks wait beside the file until the images are in.
    """
    rows, shape = contents.rows, contents.shape
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
        tempfile.TemporaryFile(dir=temporary.parent) as waiting,
    ):
        with archive.open(_entry(f"{images}.npy"), "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for batch, masks in blocks:
                file.write(np.ascontiguousarray(batch).data.cast("B"))
                if masks is not None:
                    waiting.write(masks.tobytes())
        if waiting.tell():
            waiting.seek(0)
            with archive.open(_entry("masks.npy"), "w", force_zip64=True) as file:
                header = {"descr": "|b1", "fortran_order": False, "shape": (len(rows), *shape[:2])}
                np.lib.format.write_array_header_1_0(file, header)
                shutil.copyfileobj(waiting, file)
        arrays = {
            **others,
            "ids": rows.ids,
            "copies": rows.copies,
            "class_names": np.array(contents.class_names),
        }
        if rows.groups is not None:
            arrays["groups"] = rows.groups
        for name, array in arrays.items():
            with archive.open(_entry(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        manifest, index = finish()
        archive.writestr(_entry(INDEX), index)
        archive.writestr(_entry(MANIFEST), to_json(manifest))


def _entry(name: str) -> zipfile.ZipInfo:
    """A member without a date: equal bytes on every run."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def manifest_of(path: Path) -> dict[str, Any] | None:
    """The manifest of an npz file that cellprep wrote, None for any other file."""
    try:
        with open_binary(path) as file, zipfile.ZipFile(file) as archive:
            if MANIFEST not in archive.namelist():
                return None
            return read_manifest(archive.read(MANIFEST).decode("utf-8", "replace"), path)
    except (*DAMAGED_ZIP, OSError, CellprepError):
        return None


FORMAT = Format(
    read,
    options=("images", "labels", "masks"),
    looks_like=lambda path: path.suffix.lower() == ".npz" and path.is_file(),
    write_file=write_file,
    members=("images", "labels"),
)
