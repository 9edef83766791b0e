"""npz: one file with `images`, `labels` and, if cellprep wrote it, ids, copies and the record."""

from __future__ import annotations

import io
import lzma
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import (
    check_ids,
    check_images,
    check_masks,
    decoded,
    encode_labels,
    read_labels,
)
from ..errors import CellprepError, nearest
from ..place import fetched, opened
from ..rows import Rows
from ..source import NO_PAST, ArraySource
from .format import Block, Contents, Format
from .manifest import INDEX, MANIFEST, past_of, read_manifest, replacing, to_json

_DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)
_DAMAGED = (*_DAMAGE, struct.error, NotImplementedError, RuntimeError)


@dataclass(frozen=True, eq=False)
class NpzSource(ArraySource):
    """The images of an npz file; known by the checksums that the file itself holds."""

    checksums: str = ""
    images_name: str = "images"
    labels_name: str = "labels"
    masks_name: str | None = None

    def identity(self) -> str:
        return f"npz {self.checksums}"

    among: tuple[str, ...] = ()

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

    Those of a URL in a copy that has no name any more.
    """
    return read_members(path, images, labels, masks)


def read_members(
    path: Path, images: str, labels: str, masks: str | None, among: tuple[str, ...] = ()
) -> NpzSource:
    """The source of some members; what the labels in `among` number are classes too."""
    try:
        with fetched(path) as local, zipfile.ZipFile(local) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            keys = [name.removesuffix(".npy") for name in infos if name.endswith(".npy")]
            for wanted in (images, labels):
                if wanted not in keys:
                    raise CellprepError(
                        f"{str(path)!r} has no array {wanted!r}; "
                        f"{nearest(wanted, keys)}; name the two arrays with images= and "
                        "labels= (--arrays)"
                    )
            pixels = _member(path, local, archive, infos[f"{images}.npy"])
            check_images(pixels, images)
            found = _member(path, local, archive, infos[f"{labels}.npy"])
            values = read_labels(found, len(pixels), empty="class_names" in keys)
            known = ["ids", "groups", "class_names", *(["copies"] if MANIFEST in infos else [])]
            known += ["masks"] if masks is None and MANIFEST in infos else []
            extra = {
                key: _member(path, local, archive, infos[f"{key}.npy"])
                for key in known
                if key in keys
            }
            if masks is not None:
                if masks not in keys:
                    raise CellprepError(
                        f"{str(path)!r} has no array {masks!r}; {nearest(masks, keys)}"
                    )
                extra["masks"] = _member(path, local, archive, infos[f"{masks}.npy"])
            others = [_member(path, local, archive, infos[f"{key}.npy"]) for key in among]
            past = NO_PAST
            if MANIFEST in infos:
                text = archive.read(MANIFEST).decode("utf-8", "replace")
                past = past_of(read_manifest(text, path), path)
            held = [images, labels, *([masks or "masks"] if "masks" in extra else [])]
            checksums = " ".join(f"{infos[f'{key}.npy'].CRC:08x}" for key in held)
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    names = None
    if "class_names" in extra:
        names = [str(name) for name in decoded(extra["class_names"], "class_names").ravel()]
    elif others and values.dtype.kind == "i":
        numbers = [read_labels(array, len(array), empty=True) for array in others if len(array)]
        used = np.unique(np.concatenate([values, *numbers]))
        encode_labels(used, None)  # refuses numbers that no image has
        names = [str(number) for number in used]
    codes, class_names = encode_labels(values, names)
    n = len(codes)
    copies = extra["copies"].astype(np.int64) if "copies" in extra else None
    if copies is not None and copies.shape != (n,):
        raise CellprepError(f"`copies` in {str(path)!r} must be ({n},), got {copies.shape}")
    groups = check_ids(extra["groups"], n, "groups") if "groups" in extra else None
    rows = Rows.of(check_ids(extra.get("ids"), n), codes, copies, groups)
    drawn = check_masks(extra["masks"], pixels) if "masks" in extra else None
    return NpzSource(
        *(pixels, rows, class_names, path, past, True, drawn),
        *(checksums, images, labels, masks, among),
    )


def _member(
    path: Path, local: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> NDArray[Any]:
    """One array of the archive: mapped where it lies bare, loaded where it is compressed."""
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
        if info.compress_type == zipfile.ZIP_STORED:
            if info.file_size - start < dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
                raise CellprepError(f"{name!r} in {str(path)!r} is cut short; copy the file again")
            return _mapped(path, local, info, start, shape, fortran, dtype)
    try:
        return np.lib.format.read_array(io.BytesIO(archive.read(info)), allow_pickle=False)
    except ValueError as error:
        raise CellprepError(f"{name!r} in {str(path)!r} is damaged: {error}") from error


def _header(path: Path, file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        return np.lib.format.read_array_header_2_0(file)
    except ValueError as error:
        raise CellprepError(f"{name!r} in {str(path)!r} is not a NumPy array: {error}") from error


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every array in an npz file, by the headers alone."""
    shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name != info.filename:
                    with archive.open(info) as file:
                        shapes[name] = _header(path, file, name)[0]
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    return shapes


def _damaged(path: Path, error: Exception) -> CellprepError:
    return CellprepError(f"{str(path)!r} is not an npz file, or a damaged one: {error}")


def _mapped(
    path: Path,
    local: Path,
    info: zipfile.ZipInfo,
    start: int,
    shape: tuple[int, ...],
    fortran: bool,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    if 0 in shape or dtype.itemsize == 0:
        return np.zeros(shape, dtype)  # nothing to map
    with local.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(30)  # local header: its name and extra lengths may differ from the index
        name_length, extra_length = struct.unpack("<HH", header[26:30])
    offset = info.header_offset + 30 + name_length + extra_length + start
    try:
        return np.memmap(local, dtype, "r", offset, shape, "F" if fortran else "C")
    except ValueError as error:
        raise CellprepError(f"{str(path)!r} is cut short: {error}") from error


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
        replacing(path) as temporary,
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
        with opened(path) as file, zipfile.ZipFile(file) as archive:
            if MANIFEST not in archive.namelist():
                return None
            return read_manifest(archive.read(MANIFEST).decode("utf-8", "replace"), path)
    except (*_DAMAGE, CellprepError):
        return None


FORMAT = Format(
    read,
    options=("images", "labels", "masks"),
    looks_like=lambda path: path.suffix.lower() == ".npz" and path.is_file(),
    write_file=write_file,
    urls=True,
)
