"""JPEG files without metadata, read in a fraction of Pillow's time, with the same pixels.

Pillow interprets the markers of a file in Python, one thread at a time, which takes longer than
decoding a small image. Whatever has metadata, or is in any way unusual, is left to Pillow.
"""

from __future__ import annotations

import stat
import struct
from contextlib import suppress
from pathlib import Path

import simplejpeg

from ..arrays import Images
from .untrusted import MOST_PIXELS

_MOST_BYTES = 1 << 26
_START, _JFIF, _COMMENT, _SCAN = b"\xff\xd8", 0xE0, 0xFE, 0xDA
_TABLES = {0xC4, 0xDB, 0xDD}
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive


def decode_plain(file: Path | bytes) -> Images | None:
    """One image as (height, width, 3) uint8; None where Pillow must read or refuse the file."""
    data = _bytes_of(file) if isinstance(file, Path) else file
    if data is None or not is_plain(data):
        return None
    try:
        image: Images = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError:  # damaged; Pillow judges what is left of it
        return None
    return image


def _bytes_of(file: Path) -> bytes | None:
    if not file.name.lower().endswith((".jpg", ".jpeg")):
        return None
    with suppress(OSError):
        state = file.stat()
        if stat.S_ISREG(state.st_mode) and state.st_size <= _MOST_BYTES:
            return file.read_bytes()
    return None


def is_plain(data: bytes) -> bool:
    """Whether a file is a JPEG of 8-bit grey or colour pixels without metadata.

    Metadata may contain an orientation, further pictures or another space of colours.

    Examples
    --------
    >>> frame = b"\\xff\\xd8\\xff\\xc0\\0\\x0b\\x08\\0\\x02\\0\\x03\\x01\\x01\\x11\\0"
    >>> is_plain(frame + b"\\xff\\xda\\0\\0"), is_plain(frame)
    (True, False)
    """
    if not data.startswith(_START):
        return False
    frames, at = 0, len(_START)
    with suppress(struct.error):  # the file ends before its pixels
        while True:
            lead, marker, length = struct.unpack_from(">BBH", data, at)
            if lead != 0xFF:
                return False
            if marker == _SCAN:
                return frames == 1
            if marker in _FRAMES:
                bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
                if bits != 8 or channels not in (1, 3) or not 0 < height * width <= MOST_PIXELS:
                    return False
                frames += 1
            elif marker not in {_JFIF, _COMMENT, *_TABLES}:
                return False
            at += 2 + length
    return False
