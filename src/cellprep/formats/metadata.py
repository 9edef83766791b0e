"""What metadata of an image file matters for its pixels: the orientation; all other is ignored."""

from __future__ import annotations

import struct
from contextlib import suppress

from PIL import Image, TiffImagePlugin

_ORIENTATION = 0x0112
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
_PNG = b"\x89PNG\r\n\x1a\n"
_NEEDED_CHUNKS = {b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"}
_NEEDED_TAGS = {
    *(254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320),
    *(322, 323, 324, 325, 332, 336, 338, 339, 347, *range(512, 522), 529, 530, 531, 532),
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """The image as its orientation tag wants it shown."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def orientation(image: Image.Image) -> int:
    """The orientation of an opened image, 1 to 8, whatever other entries its metadata has."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1  # Pillow turns a TIFF, and its size, by itself
    found = exif_orientation(image.info.get("exif", b""))
    if found is None and any("xm" in str(key).lower() or "exif" in str(key) for key in image.info):
        with suppress(Exception):  # Pillow reads XMP too, and raises what it likes
            found = image.getexif().get(_ORIENTATION)
    return found if isinstance(found, int) and found in _TURNS else 1


def exif_orientation(block: bytes) -> int | None:
    """The orientation in an EXIF block, found without reading any other entry.

    >>> exif_orientation(struct.pack("<2sHIHHHIHH", b"II", 42, 8, 1, 0x112, 3, 1, 6, 0))
    6
    """
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 10:
        return None
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    with suppress(struct.error):  # the block ends early
        (entries,) = struct.unpack_from(f"{order}H", block, start)
        for at in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", block, at)
            if tag == _ORIENTATION and count == 1 and kind in _WHOLE_NUMBERS:
                found: int = struct.unpack_from(f"{order}{_WHOLE_NUMBERS[kind]}", block, at + 8)[0]
                return found
    return None


def without_metadata(file: bytes) -> bytes:
    """A PNG or TIFF with only what its pixels, number of pictures and orientation need."""
    if file.startswith(_PNG):
        return _bare_png(file)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(file[:4])
    if order is None:
        raise ValueError("neither PNG nor TIFF")
    return _bare_tiff(file, order)


def _bare_png(file: bytes) -> bytes:
    found, at = [_PNG], len(_PNG)
    while at + 8 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        if kind[:1].isupper() or kind in _NEEDED_CHUNKS:
            found.append(file[at : at + 12 + length])
        at += 12 + length
    return b"".join(found)


def _bare_tiff(file: bytes, order: str) -> bytes:
    (start,) = struct.unpack_from(f"{order}I", file, 4)
    (count,) = struct.unpack_from(f"{order}H", file, start)
    end = start + 2 + 12 * count
    entries = [file[at : at + 12] for at in range(start + 2, end, 12)]
    kept = [e for e in entries if struct.unpack_from(f"{order}H", e)[0] in _NEEDED_TAGS]
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + file[end : end + 4]
    return file[:start] + directory + file[start + len(directory) :]
