"""Decoding and encoding of image files (PNG, JPEG, ...): bytes to pixels and back."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..arrays import Images, Masks
from ..errors import CellprepError, in_range
from ..kernels.resize import resize
from ..plan.source import Shape, Size, middle_from
from .channels import deep_cause, stored_bits, stored_channels
from .drawn_masks import cell_in
from .jpeg import decode_plain
from .metadata import orientation, upright, without_metadata
from .untrusted import MOST_PIXELS, BadFileError, is_text

__all__ = ["BadFileError"]

Used = TypeVar("Used")
_READ = {"JPEG", "PNG", "BMP", "TIFF", "MPO", "PPM", "WEBP", "JPEG2000"}
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    *(".gif", ".heic", ".heif", ".avif"),  # listed as bad files, not ignored
)
"""Extensions of image files."""
MOST_BYTES = 4 * MOST_PIXELS + 2**20
"""Of an encoded image with at most that many pixels."""


def is_image_name(name: str) -> bool:
    """Whether a file is taken for an image, by its extension."""
    return name.lower().endswith(SUFFIXES)


Encoded = bytes | OSError | BadFileError
"""The bytes of an image file, or why there are none."""


def decode(file: Path | Encoded, size: Size | None) -> Images:
    """One image as (height, width, 3) uint8: upright by its EXIF tag, grey repeated to RGB.

    Whatever would lose more than an opaque alpha channel is refused.
    """
    return _decode(file, size)[0]


def _decode(
    file: Path | Encoded, size: Size | None, window: int | None = None
) -> tuple[Images, Size]:
    """The image, and the size that it is stored in."""
    if isinstance(file, Path) and not is_text(str(file)):
        raise BadFileError("has a name that is not UTF-8 text; rename it")
    with _causes(file):
        image = decode_plain(file) if isinstance(file, Path | bytes) else None
        if image is None:
            image = np.asarray(_opened(file, _rgb))
    stored: Size = image.shape[:2]
    if window is not None:
        image = _middle(image, window)
    elif size is not None and stored != size:
        image = resize(image[None], *size)[0]
    return image, stored


def _middle(image: Images, side: int) -> Images:
    height, width, _ = image.shape
    if min(height, width) < side:
        raise BadFileError(f"is {height}x{width} pixels, smaller than the window of {side}x{side}")
    top, left = middle_from(height, side), middle_from(width, side)
    return image[top : top + side, left : left + side]


def _opened(file: Path | Encoded, use: Callable[[Image.Image], Used]) -> Used:
    """What a function makes of the opened image."""
    try:
        with _open(file) as image:
            return use(image)
    except BadFileError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, UnidentifiedImageError):
            raise
        # Pillow refuses files for large profiles or text, and for damage that is not in pixels
        with suppress(Exception):
            data = file.read_bytes() if isinstance(file, Path) else file
            assert isinstance(data, bytes)
            with _image(without_metadata(data)) as image:
                return use(image)
        raise error from None


def _rgb(image: Image.Image) -> Image.Image:
    _check(image)
    return _to_rgb(upright(image))


def _cell(image: Image.Image) -> Masks:
    _check_size(image)
    return cell_in(upright(image))


@contextmanager
def _causes(file: Path | Encoded) -> Iterator[None]:
    """Whatever Pillow raises, as the cause why this file cannot be used."""
    try:
        yield
    except BadFileError:
        raise
    except UnidentifiedImageError:
        raise BadFileError("is empty" if _is_empty(file) else "is not an image file") from None
    except Image.DecompressionBombError:
        raise BadFileError(f"has more pixels than the limit of {MOST_PIXELS:,}") from None
    except Exception as error:
        cause = error.strerror if isinstance(error, OSError) else None
        raise BadFileError(cause or f"is damaged ({error})") from None


def _is_empty(file: Path | Encoded) -> bool:
    with suppress(OSError):
        return file.stat().st_size == 0 if isinstance(file, Path) else file == b""
    return False


def decode_to_shape(
    file: Path | Encoded, size: Size | None, shape: Shape, window: int | None = None
) -> tuple[Images, Size]:
    """One image, which must have the shape of most images, and the size that it is stored in.

    With `window` it is the middle square with this side.
    """
    image, stored = _decode(file, size, window)
    if image.shape != shape:
        raise BadFileError(
            f"is {image.shape[0]}x{image.shape[1]} pixels, most images are {shape[0]}x{shape[1]}; "
            "pass size= (--size) to bring all images to one size"
        )
    return image, stored


def decode_mask(file: Path | Encoded, shape: Size, *, resize: bool) -> Masks:
    """One mask as (height, width) bool, True on the cell; see `cell_in`."""
    height, width = shape
    named = f", {str(file)!r}" if isinstance(file, Path) else ""
    try:
        with _causes(file):
            found = _opened(file, _cell)
            if resize:
                drawn = Image.fromarray(found.view(np.uint8))
                found = np.asarray(drawn.resize((width, height), Image.Resampling.NEAREST)) != 0
    except BadFileError as error:
        raise BadFileError(f"has a mask that {error}{named}") from None
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


def size_by_header(file: Path | Encoded) -> Size | None:
    """The size of an image by its header alone; None where that is unusable."""
    with suppress(Exception):
        return _opened(file, _size)
    return None


def _size(image: Image.Image) -> Size:
    _check(image)
    return image.size if orientation(image) >= 5 else image.size[::-1]


def check_size(size: Any) -> Size | None:
    """The setting `size`, a number or a pair, as (height, width)."""
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
        raise BadFileError("is not a regular file")  # reading a pipe would block
    return _image(file)


def _image(file: Path | Encoded) -> Image.Image:
    if isinstance(file, OSError | BadFileError):
        raise file
    return Image.open(io.BytesIO(file) if isinstance(file, bytes) else file)


def _check(image: Image.Image) -> None:
    if image.format not in _READ:
        raise BadFileError(
            f"is a {image.format} file by its content; convert it to PNG, JPEG or TIFF"
        )
    _check_size(image)
    channels, bits = stored_channels(image), stored_bits(image)
    if channels > len(image.getbands()):
        raise BadFileError(f"has {channels} channels per pixel; choose three and save them as RGB")
    if bits > 8:
        raise BadFileError(deep_cause(image, bits))


def _check_size(image: Image.Image) -> None:
    """Refuse more than one picture, and more pixels than can be read."""
    if image.width * image.height > MOST_PIXELS:
        raise BadFileError(
            f"has {image.width}x{image.height} pixels, more than the limit of {MOST_PIXELS:,}"
        )
    # Further pictures in a camera's MPO file are previews and depth maps of the first.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise BadFileError(f"contains {frames} pictures; save each as its own file")


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
