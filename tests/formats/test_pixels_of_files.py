"""The pixels of a file are its pixels, whatever its metadata, its size and its neighbours."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import cellprep as cp
from cellprep.formats.codec import BadFileError, decode, decode_mask

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def long_text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("slide", "x" * 2_000_000, zip=True)
    return info


def broken_text() -> bytes:
    file = encoded(Image.fromarray(PIXELS))
    chunk = struct.pack(">I4s", 4, b"tEXt") + b"a\0bc" + b"\0\0\0\0"  # a wrong checksum
    return file[:33] + chunk + file[33:]


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(encoded(Image.fromarray(PIXELS), icc_profile=bytes(3 << 20)), id="profile"),
        pytest.param(encoded(Image.fromarray(PIXELS), pnginfo=long_text()), id="text"),
        pytest.param(broken_text(), id="checksum"),
        pytest.param(
            encoded(Image.fromarray(PIXELS), "TIFF", icc_profile=bytes(3 << 20)), id="tiff"
        ),
    ],
)
def test_large_or_broken_metadata_does_not_make_a_file_unreadable(file):
    np.testing.assert_array_equal(decode(file, None), PIXELS)


def test_metadata_does_not_hide_that_pixels_are_damaged():
    file = encoded(Image.fromarray(PIXELS), icc_profile=bytes(3 << 20))
    with pytest.raises(BadFileError, match="is damaged"):
        decode(file[:-60], None)


def tiff(pixels: np.ndarray, photometric: int, extra: int) -> bytes:
    """An uncompressed TIFF whose last `extra` channels have no meaning."""
    height, width, samples = pixels.shape
    bits = 8 * pixels.itemsize
    data = pixels.tobytes()
    after = 8 + len(data)
    start = after + 4 * samples
    short = [
        (256, width),
        (257, height),
        (259, 1),
        (262, photometric),
        (277, samples),
        (278, height),
    ]
    tags = [(tag, 3, 1, struct.pack("<HH", value, 0)) for tag, value in short]
    inline = struct.pack("<H", bits) * samples
    tags.append((258, 3, samples, inline if samples == 2 else struct.pack("<I", after)))
    tags += [(273, 4, 1, struct.pack("<I", 8)), (279, 4, 1, struct.pack("<I", len(data)))]
    if extra:
        value = bytes(4) if extra <= 2 else struct.pack("<I", after + 2 * samples)
        tags.append((338, 3, extra, value))
    packed = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in sorted(tags))
    depths = struct.pack("<H", bits) * samples + bytes(2 * samples)
    head = b"II*\0" + struct.pack("<I", start)
    return head + data + depths + struct.pack("<H", len(tags)) + packed + bytes(4)


@pytest.mark.parametrize(("photometric", "extra"), [(2, 1), (2, 2), (2, 3), (1, 1)])
def test_channels_without_a_name_are_not_dropped(photometric, extra):
    channels = extra + (3 if photometric == 2 else 1)
    pixels = np.random.default_rng(1).integers(0, 256, (6, 5, channels), np.uint8)
    file = tiff(pixels, photometric, extra)
    assert len(Image.open(io.BytesIO(file)).getbands()) < channels  # Pillow drops them
    with pytest.raises(BadFileError, match=f"has {channels} channels per pixel; choose three"):
        decode(file, None)


@pytest.mark.parametrize(("bits", "shift"), [(10, 2), (12, 4), (14, 6), (16, 8)])
def test_advice_for_deep_images_follows_from_their_values(bits, shift):
    high = 2**bits - 1
    grey = np.full((6, 5), high, np.uint16)
    for file in (
        encoded(Image.fromarray(grey)),
        encoded(Image.fromarray(grey), "TIFF"),
        tiff(np.full((6, 5, 3), high, np.uint16), 2, 0),
    ):
        with pytest.raises(BadFileError, match=rf"16 bits .* up to {high:,}; .*>> {shift}\)"):
            decode(file, None)
    with pytest.raises(cp.CellprepError, match=rf"\(images >> {shift}\)"):
        cp.Dataset.from_arrays(np.full((2, 4, 4, 3), high, np.uint16), [0, 1])


def test_the_brightest_of_all_images_decides_about_the_advice():
    images = np.zeros((3000, 8, 8, 3), np.uint16)
    images[-1] = 1000
    with pytest.raises(cp.CellprepError, match=r"0 to 1000; they need 10 bits.*>> 2"):
        cp.Dataset.from_arrays(images, np.arange(3000) % 2)


def folder_of(path: Path, sizes: list[int]) -> Path:
    for number, side in enumerate(sizes):
        file = path / "ab"[number % 2] / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS).resize((side, side)).save(file)
    return path


def test_the_size_of_most_images_decides_which_are_odd(tmp_path):
    cells = cp.read(folder_of(tmp_path / "in", [9, 9, 9, 8, 8, *[8] * 10])).readable()
    assert (len(cells), cells.shape[1:3]) == (12, (8, 8))
    assert set(cells.bad.values()) == {
        "is 9x9 pixels, most images are 8x8; pass size= (--size) to bring all images to one size"
    }
    made = cp.write(cp.read(tmp_path / "in"), tmp_path / "out", on_error="skip", progress=False)
    assert made.rows == 12


def test_images_without_a_usual_size_are_refused_not_skipped(tmp_path):
    cells = cp.read(folder_of(tmp_path / "in", [6, 7, 8, 9, 6, 5]))
    assert "several sizes" in repr(cells)
    with pytest.raises(cp.CellprepError, match=r"several sizes, such as 6x6 .*pass size="):
        cp.write(cells, tmp_path / "out", on_error="skip", progress=False)
    assert cp.read(tmp_path / "in", size=8).shape == (6, 8, 8, 3)


CELL = np.zeros((12, 10), np.uint8)
CELL[3:7, 2:6] = 1


def palette(colors: list[int], numbers: np.ndarray = CELL) -> Image.Image:
    image = Image.fromarray(numbers).convert("L")
    image.putpalette(colors + [0] * (768 - len(colors)))
    return image


def rgba(cell: tuple[int, ...], beside: tuple[int, ...]) -> Image.Image:
    return Image.fromarray(np.array([beside, cell], np.uint8)[CELL])


MASKS = {
    "0 and 255": Image.fromarray(CELL * 255),
    "class number": Image.fromarray(CELL * 7),
    "16 bits": Image.fromarray(CELL.astype(np.uint16) * 300),
    "number in blue": Image.fromarray(np.stack([0 * CELL, 0 * CELL, CELL * 3], -1)),
    "colours": Image.fromarray(np.stack([CELL * 200, CELL * 9, CELL], -1)),
    "palette, black first": palette([0, 0, 0, 128, 0, 0]),
    "palette, white first": palette([255, 255, 255, 0, 0, 0]),
    "palette without black": palette([255, 255, 255, 200, 0, 0]),
    "palette by frequency": palette([255, 255, 255, 0, 0, 0], 1 - CELL),
    "white beside transparent": rgba((255, 255, 255, 255), (255, 255, 255, 0)),
    "black beside transparent": rgba((0, 0, 0, 255), (255, 255, 255, 0)),
    "opaque": rgba((0, 90, 0, 255), (0, 0, 0, 255)),
    "grey and transparent": rgba((0, 0, 0, 128), (0, 0, 0, 0)).convert("LA"),
    "black and white": Image.fromarray(CELL == 1),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_drawn_mask_is_whatever_is_not_background(name):
    file = encoded(MASKS[name])
    np.testing.assert_array_equal(decode_mask(file, CELL.shape, resize=False), CELL == 1)
    half = np.asarray(Image.fromarray(CELL).resize((5, 6), Image.Resampling.NEAREST)) == 1
    np.testing.assert_array_equal(decode_mask(file, (6, 5), resize=True), half)


def test_a_mask_is_turned_by_its_own_tag():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encoded(Image.fromarray(CELL), exif=exif)
    found = decode_mask(file, CELL.shape[::-1], resize=False)
    np.testing.assert_array_equal(found, np.rot90(CELL, -1) == 1)


THREE = np.where(np.arange(10) > 7, np.uint8(2), CELL)  # a third value at the right border
COLORS = np.array([[0, 0, 0, 255], [9, 9, 9, 255], [0, 0, 0, 0]], np.uint8)


@pytest.mark.parametrize(
    ("mask", "cause"),
    [
        (Image.fromarray(np.stack([CELL * 50 + 200] * 3, -1)), "none of them black"),
        (Image.fromarray(COLORS[THREE]), "black ones beside colours"),
        (palette([255, 255, 255, 200, 0, 0, 0, 0, 0], THREE), "both number 0 and black"),
        (Image.fromarray(np.stack([CELL] * 4, -1), "CMYK"), "CMYK"),
    ],
)
def test_a_mask_that_can_be_read_in_two_ways_is_refused(mask, cause):
    file = encoded(mask, "TIFF" if mask.mode == "CMYK" else "PNG")
    with pytest.raises(BadFileError, match=f"has a mask that has .*{cause}.*one channel"):
        decode_mask(file, CELL.shape, resize=False)
