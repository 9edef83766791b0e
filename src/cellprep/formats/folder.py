"""Image folders: one folder a class, one file an image."""

from __future__ import annotations

import itertools
import os
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..errors import BadImagesError, CellprepError
from ..rows import Rows
from ..source import NO_PAST, Past, Shape
from .format import Block, Contents, Files, Format, WrittenPart
from .images import (
    SIZE_ADVICE,
    BadFileError,
    check_size,
    decode,
    decode_mask,
    encode,
    encode_mask,
    is_text,
    sizes,
)
from .manifest import INDEX, MANIFEST, WORK, load_written, past_of, replacing, written_format

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff"),
    *(".gif", ".webp", ".heic", ".avif", ".jp2"),  # not read, but named as such
)
MASKS = "masks"
_FILES = f"{WORK}/files.parquet"
"""Of an unfinished data set: the files that it will have."""


@dataclass(frozen=True, eq=False)
class FolderSource:
    """Image files, decoded when they are asked for."""

    path: Path
    files: tuple[str, ...]
    rows: Rows
    class_names: tuple[str, ...]
    size: tuple[int, int] | None
    past: Past = NO_PAST
    trusted: bool = False
    mask_files: tuple[Path | None, ...] | None = None
    """The mask of each file, None where there is none."""

    @cached_property
    def shape(self) -> Shape:
        """As asked, or that of the first file that can be decoded."""
        if self.size is not None:
            return *self.size, 3
        causes = {}
        for file in self.files:
            try:
                height, width, channels = decode(self.path / file, None).shape
            except BadFileError as error:
                causes[file] = str(error)
            else:
                return height, width, channels
        raise BadImagesError(causes, "No image is left")

    def sizes(self) -> dict[tuple[int, int], int]:
        """How many files have each (height, width), by the headers that can be used."""
        return sizes(self.path / file for file in self.files)

    def identity(self) -> str:
        digest = xxhash.xxh3_128()
        for file in self.files:
            try:
                status = (self.path / file).stat()
                known = f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n"
            except OSError:
                known = f"{file}\0unreadable\n"
            digest.update(known.encode("utf-8", "surrogateescape"))
        if self.mask_files is None:
            return f"folder {digest.hexdigest()} {self.size}"
        for mask in self.mask_files:
            if mask is not None:
                status = mask.stat()
                known = f"{mask.name}\0{status.st_size}\0{status.st_mtime_ns}\n"
                digest.update(known.encode("utf-8", "surrogateescape"))
        return f"folder {digest.hexdigest()} {self.size} masks"

    @property
    def drawn(self) -> bool:
        return self.mask_files is not None

    def images(self, at: Positions) -> Images:
        out = np.empty((len(at), *self.shape), np.uint8)
        causes, places = {}, []
        for place, row in enumerate(at.tolist()):
            try:
                image = decode(self.path / self.files[row], self.size)
                if image.shape != self.shape:
                    raise BadFileError(
                        f"is {image.shape[0]}x{image.shape[1]} pixels, the first image "
                        f"{self.shape[0]}x{self.shape[1]} ({SIZE_ADVICE})"
                    )
                out[place] = image
                self._mask(row)  # an image whose mask cannot be used is a bad one
            except BadFileError as error:
                causes[self.files[row]] = str(error)
                places.append(row)
        if causes:
            raise BadImagesError(causes, places=places)
        return out

    def masks(self, at: Positions) -> Masks:
        out = np.zeros((len(at), *self.shape[:2]), bool)
        for place, row in enumerate(at.tolist()):
            mask = self._mask(row)
            if mask is not None:
                out[place] = mask
        return out

    def _mask(self, row: int) -> Masks | None:
        file = None if self.mask_files is None else self.mask_files[row]
        if file is None:
            return None
        return decode_mask(file, self.shape[:2], resize=self.size is not None)


def read(
    path: Path,
    size: int | tuple[int, int] | None = None,
    masks: str | Path | None = None,
) -> FolderSource:
    """The source of a folder with class folders, or of one that `write(format="folder")` made."""
    if not path.is_dir():
        raise CellprepError(f"{str(path)!r} is not a folder")
    shape = check_size(size)
    if written_format(path) is not None:
        written = _read_written(path, shape)
        return written if masks is None else _with_masks(written, Path(masks))
    folders = sorted(e.name for e in os.scandir(path) if e.is_dir() and not e.name.startswith("."))
    loose = sorted(e.name for e in os.scandir(path) if _is_image(e.name) and not e.is_dir())
    if loose:
        raise CellprepError(
            f"{len(loose)} images lie outside the class folders of {str(path)!r} "
            f"({loose[0]}, ...); move each into the folder of its class"
        )
    if not folders:
        raise CellprepError(f"{str(path)!r} holds no images; it needs one folder of images a class")
    unnamed = [name for name in folders if not is_text(name)]
    if unnamed:
        raise CellprepError(
            f"class folder {unnamed[0]!r} in {str(path)!r} has a name that is not UTF-8 text; "
            "rename it"
        )
    files, labels = [], []
    for label, name in enumerate(folders):
        mine = sorted(f"{name}/{file}" for file in _walk(path / name))
        if not mine:
            raise CellprepError(
                f"class folder {str(path / name)!r} holds no images; fill it or take it away"
            )
        files += mine
        labels += [label] * len(mine)
    rows = Rows.of(np.array(files), np.array(labels, np.int64))
    source = FolderSource(path, tuple(files), rows, tuple(folders), shape)
    return source if masks is None else _with_masks(source, Path(masks))


def _with_masks(source: FolderSource, folder: Path) -> FolderSource:
    """The source with drawn masks: PNG files of the same stems, in class folders or in one."""
    if not folder.is_dir():
        raise CellprepError(f"`masks` must be a folder of PNG files, {str(folder)!r} is none")
    stems = [PurePosixPath(file).with_suffix(".png") for file in source.files]
    shared = {name for name, n in Counter(stem.name for stem in stems).items() if n > 1}
    found: list[Path | None] = []
    for stem in stems:
        apart, together = folder / stem, folder / stem.name
        if apart.is_file():
            found.append(apart)
        else:
            found.append(together if stem.name not in shared and together.is_file() else None)
    if not any(found):
        raise CellprepError(
            f"no mask in {str(folder)!r} has the stem of an image: {str(stems[0])!r} and "
            f"{stems[0].name!r} were looked for, and so on"
        )
    return replace(source, mask_files=tuple(found))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _walk(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[str]:
    here = os.path.realpath(folder)
    if here in above:
        return  # a link that leads back up
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue  # such as .ipynb_checkpoints, full of copies
        if os.path.isdir(entry.path):
            inside = _walk(folder / entry.name, above | {here})
            yield from (f"{entry.name}/{file}" for file in inside)
        elif _is_image(entry.name):
            yield entry.name


def _read_written(path: Path, size: tuple[int, int] | None) -> FolderSource:
    manifest, index, rows = load_written(path, "folder")
    files = index["file"].to_pylist()
    for file in files:
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise CellprepError(f"{str(path / INDEX)!r} names a file outside its folder: {file!r}")
    return FolderSource(
        path,
        tuple(files),
        rows,
        tuple(manifest["class_names"]),
        size or tuple(manifest["shape"][:2]),
        past_of(manifest, path),
        mask_files=tuple(path / MASKS / file for file in files) if manifest.get("masks") else None,
    )


# -- writing ----------------------------------------------------------------------------------


def file_names(rows: Rows, class_names: tuple[str, ...]) -> NDArray[Any]:
    """(n,) str: a readable and safe name for each row, such as `baso/cell7_aug_002.png`.

    >>> rows = Rows.of(np.array(["a/x.jpg", "a/x.jpg"]), np.zeros(2, int), np.array([0, 2]))
    >>> file_names(rows, ("a",)).tolist()
    ['a/x.png', 'a/x_aug_002.png']
    """
    # A class may be called like one of the files that lie beside the class folders.
    taken = (INDEX, MANIFEST, MASKS, "quarantine")
    folders = [_safe(name) + "_" * (name.lower() in taken) for name in class_names]
    plain = rows.ids.dtype.kind == "i"
    names = []
    for image, copy, label in zip(
        rows.ids.tolist(), rows.copies.tolist(), rows.labels.tolist(), strict=True
    ):
        stem = f"{image:07d}" if plain else image.removeprefix(f"{class_names[label]}/")
        if stem.lower().endswith(SUFFIXES):
            stem = stem.rpartition(".")[0]
        names.append(
            f"{folders[label]}/{_safe(stem)}" + (f"_aug_{copy:03d}.png" if copy else ".png")
        )
    array = np.array(names)
    folded = np.char.lower(array)  # some file systems know no case
    _, which, counts = np.unique(folded, return_inverse=True, return_counts=True)
    for place in np.flatnonzero(counts[which] > 1):
        mark = f"{rows.id_keys[place]:016x}"
        names[place] = f"{names[place].removesuffix('.png')}-{mark}.png"
    return np.array(names)


def _safe(name: str) -> str:
    """A file name that stays in its folder on any system, and is still readable."""
    kept = re.sub(r"[/\\]+", "__", name)
    kept = urllib.parse.quote(kept, safe=" ()+,=@[]{}", encoding="utf-8", errors="surrogateescape")
    kept = kept.lstrip(".") or "_"
    return kept if len(kept) <= 150 else f"{kept[:120]}-{xxhash.xxh3_64_hexdigest(kept.encode())}"


@dataclass(frozen=True, eq=False)
class FolderWriter:
    """Writes rows as PNG files, under names that are settled for all of them beforehand."""

    contents: Contents

    @cached_property
    def _names(self) -> NDArray[Any]:
        return file_names(self.contents.rows, self.contents.class_names)

    def begin(self, folder: Path) -> Files:
        """The list of the files that there will be."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with replacing(folder / _FILES) as temporary:
            pq.write_table(pa.table({"file": self._names}), temporary)
        return {}

    def write_part(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenPart:
        """One PNG file a row; its mask, 0 and 255, has the same name in `masks/`."""
        start = number * self.contents.rows_per_part
        names = self._names[start : start + self.contents.rows_per_part]
        digests: dict[str, list[str]] = {}
        left = iter(names.tolist())
        for images, masks in blocks:
            mine = list(itertools.islice(left, len(images)))
            digests.setdefault("xxh3_128", []).extend(
                map(_save, map(folder.joinpath, mine), map(encode, images))
            )
            if masks is not None:
                places = map((folder / MASKS).joinpath, mine)
                digests.setdefault("masks_xxh3_128", []).extend(
                    map(_save, places, map(encode_mask, masks))
                )
        columns = {name: np.array(values) for name, values in digests.items()}
        return WrittenPart({}, {"file": names, **columns})


def _save(path: Path, encoded: bytes) -> str:
    """The digest of a PNG file that is written there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)
    return xxhash.xxh3_128_hexdigest(encoded)


def _written_files(folder: Path) -> list[Path]:
    """The files that a writer has named, or was about to, and their masks."""
    import pyarrow.parquet as pq

    found = []
    for table in (folder / INDEX, folder / _FILES):
        if table.is_file() and "file" in pq.read_schema(table).names:
            named = pq.read_table(table, columns=["file"])["file"].to_pylist()
            inside = [n for n in named if not (Path(n).is_absolute() or ".." in Path(n).parts)]
            found += [folder / name for name in inside]
            found += [folder / MASKS / name for name in inside]
    return found


FORMAT = Format(read, options=("size", "masks"), writer=FolderWriter, files=_written_files)
