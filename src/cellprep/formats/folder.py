"""Image folders: one folder per class, one file per image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..arrays import ClassNames, Images, Masks, Positions, encode_labels, one_form
from ..errors import BadImagesError, CellprepError, counted, one_of
from ..plan.rows import Rows
from ..plan.source import NO_HISTORY, BaseSource, History, Shape, Size, corners_of
from ..system import executors
from ..system.paths import (
    Prefetched,
    anchored,
    as_path,
    digest_of_versions,
    file_versions,
    prefetch,
    sizes,
)
from .class_folders import ClassFolders, folder_of
from .codec import (
    BadFileError,
    check_size,
    decode_mask,
    decode_to_shape,
    is_image_name,
    size_by_header,
)
from .encoded import UsualSize
from .folder_writer import MASKS, FolderWriter, written_files
from .format import UNLABELLED, Format
from .index import load_rows
from .listing import Listing, list_files
from .opened import history_of
from .pieces import Shards
from .splits import OTHER, chosen
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
    listed: bool = False
    """Whether the files were named: others below the folder are not part of the input."""
    window: int | None = None
    """The side of the middle square that alone is read of each image."""

    @property
    def shape(self) -> Shape:
        """As requested, or that of most files."""
        if self.window is not None:
            return self.window, self.window, 3
        return self._usual.shape if self.size is None else (*self.size, 3)

    @cached_property
    def _usual(self) -> UsualSize:
        return UsualSize.of(len(self.files), self._named)

    def sizes_text(self) -> str:
        return super().sizes_text() if self.size or self.window else str(self._usual)

    def _named(self, at: Positions) -> Iterator[tuple[str, Prefetched]]:
        return zip((self.files[row] for row in at.tolist()), self._found(at), strict=True)

    def row_name(self, row: int) -> str:
        return self.files[row]

    @cached_property
    def _stored(self) -> dict[int, Size]:
        """The stored size of each image that was decoded in this process."""
        return {}

    def image_sizes(self) -> list[Size | None]:
        known: dict[int, Size | None] = {**self._stored}
        left = np.array([row for row in range(len(self.files)) if row not in known], np.int64)
        for span in executors.cut(len(left), 256):
            at = left[slice(*span)]
            known |= zip(at.tolist(), map(size_by_header, self._found(at)), strict=True)
        return [known[row] for row in range(len(self.files))]

    def resizes(self) -> bool:
        return self.size is not None

    def holds_files(self) -> bool:
        return True

    def includes(self, place: PurePath) -> bool:
        below = str(place)
        return not self.listed or any(PurePath(file).is_relative_to(below) for file in self.files)

    def middle(self, side: int) -> FolderSource | None:
        fixed = self.size is not None or self.window is not None or self.has_masks
        return None if fixed else replace(self, window=side)

    def corners(self, at: Positions) -> dict[str, NDArray[np.int32]]:
        return {} if self.window is None else corners_of(self._stored, at, self.window)

    def identity(self) -> str:
        known = digest_of_versions(self._versions())
        return f"folder {known} {self.size}{' masks' if self.has_masks else ''}"

    def _versions(self) -> Iterator[tuple[str, str]]:
        """The version of each image and mask, by name."""
        state = file_versions(self.path)
        for file in self.files:
            try:
                yield file, state(file)
            except OSError:
                yield file, "unreadable"
        if self.mask_files is not None:
            assert self.masks_at is not None
            state = file_versions(self.masks_at)
            for mask in filter(None, self.mask_files):
                yield PurePosixPath(mask).name, state(mask)

    @property
    def has_masks(self) -> bool:
        return self.mask_files is not None

    def images(self, at: Positions) -> Images:
        out = np.empty((len(at), *self.shape), np.uint8)
        rows, files, masks = at.tolist(), self._found(at), self._found_masks(at)

        def decode(position: int) -> str | None:
            """Put one image in its place; returns why that is impossible."""
            row = rows[position]
            try:
                out[position], self._stored[row] = decode_to_shape(
                    files[position], self.size, self.shape, self.window
                )
                self._mask(masks[position])  # an image whose mask cannot be used is a bad one
            except BadFileError as error:
                return str(error)
            return None

        causes = executors.spread(decode, range(len(rows)))
        bad = {row: cause for row, cause in zip(rows, causes, strict=True) if cause is not None}
        if bad:
            raise BadImagesError(
                {self.files[row]: cause for row, cause in bad.items()}, places=[*bad]
            )
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
    part: str | None = None,
    class_names: ClassNames | None = None,
) -> FolderSource:
    """The source of a folder with class folders, or of one that `write(format="folder")` wrote.

    Without labels, the path is any folder of images, or one image.
    """
    shape = check_size(size)
    if path.is_dir() and written_format(path) is not None:
        source = _read_written(path, shape)
    elif labels is None:
        source = _read_unlabelled(path, shape, part)
    else:
        one_of("labels", labels, ["folders"])
        source = _read_labelled(path, shape, part, class_names)
    return source if masks is None else _with_masks(source, anchored(as_path(masks)))


def splits(path: Path) -> dict[str, list[str]]:
    """The images of each split of a folder."""
    files = list_files(path, is_image_name).files if path.is_dir() else []
    return _by_split(files, ClassFolders.of(files))


def _by_split(files: list[str], layout: ClassFolders) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in files if layout.level is not None else ():
        found.setdefault(layout.split_of(folder_of(file)) or OTHER, []).append(file)
    return found


def _of_split(
    path: Path, part: str | None, files: list[str], layout: ClassFolders
) -> tuple[list[str], str | None]:
    """The images of the requested split, and its name; all of them if there are no splits."""
    found = _by_split(files, layout)
    part = chosen(path, part, found)
    return (files, None) if part is None else (found[part], part)


def _read_labelled(
    path: Path, size: Size | None, part: str | None, class_names: ClassNames | None
) -> FolderSource:
    """One folder of images per class."""
    if not path.is_dir():
        raise CellprepError(
            f"{str(path)!r} is not a folder; one image can be read without a label: labels=None"
        )
    listing = list_files(path, is_image_name)
    layout = ClassFolders.of(listing.files)
    files, part = _of_split(path, part, listing.files, layout)
    if not (listing.files or listing.folders):
        raise CellprepError(
            f"{str(path)!r} contains no images; it needs one folder of images per class"
        )
    classes = [layout.class_of(folder_of(file)) for file in files]
    loose = [file for file, name in zip(files, classes, strict=True) if name is None]
    if loose:
        raise CellprepError(
            f"{str(path)!r} has {counted(len(loose), 'image')} outside its class folders "
            f"({loose[0]}, ...); move each into the folder of its class, or read images without "
            "labels: labels=None"
        )
    folders = {folder_of(file) for file in listing.files}  # of all splits: one may lack a class
    same = {folder for folder in folders if (layout.split_of(folder) == OTHER) == (part == OTHER)}
    names = sorted({str(layout.class_of(folder)) for folder in same})
    unnamed = [name for name in names if not is_text(name)]
    if unnamed:
        raise CellprepError(
            f"class folder {unnamed[0]!r} in {str(path)!r} has a name that is not UTF-8 text; "
            "rename it"
        )
    filled = {file.partition("/")[0] for file in listing.files}
    empty = [name for name in listing.folders if name not in filled]
    if empty and layout.level is None:
        raise CellprepError(
            f"class folder {str(path / empty[0])!r} contains no images; add some, or delete it"
        )
    if class_names is None:  # two Unicode forms of a name are one class
        class_names = sorted({one_form(name) for name in names})
    codes, known = encode_labels(np.array([str(name) for name in classes]), class_names)
    by_class = sorted(zip(codes.tolist(), files, strict=True))
    files = [file for _, file in by_class]
    rows = Rows.of(np.array(files), np.array([label for label, _ in by_class], np.int64))
    return FolderSource(path, tuple(files), rows, known, size, unread=listing.left())


def _read_unlabelled(path: Path, size: Size | None, part: str | None) -> FolderSource:
    """All images of a folder and the folders in it, or one image."""
    listing, alone = Listing(), not path.is_dir()
    if not alone:
        listing = list_files(path, is_image_name)
        files, _ = _of_split(path, part, listing.files, ClassFolders.of(listing.files))
    else:
        path, files = path.parent, [path.name]
    if not files:
        raise CellprepError(f"{str(path)!r} contains no images")
    rows = Rows.of(np.array(files), np.zeros(len(files), np.int64))
    left, names = listing.left(), (UNLABELLED,)
    return FolderSource(path, tuple(files), rows, names, size, listed=alone, unread=left)


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


def _read_written(path: Path, size: Size | None) -> FolderSource:
    manifest = manifest_of_format(path, "folder")
    index, rows = load_rows(path, manifest)
    files: list[str] = index["file"].to_pylist() if "file" in index.column_names else [""]
    for file in files:
        if not isinstance(file, str) or not inside(file):
            where = Shards(path, manifest).index_path
            raise CellprepError(
                f"{str(where)!r} names no file, or one outside its folder: {file!r}"
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
    options=("size", "masks", "labels", "part", "class_names"),
    looks_like=lambda path: path.is_file() and is_image_name(path.name),
    splits=splits,
    writer=FolderWriter,
    files=written_files,
    digests={"xxh3_128": "", "masks_xxh3_128": f"{MASKS}/"},
    encoded=True,
)
