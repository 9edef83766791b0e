"""Image folders: one folder per class, one file per image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import xxhash

from ..arrays import Images, Masks, Positions
from ..errors import BadImagesError, CellprepError, counted, one_of
from ..plan.rows import Rows
from ..plan.source import NO_HISTORY, BaseSource, History, Shape, Size
from ..system.executors import cut
from ..system.paths import Prefetched, as_path, file_versions, is_remote, list_url, prefetch, sizes
from .codec import BadFileError, check_size, decode_mask, decode_to_shape, size_by_header
from .encoded import usual_shape
from .folder_writer import MASKS, SUFFIXES, FolderWriter, written_files
from .format import UNLABELLED, Format
from .index import load_rows
from .manifest import INDEX, history_of
from .untrusted import inside, is_text
from .written import manifest_of_format, written_format


@dataclass(frozen=True, eq=False)
class FolderSource(BaseSource):
    """Image files, decoded when they are read."""

    path: Path
    files: tuple[str, ...]
    rows: Rows
    class_names: tuple[str, ...]
    size: Size | None
    history: History = NO_HISTORY
    trusted: bool = False
    masks_at: Path | None = None
    mask_files: tuple[str | None, ...] | None = None
    """The mask of each image, below the folder `masks_at`; None where there is none."""

    @cached_property
    def shape(self) -> Shape:
        """As requested, or that of most files."""
        return usual_shape(len(self.files), self._named) if self.size is None else (*self.size, 3)

    def _named(self, at: Positions) -> Iterator[tuple[str, Prefetched]]:
        return zip((self.files[row] for row in at.tolist()), self._found(at), strict=True)

    def row_name(self, row: int) -> str:
        return self.files[row]

    def image_sizes(self) -> list[Size | None]:
        spans = cut(len(self.files), 256)
        return [size_by_header(data) for span in spans for data in self._found(np.arange(*span))]

    def resizes(self) -> bool:
        return self.size is not None

    def holds_files(self) -> bool:
        return True

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
        bad: dict[int, str] = {}
        files, masks = self._found(at), self._found_masks(at)
        for position, (row, file, mask) in enumerate(zip(at.tolist(), files, masks, strict=True)):
            try:
                out[position] = decode_to_shape(file, self.size, self.shape)
                self._mask(mask)  # an image whose mask cannot be used is a bad one
            except BadFileError as error:
                bad[row] = str(error)
        if bad:
            causes = {self.files[row]: cause for row, cause in bad.items()}
            raise BadImagesError(causes, places=[*bad])
        return out

    def masks(self, at: Positions) -> Masks:
        out = np.zeros((len(at), *self.shape[:2]), bool)
        for position, data in enumerate(self._found_masks(at)):
            mask = self._mask(data)
            if mask is not None:
                out[position] = mask
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
    size: int | Size | None = None,
    masks: str | Path | None = None,
    labels: str | None = "folders",
) -> FolderSource:
    """The source of a folder with class folders, or of one that `write(format="folder")` wrote.

    Without labels, the path is any folder of images, or one image.
    """
    shape = check_size(size)
    if path.is_dir() and written_format(path) is not None:
        source = _read_written(path, shape)
    elif labels is None:
        source = _read_unlabelled(path, shape)
    else:
        one_of("labels", labels, ["folders"])
        source = _read_labelled(path, shape)
    return source if masks is None else _with_masks(source, as_path(masks))


def _read_labelled(path: Path, size: Size | None) -> FolderSource:
    """One folder of images per class."""
    if not path.is_dir():
        raise CellprepError(
            f"{str(path)!r} is not a folder; one image can be read without a label: labels=None"
        )
    loose, by_class = _list_url(path) if is_remote(path) else _list_folder(path)
    folders = sorted(by_class)
    if loose:
        raise CellprepError(
            f"{str(path)!r} has {counted(len(loose), 'image')} outside its class folders "
            f"({loose[0]}, ...); move each into the folder of its class, or read images without "
            "labels: labels=None"
        )
    if not folders:
        raise CellprepError(
            f"{str(path)!r} contains no images; it needs one folder of images per class"
        )
    unnamed = [name for name in folders if not is_text(name)]
    if unnamed:
        raise CellprepError(
            f"class folder {unnamed[0]!r} in {str(path)!r} has a name that is not UTF-8 text; "
            "rename it"
        )
    files, labels = [], []
    for label, name in enumerate(folders):
        in_class = sorted(f"{name}/{file}" for file in by_class[name])
        if not in_class:
            raise CellprepError(
                f"class folder {str(path / name)!r} contains no images; add some, or delete it"
            )
        files += in_class
        labels += [label] * len(in_class)
    rows = Rows.of(np.array(files), np.array(labels, np.int64))
    return FolderSource(path, tuple(files), rows, tuple(folders), size)


def _read_unlabelled(path: Path, size: Size | None) -> FolderSource:
    """All images of a folder and the folders in it, or one image."""
    if path.is_dir():
        loose, by_class = _list_url(path) if is_remote(path) else _list_folder(path)
        below = (f"{name}/{file}" for name, files in by_class.items() for file in files)
        files = sorted([*loose, *below])
    else:
        path, files = path.parent, [path.name]
    if not files:
        raise CellprepError(f"{str(path)!r} contains no images")
    rows = Rows.of(np.array(files), np.zeros(len(files), np.int64))
    return FolderSource(path, tuple(files), rows, (UNLABELLED,), size)


def _list_folder(path: Path) -> tuple[list[str], dict[str, Iterable[str]]]:
    """Images outside the class folders, and the images in each of these."""
    entries = list(os.scandir(path))
    loose = sorted(e.name for e in entries if _is_image(e.name) and not e.is_dir())
    folders = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    return loose, {name: _walk(path / name) for name in folders}


def _list_url(path: Path) -> tuple[list[str], dict[str, Iterable[str]]]:
    """The same, from one listing of a URL."""
    loose: list[str] = []
    by_class: dict[str, list[str]] = {}
    for name in sorted(list_url(path)):
        folder, _, file = name.partition("/")
        if any(part.startswith(".") for part in name.split("/")):
            continue
        if file:
            by_class.setdefault(folder, []).extend([file] if _is_image(file) else [])
        elif _is_image(folder):
            loose.append(folder)
    return loose, dict(by_class)


def _with_masks(source: FolderSource, folder: Path) -> FolderSource:
    """The source with annotated masks: PNG files of the same stems, in class folders or in one."""
    if not folder.is_dir():
        raise CellprepError(f"`masks` must be a folder of PNG files, got {str(folder)!r}")
    stems = [PurePosixPath(file).with_suffix(".png") for file in source.files]
    shared = {name for name, n in Counter(stem.name for stem in stems).items() if n > 1}
    size_of = sizes(folder)
    masks: list[str | None] = []
    for stem in stems:
        if size_of(str(stem)) is not None:
            masks.append(str(stem))
        else:
            alone = stem.name not in shared and size_of(stem.name) is not None
            masks.append(stem.name if alone else None)
    if not any(masks):
        raise CellprepError(
            f"no mask in {str(folder)!r} has the stem of an image; expected files such as "
            f"{str(stems[0])!r} or {stems[0].name!r}"
        )
    return replace(source, masks_at=folder, mask_files=tuple(masks))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _walk(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[str]:
    here = os.path.realpath(folder)
    if here in above:
        return  # a link to a parent folder
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue  # such as .ipynb_checkpoints, full of copies
        if os.path.isdir(entry.path):
            below = _walk(folder / entry.name, above | {here})
            yield from (f"{entry.name}/{file}" for file in below)
        elif _is_image(entry.name):
            yield entry.name


def _read_written(path: Path, size: Size | None) -> FolderSource:
    manifest = manifest_of_format(path, "folder")
    index, rows = load_rows(path, manifest)
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


FORMAT = Format(
    read,
    options=("size", "masks", "labels"),
    looks_like=lambda path: path.is_file() and _is_image(path.name),
    writer=FolderWriter,
    files=written_files,
    digests={"xxh3_128": "", "masks_xxh3_128": f"{MASKS}/"},
    encoded=True,
)
