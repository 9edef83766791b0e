"""Image files with odd metadata: their pixels are read, upright, or they are refused by name."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cellprep.formats.codec import BadFileError, decode, size_by_header

from .fuzz_helpers import IMAGES, fuzzed

PICTURE = IMAGES[0]  # 9 rows, 8 columns
ORIENTATION = 0x0112
UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 99: 1}
# Tags that say nothing about pixels: descriptions, resolution, software, pointers, private ones.
METADATA = (
    *(0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x011D, 0x0128, 0x0131, 0x0132, 0x013B, 0x013E),
    *(0x02BC, 0x8298, 0x83BB, 0x8649, 0x8769, 0x8773, 0x8825, 0xA005, 0xC4A5, 0xEA1C, 0xFFFF),
)
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(METADATA),
        st.sampled_from(sorted(UNITS)),
        st.sampled_from([0, 1, 2, 3, 70_000, 2**31, 2**32 - 1]),
        st.binary(max_size=20),
        st.sampled_from([None, None, None, 0, 3, 10**6, 2**32 - 1]),
    ),
    max_size=5,
)


def directory(entries, order: str, start: int) -> bytes:
    """A directory of (tag, type, count, data, offset or None) that begins at `start`."""
    data, offset = b"", start + 2 + 12 * len(entries) + 4
    found = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value, at in sorted(entries, key=lambda entry: entry[0]):
        found += struct.pack(f"{order}HHI", tag, kind, count)
        if at is None and len(value) <= 4:
            found += value.ljust(4, b"\0")
            continue
        found += struct.pack(f"{order}I", offset + len(data) if at is None else at)
        data += value if at is None else b""
    return found + bytes(4) + data


def number(value: int, order: str, kind: str = "H") -> bytes:
    return struct.pack(f"{order}{kind}", value)


def turned(orientation: int) -> np.ndarray:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = Image.fromarray(PICTURE)
    picture.info["exif"] = exif.tobytes()
    return np.asarray(ImageOps.exif_transpose(picture))


def turned_image(orientation: int) -> Image.Image:
    return Image.fromarray(turned(orientation))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def quietly(file: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode(file, None)


@fuzzed(150)
@given(st.sampled_from("<>"), st.integers(1, 8), ENTRIES, st.sampled_from(["PNG", "JPEG"]))
def test_images_are_upright_whatever_else_their_exif_block_says(order, orientation, entries, kind):
    tag = (ORIENTATION, 3, 1, number(orientation, order), None)
    head = (b"II*\0" if order == "<" else b"MM\0*") + number(8, order, "I")
    exif = b"Exif\0\0" + head + directory([*entries, tag], order, 8)
    options = {"PNG": {}, "JPEG": {"quality": 100, "subsampling": 0}}[kind]
    file = encoded(Image.fromarray(PICTURE), kind, exif=exif, **options)
    got, expected = quietly(file), turned(orientation)
    assert got.shape == expected.shape == (*size_by_header(file), 3)
    assert np.abs(got.astype(int) - expected).max() <= (8 if kind == "JPEG" else 0)


@fuzzed(150)
@given(st.sampled_from("<>"), st.integers(1, 8), ENTRIES)
def test_tiff_files_are_read_upright_whatever_their_other_tags_say(order, orientation, entries):
    pixels = PICTURE.tobytes()
    height, width, _ = PICTURE.shape
    head = (b"II*\0" if order == "<" else b"MM\0*") + number(8 + len(pixels), order, "I")
    short = lambda tag, value: (tag, 3, 1, number(value, order), None)  # noqa: E731
    tags = [
        *(short(256, width), short(257, height), short(259, 1), short(262, 2)),
        (258, 3, 3, b"".join([number(8, order)] * 3), None),
        *((273, 4, 1, number(8, order, "I"), None), short(274, orientation), short(277, 3)),
        *(short(278, height), (279, 4, 1, number(len(pixels), order, "I"), None)),
    ]
    file = head + pixels + directory([*tags, *entries], order, 8 + len(pixels))
    np.testing.assert_array_equal(quietly(file), turned(orientation))


@fuzzed(100)
@given(st.integers(1, 8), st.data())
def test_tiff_directories_with_any_pixel_tags_are_read_or_refused_by_name(orientation, data):
    """A tag that describes pixels has another type, count, value or offset."""
    file = bytearray(encoded(turned_image(orientation), "TIFF"))
    (start,), order = struct.unpack_from("<I", file, 4), "<"
    (count,) = struct.unpack_from("<H", file, start)
    entry = start + 2 + 12 * data.draw(st.integers(0, count - 1))
    field, size = data.draw(st.sampled_from([(0, "H"), (2, "H"), (4, "I"), (8, "I")]))
    values = (0, 1, 2, 3, 4, 5, 8, 16, 255, 65535, 2**31)
    value = data.draw(st.sampled_from([v for v in values if size == "I" or v < 2**16]))
    struct.pack_into(f"{order}{size}", file, entry + field, value)
    with suppress(BadFileError):
        got = quietly(bytes(file))
        assert (got.dtype, got.ndim, got.shape[2]) == (np.uint8, 3, 3)


@fuzzed(80)
@given(
    st.integers(1, 12), st.lists(st.sampled_from([0, 128, 255, 255, 255]), max_size=4), st.data()
)
def test_palettes_are_read_in_their_colours_unless_one_in_use_is_transparent(n, alphas, data):
    """A PNG with a palette of n colours, of which the first have an alpha value."""
    numbers = data.draw(st.lists(st.integers(0, n - 1), min_size=16, max_size=16))
    numbers = np.array(numbers, np.uint8).reshape(4, 4)
    colors = np.arange(3 * n, dtype=np.uint8).reshape(n, 3) * 7
    file = palette_png(numbers, colors, bytes(alphas[:n]))
    if all((alphas[:n] + [255] * n)[number] == 255 for number in numbers.flat):
        np.testing.assert_array_equal(quietly(file), colors[numbers])
    else:
        with pytest.raises(BadFileError, match="is partly transparent"):
            quietly(file)


def palette_png(numbers: np.ndarray, colors: np.ndarray, alphas: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    size = struct.pack(">IIBBBBB", *numbers.shape[::-1], 8, 3, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in numbers)
    found = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"PLTE", colors.tobytes())
    found += chunk(b"tRNS", alphas) if alphas else b""
    return found + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
