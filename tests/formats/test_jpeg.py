"""JPEG files that are read without Pillow have the pixels, and the faults, that Pillow finds."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cellprep.formats import codec
from cellprep.formats.codec import BadFileError
from cellprep.formats.jpeg import decode_plain


def saved(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def by_pillow(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


@st.composite
def files(draw) -> bytes:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    smooth = rng.integers(0, 256, (3, 3, 3), np.uint8)
    image = Image.fromarray(smooth).resize((width, height), Image.Resampling.BICUBIC)
    if draw(st.booleans()):
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    options = {
        "quality": draw(st.integers(1, 100)),
        "subsampling": draw(st.sampled_from([0, 1, 2])),
        "progressive": draw(st.booleans()),
        "optimize": draw(st.booleans()),
        "restart_marker_blocks": draw(st.sampled_from([0, 1, 3])),
    }
    comment = draw(st.binary(max_size=20))
    if comment:
        options["comment"] = comment
    return saved(image.convert(draw(st.sampled_from(["RGB", "L"]))), **options)


@given(files())
def test_pixels_are_those_of_pillow(file):
    plain = decode_plain(file)
    assert plain is not None
    np.testing.assert_array_equal(plain, by_pillow(file))


@given(files(), st.data())
@settings(max_examples=200)
def test_a_damaged_file_is_judged_as_pillow_judges_it(file, data):
    damaged = bytearray(file)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(damaged[: data.draw(st.integers(2, len(file)))])

    def outcome() -> bytes | str:
        try:
            return codec.decode(damaged, None).tobytes()
        except BadFileError as error:
            return str(error)

    found = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "decode_plain", lambda file: None)
        assert outcome() == found


PIXELS = np.random.default_rng(0).integers(0, 256, (24, 16, 3), np.uint8)
IMAGE = Image.fromarray(PIXELS)
TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(saved(IMAGE, exif=TURNED), id="exif"),
        pytest.param(saved(IMAGE, icc_profile=b"profile"), id="profile"),
        pytest.param(saved(IMAGE.convert("CMYK")), id="cmyk"),
        pytest.param(saved(IMAGE)[:-400], id="truncated"),
        pytest.param(saved(IMAGE)[:100], id="no pixels"),
        pytest.param(b"\xff\xd8", id="two bytes"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_unusual_is_left_to_pillow(file):
    assert decode_plain(file) is None


def test_an_orientation_is_applied():
    upright = codec.decode(saved(IMAGE, exif=TURNED), None)
    np.testing.assert_array_equal(upright, np.rot90(by_pillow(saved(IMAGE)), -1))


def test_no_file_but_a_regular_one_with_the_extension_is_opened(tmp_path):
    file = tmp_path / "a.JPG"
    file.write_bytes(saved(IMAGE))
    assert decode_plain(file) is not None
    assert decode_plain(file.rename(tmp_path / "a.dat")) is None
    assert decode_plain(tmp_path / "missing.jpg") is None
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")  # reading it would wait for ever
        assert decode_plain(tmp_path / "pipe.jpg") is None


@pytest.mark.parametrize("name", ["bccd", "bcisc", "wbc4"])
def test_photographs_have_the_pixels_of_pillow(name, data):
    read = 0
    for file in sorted((data / name).rglob("*.jp*g"))[:40]:
        image = decode_plain(file)
        if image is not None:
            read += 1
            np.testing.assert_array_equal(image, by_pillow(file.read_bytes()), str(file))
    assert read
