"""Image folders: one folder a class, one file an image."""

from __future__ import annotations

import io
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
from PIL import Image, ImageOps, UnidentifiedImageError

from ..arrays import Images, Masks, Positions
from ..errors import BadImagesError, CellprepError, in_range
from ..rows import Rows
from ..source import NO_PAST, Past, Shape
from .format import Block, Contents, Files, Format, WrittenPart
from .manifest import (
    INDEX,
    MANIFEST,
    MOST_PIXELS,
    WORK,
    inside,
    is_text,
    load_written,
    past_of,
    replacing,
    written_format,
)

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff"),
    *(".gif", ".webp", ".heic", ".avif", ".jp2"),  # not read, but named as such
)
_READ = {"JPEG", "PNG", "BMP", "TIFF", "MPO"}
MASKS = "masks"
_FILES = f"{WORK}/files.parquet"
"""Of an unfinished data set: the files that it will have."""
_SIZE_ADVICE = "pass size= to bring all images to one size"


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
            except _BadFileError as error:
                causes[file] = str(error)
            else:
                return height, width, channels
        raise BadImagesError(causes, "No image is left")

    def sizes(self) -> dict[tuple[int, int], int]:
        """How many files have each (height, width), by the headers that can be used."""
        counts: Counter[tuple[int, int]] = Counter()
        for file in self.files:
            try:
                with _open(self.path / file) as image:
                    _check(image)
                    # Pillow turns the size of a TIFF by itself.
                    turned = image.format != "TIFF" and image.getexif().get(0x0112, 1) >= 5
                    counts[image.size if turned else image.size[::-1]] += 1
            except (_BadFileError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
        return dict(counts.most_common())

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
                    raise _BadFileError(
                        f"is {image.shape[0]}x{image.shape[1]} pixels, the first image "
                        f"{self.shape[0]}x{self.shape[1]} ({_SIZE_ADVICE})"
                    )
                out[place] = image
                self._mask(row)  # an image whose mask cannot be used is a bad one
            except _BadFileError as error:
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
        height, width, _ = self.shape
        try:
            with Image.open(file) as image:
                mask = image.convert("L") if image.mode != "I" else image
                if self.size is not None:
                    mask = mask.resize((width, height), Image.Resampling.NEAREST)
                found: Masks = np.asarray(mask) != 0
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise _BadFileError(f"has a mask that cannot be read, {str(file)!r}: {error}") from None
        if found.shape != (height, width):
            raise _BadFileError(
                f"has a mask of {found.shape[0]}x{found.shape[1]} pixels, {str(file)!r}, "
                f"not {height}x{width}"
            )
        return found


class _BadFileError(Exception):
    """Why one file cannot be used."""


def decode(path: Path, size: tuple[int, int] | None) -> Images:
    """One file as (height, width, 3) uint8: upright by its EXIF tag, grey repeated to RGB.

    Nothing is converted that would lose anything but an opaque alpha channel.
    """
    if not is_text(str(path)):
        raise _BadFileError("has a name that is not UTF-8 text; rename it")
    try:
        with _open(path) as image:
            _check(image)
            upright = ImageOps.exif_transpose(image)
            rgb = _to_rgb(upright)
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise _BadFileError("is empty" if empty else "is not an image file") from None
    except OSError as error:
        raise _BadFileError(error.strerror or f"is damaged ({error})") from None
    except Image.DecompressionBombError:
        raise _BadFileError(f"has more pixels than the limit of {MOST_PIXELS:,}") from None
    except (
        ValueError,
        SyntaxError,
        IndexError,
        TypeError,
        OverflowError,
        MemoryError,
        EOFError,
    ) as error:
        raise _BadFileError(f"is damaged ({error})") from None
    if size is not None and rgb.size != (size[1], size[0]):
        rgb = rgb.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def _open(path: Path) -> Image.Image:
    if path.exists() and not path.is_file():
        raise _BadFileError("is not a regular file")  # a pipe would be waited for
    return Image.open(path)


def _check(image: Image.Image) -> None:
    if image.format not in _READ:
        raise _BadFileError(
            f"is a {image.format} file by its content; convert it to PNG, JPEG, BMP or TIFF"
        )
    if image.width * image.height > MOST_PIXELS:
        raise _BadFileError(
            f"has {image.width}x{image.height} pixels, more than the limit of {MOST_PIXELS:,}"
        )
    # The further pictures of a camera's MPO are previews and depths of the first.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise _BadFileError(f"holds {frames} pictures; save each as a file of its own")
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        raise _BadFileError("has 16 bits a channel; scale it to 8 bits first")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        low, _ = rgba.getchannel("A").getextrema()
        if low != 255:
            raise _BadFileError("is partly transparent; paint its background first")
        return rgba.convert("RGB")
    if image.mode in ("L", "1", "P"):
        return image.convert("RGB")
    kind = {"CMYK": "CMYK", "I;16": "16-bit grey", "I": "32-bit grey", "F": "floating-point"}
    raise _BadFileError(f"has {kind.get(image.mode, image.mode)} pixels; convert it to 8-bit RGB")


def read(
    path: Path,
    size: int | tuple[int, int] | None = None,
    masks: str | Path | None = None,
) -> FolderSource:
    """The source of a folder with class folders, or of one that `write(format="folder")` made."""
    if not path.is_dir():
        raise CellprepError(f"{str(path)!r} is not a folder")
    shape = _check_size(size)
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


def _check_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2:
        raise CellprepError(f"`size` must be one number or (height, width), got {size!r}")
    for side in sides:
        in_range("size", side, 1, 2**15, whole=True)
    return sides[0], sides[1]


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
                map(_save, map(folder.joinpath, mine), images)
            )
            if masks is not None:
                drawn = masks.view(np.uint8) * np.uint8(255)
                places = map((folder / MASKS).joinpath, mine)
                digests.setdefault("masks_xxh3_128", []).extend(map(_save, places, drawn))
        columns = {name: np.array(values) for name, values in digests.items()}
        return WrittenPart({}, {"file": names, **columns})


def _save(path: Path, image: NDArray[np.uint8]) -> str:
    """A PNG file, and its digest."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG", compress_level=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())
    return xxhash.xxh3_128_hexdigest(encoded.getbuffer())


def _written_files(folder: Path) -> list[Path]:
    """The files that a writer has named, or was about to, and their masks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for table in (folder / INDEX, folder / _FILES):
        if not table.is_file():
            continue
        try:
            named = pq.read_table(table, columns=["file"])["file"].to_pylist()
        except (OSError, ValueError, KeyError, pa.ArrowException):
            continue  # its files cannot be known from it
        names = [name for name in named if isinstance(name, str) and inside(name)]
        found += [folder / name for name in names]
        found += [folder / MASKS / name for name in names]
    return found


FORMAT = Format(read, options=("size", "masks"), writer=FolderWriter, files=_written_files)
