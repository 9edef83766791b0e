"""Channels and bits per channel as a file stores them, which Pillow may reduce without a word."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from ..arrays import eight_bits

_SAMPLES_PER_PIXEL = 277
_SIZE_MARKER = b"\xff\x4f\xff\x51"


def stored_channels(image: Image.Image) -> int:
    """Channels per pixel in the file; of a TIFF, Pillow drops those that it has no name for."""
    if image.format != "TIFF":
        return len(image.getbands())
    samples = getattr(image, "tag_v2", {}).get(_SAMPLES_PER_PIXEL, 1)
    return samples if isinstance(samples, int) else 1


def stored_bits(image: Image.Image) -> int:
    """Bits per channel in the file, of an opened image that is not yet loaded."""
    if image.format == "JPEG2000":
        return _bits_of_jpeg2000(image)
    bits = [8]
    for tile in getattr(image, "tile", ()):
        codec, _, _, arguments = tile
        text = arguments if isinstance(arguments, str) else " ".join(map(str, arguments or ()))
        bits += [depth for depth in (12, 16) if f";{depth}" in text]
        if codec in ("ppm", "ppm_plain") and not isinstance(arguments, str):
            bits.append(int(arguments[1]).bit_length())
    return max(bits)


def deep_cause(image: Image.Image, bits: int) -> str:
    """Why an image with more than 8 bits is refused, with the conversion for the values it has."""
    cause = f"has {bits} bits per channel"
    try:
        high = _highest(image, bits)
    except Exception:  # Pillow's, for damaged pixels
        return f"{cause}; scale it to 8 bits first"
    return f"{cause}, values up to {high:,}; {eight_bits('values', high)} for all files alike"


def _highest(image: Image.Image, bits: int) -> int:
    """The largest value, rounded up where Pillow keeps the upper 8 bits only."""
    pixels: Any = np.asarray(image)
    high = int(pixels.max())
    return high if pixels.dtype != np.uint8 else ((high + 1) << (bits - 8)) - 1


def _bits_of_jpeg2000(image: Any) -> int:
    """The largest depth in the first marker of the code stream; Pillow knows that of grey alone."""
    stream = image.fp
    before = stream.tell()
    stream.seek(0)
    data: bytes = stream.read()
    stream.seek(before)
    start = data.find(_SIZE_MARKER) + len(_SIZE_MARKER)
    count = int.from_bytes(data[start + 36 : start + 38], "big")
    depths = data[start + 38 : start + 38 + 3 * count : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=8)
