"""Encoded images (PNG, JPEG, ...): files or bytes to pixels, and sources that hold such bytes."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ..arrays import Images, Masks, Positions
from ..errors import BadImagesError, CellprepError, in_range
from ..plan.rows import Rows
from ..plan.source import NO_HISTORY, History, Shape
from ..system.paths import file_version, map_files
from .manifest import MOST_PIXELS, is_text

_READ = {"JPEG", "PNG", "BMP", "TIFF", "MPO"}
MOST_BYTES = 4 * MOST_PIXELS + 2**20
"""No image of so many pixels that is read here takes more."""
SIZE_ADVICE = "pass size= to bring all images to one size"


class BadFileError(Exception):
    """Why one file cannot be used."""


Encoded = bytes | OSError | BadFileError
"""The bytes of an image file, or why there are none."""


def decode(file: Path | Encoded, size: tuple[int, int] | None) -> Images:
    """One file as (height, width, 3) uint8: upright by its EXIF tag, grey repeated to RGB.

    Nothing is converted that would lose anything but an opaque alpha channel.
    """
    if isinstance(file, Path) and not is_text(str(file)):
        raise BadFileError("has a name that is not UTF-8 text; rename it")
    try:
        with _open(file) as image:
            _check(image)
            upright = ImageOps.exif_transpose(image)
            rgb = _to_rgb(upright)
    except UnidentifiedImageError:
        empty = file.stat().st_size == 0 if isinstance(file, Path) else file == b""
        raise BadFileError("is empty" if empty else "is not an image file") from None
    except OSError as error:
        raise BadFileError(error.strerror or f"is damaged ({error})") from None
    except Image.DecompressionBombError:
        raise BadFileError(f"has more pixels than the limit of {MOST_PIXELS:,}") from None
    except (
        ValueError,
        SyntaxError,
        IndexError,
        TypeError,
        OverflowError,
        MemoryError,
        EOFError,
    ) as error:
        raise BadFileError(f"is damaged ({error})") from None
    if size is not None and rgb.size != (size[1], size[0]):
        rgb = rgb.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def decode_mask(file: Path | Encoded, shape: tuple[int, int], *, resize: bool) -> Masks:
    """One mask as (height, width) bool: any value but 0 is the cell."""
    height, width = shape
    named = f", {str(file)!r}" if isinstance(file, Path) else ""
    try:
        with _image(file) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"more pixels than the limit of {MOST_PIXELS:,}")
            mask = image.convert("L") if image.mode != "I" else image
            if resize:
                mask = mask.resize((width, height), Image.Resampling.NEAREST)
            found: Masks = np.asarray(mask) != 0
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadFileError(f"has a mask that cannot be read{named}: {error}") from None
    if found.shape != shape:
        raise BadFileError(
            f"has a mask of {found.shape[0]}x{found.shape[1]} pixels{named}, not {height}x{width}"
        )
    return found


def encode(image: NDArray[np.uint8]) -> bytes:
    """An image, or a mask of 0 and 255, as PNG."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def encode_mask(mask: Masks) -> bytes:
    """A (height, width) bool mask as PNG: 0 and 255."""
    return encode(mask.view(np.uint8) * np.uint8(255))


def side(file: Path | Encoded) -> tuple[int, int] | None:
    """(height, width) of the image in a file, by its header; None where that cannot be used."""
    try:
        with _open(file) as image:
            _check(image)
            # Pillow turns the size of a TIFF by itself.
            turned = image.format != "TIFF" and image.getexif().get(0x0112, 1) >= 5
            return image.size if turned else image.size[::-1]
    except (BadFileError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def frequencies(sides: Iterable[tuple[int, int] | None]) -> dict[tuple[int, int], int]:
    """How many images have each (height, width), the most frequent first."""
    return dict(Counter(filter(None, sides)).most_common())


def check_size(size: Any) -> tuple[int, int] | None:
    """What every image is resized to, as (height, width)."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2:
        raise CellprepError(f"`size` must be one number or (height, width), got {size!r}")
    for side in sides:
        in_range("size", side, 1, 2**15, whole=True)
    return sides[0], sides[1]


def _open(file: Path | Encoded) -> Image.Image:
    if isinstance(file, Path) and file.exists() and not file.is_file():
        raise BadFileError("is not a regular file")  # a pipe would be waited for
    return _image(file)


def _image(file: Path | Encoded) -> Image.Image:
    if isinstance(file, OSError | BadFileError):
        raise file
    return Image.open(io.BytesIO(file) if isinstance(file, bytes) else file)


def _check(image: Image.Image) -> None:
    if image.format not in _READ:
        raise BadFileError(
            f"is a {image.format} file by its content; convert it to PNG, JPEG, BMP or TIFF"
        )
    if image.width * image.height > MOST_PIXELS:
        raise BadFileError(
            f"has {image.width}x{image.height} pixels, more than the limit of {MOST_PIXELS:,}"
        )
    # The further pictures of a camera's MPO are previews and depths of the first.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise BadFileError(f"holds {frames} pictures; save each as a file of its own")
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        raise BadFileError("has 16 bits a channel; scale it to 8 bits first")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        low, _ = rgba.getchannel("A").getextrema()
        if low != 255:
            raise BadFileError("is partly transparent; paint its background first")
        return rgba.convert("RGB")
    if image.mode in ("L", "1", "P"):
        return image.convert("RGB")
    kind = {"CMYK": "CMYK", "I;16": "16-bit grey", "I": "32-bit grey", "F": "floating-point"}
    raise BadFileError(f"has {kind.get(image.mode, image.mode)} pixels; convert it to 8-bit RGB")


# -- many in one file -------------------------------------------------------------------------


class Store(Protocol):
    """Files that hold many encoded images, and give those of any rows."""

    @property
    def has_masks(self) -> bool:
        """Whether there are masks."""

    def encoded(self, at: Positions, *, masks: bool = False) -> Iterator[Path | Encoded]:
        """The file of each image, or mask, in order; no bytes where there is no mask."""

    def name(self, row: int) -> str:
        """What an error calls a row: its file, and where it lies there."""

    def identity(self) -> str:
        """A text that changes when the files change."""


@dataclass(frozen=True, eq=False)
class EncodedSource:
    """Images of a Store, decoded when they are asked for.

    Those that cellprep wrote have a known shape, and are trusted.
    """

    store: Store
    path: Path | None
    rows: Rows
    class_names: tuple[str, ...]
    size: tuple[int, int] | None
    known: tuple[int, int] | None = None
    history: History = NO_HISTORY

    @property
    def trusted(self) -> bool:
        return self.known is not None

    @property
    def has_masks(self) -> bool:
        return self.store.has_masks

    @cached_property
    def shape(self) -> Shape:
        """As asked, as it was written, or that of the first image that can be decoded."""
        side = self.size or self.known
        if side is not None:
            return *side, 3
        causes = {}
        for row in range(len(self.rows)):
            try:
                (encoded,) = self.store.encoded(np.array([row]))
                height, width, channels = decode(encoded, None).shape
            except BadFileError as error:
                causes[self.store.name(row)] = str(error)
            else:
                return height, width, channels
        raise BadImagesError(causes, "No image is left")

    def sides(self) -> list[tuple[int, int] | None]:
        """(height, width) of every image, by its header; None where that cannot be used."""
        return [side(data) for data in self.store.encoded(np.arange(len(self.rows)))]

    def sizes(self) -> dict[tuple[int, int], int]:
        """How many images have each (height, width), by the headers that can be used."""
        return frequencies(self.sides())

    def identity(self) -> str:
        return f"{self.store.identity()} {self.size}"

    def images(self, at: Positions) -> Images:
        out = np.empty((len(at), *self.shape), np.uint8)
        causes, places = {}, []
        for place, (row, encoded) in enumerate(
            zip(at.tolist(), self.store.encoded(at), strict=True)
        ):
            try:
                image = decode(encoded, self.size)
                if image.shape != self.shape:
                    raise BadFileError(
                        f"is {image.shape[0]}x{image.shape[1]} pixels, the first image "
                        f"{self.shape[0]}x{self.shape[1]} ({SIZE_ADVICE})"
                    )
                out[place] = image
            except BadFileError as error:
                causes[self.store.name(row)] = str(error)
                places.append(row)
        if self.has_masks and not self.trusted:  # an image whose mask cannot be used is a bad one
            bad: dict[int, str] = {}
            for row, _ in self._masks(at, bad):
                if row in bad and row not in places:
                    causes[self.store.name(row)] = bad[row]
                    places.append(row)
        if causes:
            raise self._bad(causes, places)
        return out

    def masks(self, at: Positions) -> Masks:
        bad: dict[int, str] = {}
        found = [mask for _, mask in self._masks(at, bad)]
        if bad:
            raise self._bad({self.store.name(row): cause for row, cause in bad.items()}, [*bad])
        return np.stack(found) if found else np.zeros((0, *self.shape[:2]), bool)

    def _masks(self, at: Positions, bad: dict[int, str]) -> Iterator[tuple[int, Masks]]:
        """Each row and its mask; why it has none goes to `bad`."""
        shape = self.shape[:2]
        for row, encoded in zip(at.tolist(), self.store.encoded(at, masks=True), strict=True):
            mask = np.zeros(shape, bool)
            try:
                if encoded:
                    mask = decode_mask(encoded, shape, resize=self.size is not None)
            except BadFileError as error:
                bad[row] = str(error)
            yield row, mask

    def _bad(self, causes: dict[str, str], places: list[int]) -> CellprepError:
        if not self.trusted:
            return BadImagesError(causes, places=places)
        name, cause = next(iter(causes.items()))
        return CellprepError(f"{name} in {str(self.path)!r} {cause}; write the data set again")


def file_states(files: Iterable[Path]) -> str:
    """A digest of the files' names, sizes and times."""
    digest = xxhash.xxh3_128()
    paths = list(files)
    for file, state in zip(paths, map_files(file_version, paths), strict=True):
        known = f"{file.name}\0{state}\n"
        digest.update(known.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
