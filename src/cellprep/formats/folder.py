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
from ..plan.rows import Rows
from ..plan.source import NO_HISTORY, History, Shape
from ..system.executors import cut
from ..system.paths import (
    WORK,
    Prefetched,
    as_path,
    atomic_write,
    file_versions,
    is_remote,
    list_url,
    local_copy,
    make_folder,
    map_files,
    prefetch,
    sizes,
)
from .encoded import (
    SIZE_ADVICE,
    BadFileError,
    check_size,
    decode,
    decode_mask,
    encode,
    encode_mask,
    frequencies,
    side,
)
from .format import Block, Contents, Files, Format, WrittenPart
from .manifest import INDEX, MANIFEST, history_of, inside, is_text, load_written, written_format

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
    history: History = NO_HISTORY
    trusted: bool = False
    masks_at: Path | None = None
    mask_files: tuple[str | None, ...] | None = None
    """The mask of each file in the folder `masks_at`, None where there is none."""

    @cached_property
    def shape(self) -> Shape:
        """As asked, or that of the first file that can be decoded."""
        if self.size is not None:
            return *self.size, 3
        causes = {}
        for file in self.files:
            try:
                height, width, channels = decode(prefetch([self.path / file])[0], None).shape
            except BadFileError as error:
                causes[file] = str(error)
            else:
                return height, width, channels
        raise BadImagesError(causes, "No image is left")

    def sides(self) -> list[tuple[int, int] | None]:
        """(height, width) of every file, by its header; None where that cannot be used."""
        spans = cut(len(self.files), 256)
        return [side(data) for span in spans for data in self._found(np.arange(*span))]

    def sizes(self) -> dict[tuple[int, int], int]:
        """How many files have each (height, width), by the headers that can be used."""
        return frequencies(self.sides())

    def identity(self) -> str:
        digest = xxhash.xxh3_128()
        state = file_versions(self.path)
        for file in self.files:
            try:
                known = f"{file}\0{state(file)}\n"
            except OSError:
                known = f"{file}\0unreadable\n"
            digest.update(known.encode("utf-8", "surrogateescape"))
        if self.mask_files is None:
            return f"folder {digest.hexdigest()} {self.size}"
        assert self.masks_at is not None
        state = file_versions(self.masks_at)
        for mask in self.mask_files:
            if mask is not None:
                known = f"{PurePosixPath(mask).name}\0{state(mask)}\n"
                digest.update(known.encode("utf-8", "surrogateescape"))
        return f"folder {digest.hexdigest()} {self.size} masks"

    @property
    def has_masks(self) -> bool:
        return self.mask_files is not None

    def images(self, at: Positions) -> Images:
        out = np.empty((len(at), *self.shape), np.uint8)
        causes, places = {}, []
        held, drawn = self._found(at), self._found_masks(at)
        for place, (row, data, mask) in enumerate(zip(at.tolist(), held, drawn, strict=True)):
            try:
                image = decode(data, self.size)
                if image.shape != self.shape:
                    raise BadFileError(
                        f"is {image.shape[0]}x{image.shape[1]} pixels, the first image "
                        f"{self.shape[0]}x{self.shape[1]} ({SIZE_ADVICE})"
                    )
                out[place] = image
                self._mask(mask)  # an image whose mask cannot be used is a bad one
            except BadFileError as error:
                causes[self.files[row]] = str(error)
                places.append(row)
        if causes:
            raise BadImagesError(causes, places=places)
        return out

    def masks(self, at: Positions) -> Masks:
        out = np.zeros((len(at), *self.shape[:2]), bool)
        for place, data in enumerate(self._found_masks(at)):
            mask = self._mask(data)
            if mask is not None:
                out[place] = mask
        return out

    def _found(self, at: Positions) -> list[Prefetched]:
        return prefetch([self.path / self.files[row] for row in at.tolist()])

    def _found_masks(self, at: Positions) -> list[Prefetched | None]:
        """The mask of each row, None where there is none."""
        if self.mask_files is None or self.masks_at is None:
            return [None] * len(at)
        named = [self.mask_files[row] for row in at.tolist()]
        data = iter(prefetch([self.masks_at / name for name in named if name is not None]))
        return [None if name is None else next(data) for name in named]

    def _mask(self, data: Prefetched | None) -> Masks | None:
        if data is None:
            return None
        return decode_mask(data, self.shape[:2], resize=self.size is not None)


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
        return written if masks is None else _with_masks(written, as_path(masks))
    loose, inside = _of_url(path) if is_remote(path) else _of_folder(path)
    folders = sorted(inside)
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
        mine = sorted(f"{name}/{file}" for file in inside[name])
        if not mine:
            raise CellprepError(
                f"class folder {str(path / name)!r} holds no images; fill it or take it away"
            )
        files += mine
        labels += [label] * len(mine)
    rows = Rows.of(np.array(files), np.array(labels, np.int64))
    source = FolderSource(path, tuple(files), rows, tuple(folders), shape)
    return source if masks is None else _with_masks(source, as_path(masks))


def _of_folder(path: Path) -> tuple[list[str], dict[str, Iterable[str]]]:
    """Images that lie in no class folder, and the images in each."""
    entries = list(os.scandir(path))
    loose = sorted(e.name for e in entries if _is_image(e.name) and not e.is_dir())
    folders = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    return loose, {name: _walk(path / name) for name in folders}


def _of_url(path: Path) -> tuple[list[str], dict[str, Iterable[str]]]:
    loose: list[str] = []
    inside: dict[str, list[str]] = {}
    for name in sorted(list_url(path)):
        folder, _, file = name.partition("/")
        if any(part.startswith(".") for part in name.split("/")):
            continue
        if file:
            inside.setdefault(folder, []).extend([file] if _is_image(file) else [])
        elif _is_image(folder):
            loose.append(folder)
    return loose, dict(inside)


def _with_masks(source: FolderSource, folder: Path) -> FolderSource:
    """The source with drawn masks: PNG files of the same stems, in class folders or in one."""
    if not folder.is_dir():
        raise CellprepError(f"`masks` must be a folder of PNG files, {str(folder)!r} is none")
    stems = [PurePosixPath(file).with_suffix(".png") for file in source.files]
    shared = {name for name, n in Counter(stem.name for stem in stems).items() if n > 1}
    held = sizes(folder)
    drawn: list[str | None] = []
    for stem in stems:
        if held(str(stem)) is not None:
            drawn.append(str(stem))
        else:
            alone = stem.name not in shared and held(stem.name) is not None
            drawn.append(stem.name if alone else None)
    if not any(drawn):
        raise CellprepError(
            f"no mask in {str(folder)!r} has the stem of an image: {str(stems[0])!r} and "
            f"{stems[0].name!r} were looked for, and so on"
        )
    return replace(source, masks_at=folder, mask_files=tuple(drawn))


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
    files: list[str] = index["file"].to_pylist() if "file" in index.column_names else [""]
    for file in files:
        if not isinstance(file, str) or not inside(file):
            raise CellprepError(
                f"{str(path / INDEX)!r} names no file, or one outside its folder: {file!r}"
            )
    return FolderSource(
        path,
        tuple(files),
        rows,
        tuple(manifest["class_names"]),
        size or tuple(manifest["shape"][:2]),
        history_of(manifest, path),
        masks_at=path / MASKS if manifest.get("masks") else None,
        mask_files=tuple(files) if manifest.get("masks") else None,
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

        with atomic_write(folder / _FILES) as temporary:
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
                map_files(_save, [folder / name for name in mine], map(encode, images))
            )
            if masks is not None:
                places = [folder / MASKS / name for name in mine]
                digests.setdefault("masks_xxh3_128", []).extend(
                    map_files(_save, places, map(encode_mask, masks))
                )
        columns = {name: np.array(values) for name, values in digests.items()}
        return WrittenPart({}, {"file": names, **columns})


def _save(path: Path, encoded: bytes) -> str:
    """The digest of a PNG file that is written there."""
    make_folder(path.parent)
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded)
    return xxhash.xxh3_128_hexdigest(encoded)


def _written_files(folder: Path) -> list[Path]:
    """The files that a writer has named, or was about to, and their masks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = []
    for table in (folder / INDEX, folder / _FILES):
        if not table.is_file():
            continue
        try:
            with local_copy(table) as local:
                named = pq.read_table(local, columns=["file"])["file"].to_pylist()
        except (OSError, ValueError, KeyError, pa.ArrowException):
            continue  # its files cannot be known from it
        names = [name for name in named if isinstance(name, str) and inside(name)]
        files += [folder / name for name in names]
        files += [folder / MASKS / name for name in names]
    return files


FORMAT = Format(
    read,
    options=("size", "masks"),
    writer=FolderWriter,
    files=_written_files,
    digests={"xxh3_128": "", "masks_xxh3_128": f"{MASKS}/"},
    encoded=True,
)
