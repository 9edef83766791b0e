"""Damaged image files and recipes: read, or refused in one line."""

from __future__ import annotations

import io
import re
import struct
import zlib
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp

from .fuzz_helpers import (
    CELLS,
    CHANGES,
    IMAGES,
    damaged,
    fuzzed,
    put_files,
    reads_or_refuses,
    succeeds_or_prints_one_line,
)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def pictures() -> dict[str, bytes]:
    picture, found = Image.fromarray(IMAGES[0]), {}
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in {
        **{"a.jpg": {"exif": exif}, "b.jpg": {"progressive": True}, "a.png": {}, "a.bmp": {}},
        **{"b.png": {"pnginfo": None, "exif": exif}, "a.tif": {}, "a.gif": {}},
        **{"b.tif": {"compression": "tiff_lzw"}, "c.tif": {"compression": "jpeg"}},
        "d.tif": {"compression": "tiff_adobe_deflate"},
    }.items():
        file = io.BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name[-3:].upper())
        picture.save(file, kind, **options)
        found[name] = file.getvalue()
    for mode in ("1", "L", "P", "LA", "RGBA"):
        file = io.BytesIO()
        picture.convert(mode).save(file, "PNG")
        found[f"{mode}.png"] = file.getvalue()
    return found


@fuzzed(250)
@given(st.sampled_from(sorted(pictures())), CHANGES, st.booleans())
def test_damaged_image_files_are_read_or_refused(tmp_path_factory, name, changes, command):
    data = tmp_path_factory.getbasetemp() / "pictures"
    files = {f"pictures/{label}/good.png": pictures()["a.png"] for label in "ab"}
    files[f"pictures/b/{name}"] = damaged(pictures()[name], changes)
    put_files(files, data)
    reads_or_refuses(data / "pictures")
    if command:
        succeeds_or_prints_one_line("inspect", data / "pictures")


@pytest.mark.parametrize("side", [10_001, 2**31 - 1])
def test_an_image_with_too_many_pixels_is_refused_by_its_header(side, tmp_path):
    size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(10**6)))
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(IMAGES[0]).save(tmp_path / label / "good.png")
    (tmp_path / "b" / "bomb.png").write_bytes(bomb + chunk(b"IEND", b""))
    bad = cp.read(tmp_path).readable().bad
    assert list(bad) == ["b/bomb.png"]
    assert "limit of 100,000,000" in bad["b/bomb.png"] or "is damaged" in bad["b/bomb.png"]


TOML = cp.Recipe(
    [
        *(cp.Dedupe(near=4), cp.Balance(target={"a": 3, "b": 3}), cp.Crop(8, resize_to=9)),
        *(cp.KMeansMask(), cp.Jitter(), cp.RandAugment(copies=1)),
    ]
).to_toml()
SETTINGS = re.findall(r"^(\w+) = ", TOML, re.MULTILINE)
# fmt: off
TOML_VALUES = st.sampled_from([
    "-1", "0", "3", "1e308", "nan", "inf", "-inf", "0.5", "true", "false", '""', '"a"', "[]", "{}",
    "9223372036854775807", "-9223372036854775808", "99999999999999999999", "[[1]]", "{a = 1}",
    "1979-05-27", "1979-05-27T07:32:00", '"max"', '"keras_cv"', '["a"]', "{b = -1}", "[nan]",
    "{" + "a = {" * 50 + "}" * 51, '"\\u0000"',
])


@fuzzed(150)
@given(st.data())
def test_damaged_recipes_are_read_or_refused(tmp_path_factory, data):
    if data.draw(st.booleans()):
        text = damaged(TOML.encode(), data.draw(CHANGES))
    else:
        name, value = data.draw(st.sampled_from(SETTINGS)), data.draw(TOML_VALUES)
        text = re.sub(rf"(?m)^{name} = .*", lambda _: f"{name} = {value}", TOML).encode()
    path = tmp_path_factory.getbasetemp() / "recipe.toml"
    path.write_bytes(text)
    with suppress(cp.CellprepError):
        recipe = cp.Recipe.from_toml(path)
        assert cp.Recipe.from_toml(recipe.to_toml()) == recipe
        len(recipe(CELLS))
