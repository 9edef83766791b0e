"""Unusable image folders and image files are named, and the rest is usable."""

from __future__ import annotations

import json
import os
import shutil
import struct

import pytest
from click.testing import CliRunner
from PIL import Image

from cellprep.cli import main

from .helpers import (
    IMAGES,
    class_folders,
    encoded,
    every_command,
    noise,
    refused,
    snapshot,
)


def nothing(root):
    pass


def only_text(root):
    (root / "notes.txt").write_text("no image here")


def only_text_in_a_class(root):
    (root / "a").mkdir()
    (root / "a" / "notes.txt").write_text("no image here")


def loose_images(root):
    class_folders(root)
    shutil.copy(root / "a" / "0.png", root / "loose.png")


def class_without_images(root):
    class_folders(root)
    (root / "c").mkdir()


def class_of_an_empty_folder_called_png(root):
    class_folders(root)
    (root / "c" / "x.png").mkdir(parents=True)


def sizes_that_differ(root):
    class_folders(root)
    Image.fromarray(noise(1, 9)[0]).save(root / "b" / "small.png")


def all_bad(root):
    for path in class_folders(root).glob("*/*"):
        path.write_bytes(b"")


def class_name_that_is_no_text(root):
    class_folders(root)
    os.rename(root / "b", os.fsencode(root) + b"/\xff")


def foreign_dataset_json(root):
    (class_folders(root) / "dataset.json").write_text('{"name": "mine"}')


def unfinished(root):
    (root / ".cellprep").mkdir()


FOLDERS = [
    (nothing, "contains no images; it needs one folder of images per class"),
    (only_text, "contains no images; it needs one folder of images per class"),
    (only_text_in_a_class, "contains no images; add some, or delete it"),
    (loose_images, "1 image outside its class folders"),
    (class_without_images, "c' contains no images; add some, or delete it"),
    (class_of_an_empty_folder_called_png, "c' contains no images; add some, or delete it"),
    (all_bad, "is empty"),
    (class_name_that_is_no_text, "not UTF-8"),
    (foreign_dataset_json, "dataset.json"),
    (unfinished, "not written to the end"),
]


@pytest.mark.parametrize(("build", "message"), FOLDERS)
def test_an_unusable_folder_is_refused(tmp_path, recipe, build, message):
    data = tmp_path / "data"
    data.mkdir()
    build(data)
    every_command(tmp_path, data, recipe, message)


def test_images_of_several_sizes_need_a_size(tmp_path, recipe):
    data = tmp_path / "data"
    sizes_that_differ(data)
    for command in (("convert",), ("run", recipe), ("split",)):
        message = "is 9x9 pixels, most images are 16x16; pass size= (--size) to bring all images"
        refused(tmp_path, *command, data, tmp_path / "out", message=message)


def png_chunk(kind, data):
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_16_bit(channels):
    """A PNG with 16 bits per channel, which Pillow itself cannot write in colour."""
    import zlib

    rows = noise(1, 16, 2 * channels)[0]
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 16, 16, 16, {1: 0, 3: 2}[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


PICTURE = Image.fromarray(IMAGES[0])
GREY = PICTURE.convert("L")
HALF = PICTURE.convert("RGBA")
HALF.putalpha(128)
JPEG = encoded(PICTURE, "JPEG", quality=95)
PAGES = encoded(PICTURE, "TIFF", save_all=True, append_images=[PICTURE, PICTURE])
MOVING = encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)])
KEYED = encoded(PICTURE, "PNG", transparency=tuple(IMAGES[0, 5, 5].tolist()))
FLOAT = encoded(Image.fromarray(IMAGES[0, ..., 0].astype("f4")), "TIFF")
LAB = encoded(Image.frombytes("LAB", (16, 16), IMAGES[0].tobytes()), "TIFF")
BAD_FILES = {
    "empty.png": (b"", "is empty"),
    "text.png": (b"no image", "is not an image file"),
    "html.jpg": (b"<!doctype html><p>404", "is not an image file"),
    "moving.gif": (encoded(PICTURE, "GIF"), "is a GIF file by its content"),
    "gif.jpg": (encoded(PICTURE, "GIF"), "is a GIF file by its content"),
    "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(99), "is "),
    "ani.webp": (encoded(PICTURE, "GIF"), "is a GIF file by its content"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "is damaged"),
    "cut.png": (encoded(PICTURE, "PNG")[:300], "is damaged"),
    "header.png": (encoded(PICTURE, "PNG")[:20], "is damaged"),
    "cut.bmp": (encoded(PICTURE, "BMP")[:300], "is damaged"),
    "cut.tif": (encoded(PICTURE, "TIFF")[:300], "is "),
    "cmyk.jpg": (encoded(PICTURE.convert("CMYK"), "JPEG"), "has CMYK pixels"),
    "lab.tif": (LAB, "has LAB pixels"),
    "float.tif": (FLOAT, "has floating-point pixels"),
    "grey16.png": (png_16_bit(1), "has 16 bits per channel"),
    "rgb16.png": (png_16_bit(3), "has 16 bits per channel"),
    "pages.tif": (PAGES, "contains 3 pictures"),
    "moving.png": (MOVING, "contains 2 pictures"),
    "half.png": (encoded(HALF, "PNG"), "is partly transparent"),
    "keyed.png": (KEYED, "is partly transparent"),
    "keyed_grey.png": (
        encoded(GREY, "PNG", transparency=GREY.getpixel((5, 5))),
        "is partly transparent",
    ),
    "small.png": (encoded(PICTURE.resize((9, 9)), "PNG"), "is 9x9 pixels"),
    "vast.bmp": (
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 50000, 50000, 1, 24, *[0] * 6),
        "has more pixels than the limit",
    ),
}


@pytest.mark.parametrize(("name", "contents", "cause"), [(k, *v) for k, v in BAD_FILES.items()])
def test_an_unusable_image_file_is_named(tmp_path, recipe, name, contents, cause):
    data = class_folders(tmp_path / "data")
    (data / "b" / name).write_bytes(contents)
    for command in (("convert",), ("run", recipe), ("split",)):
        message = f"1 image cannot be used: b/{name}: {cause}"
        refused(tmp_path, *command, data, tmp_path / "out", message=message)


@pytest.mark.unix("no named pipes")
def test_broken_links_and_pipes_are_named(tmp_path):
    data = class_folders(tmp_path / "data")
    (data / "b" / "gone.png").symlink_to(tmp_path / "absent.png")
    message = "b/gone.png: No such file or directory"
    refused(tmp_path, "convert", data, tmp_path / "out", message=message)
    (data / "b" / "gone.png").unlink()
    (data / "b" / "loop.png").symlink_to(data / "b" / "loop.png")
    message = "b/loop.png: Too many levels of symbolic links"
    refused(tmp_path, "convert", data, tmp_path / "out", message=message)
    (data / "b" / "loop.png").unlink()
    os.mkfifo(data / "b" / "pipe.png")  # opening it would block
    refused(
        tmp_path, "convert", data, tmp_path / "out", message="b/pipe.png: is not a regular file"
    )


@pytest.mark.parametrize("on_error", ["skip", "quarantine"])
@pytest.mark.parametrize(
    "command",
    [
        "convert",
        "run",
        "split",
        "demo",
    ],
)
def test_good_files_are_written_as_if_there_were_no_bad_ones(tmp_path, on_error, command):
    clean = class_folders(tmp_path / "clean", 30)
    dirty = tmp_path / "dirty"
    shutil.copytree(clean, dirty)
    bad_files = dict(BAD_FILES)
    if command == "demo":
        del bad_files["small.png"]  # the demo resizes images of several sizes
    for name, (contents, _) in bad_files.items():
        (dirty / "a" / name).write_bytes(contents)
    (dirty / "a" / "gone.png").symlink_to(tmp_path / "absent.png")
    causes = {name: cause for name, (_, cause) in bad_files.items()}
    causes["gone.png"] = "No such file"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[[steps]]\nstep = "Dedupe"\n[[steps]]\nstep = "Balance"\ntarget = 32\n'
        '[[steps]]\nstep = "RandAugment"\n'
    )
    before = snapshot(dirty)
    for data in (clean, dirty):
        out = tmp_path / f"{data.name}_out"
        line = {
            "convert": ["convert", data, out],
            "run": ["run", recipe, data, out, "--seed", 3],
            "split": ["split", data, out],
            "demo": ["demo", "--data", data, "--out", out],
        }[command]
        result = CliRunner().invoke(main, [*map(str, line), "--on-error", on_error])
        assert result.exit_code == 0, result.output
    assert snapshot(dirty) == before

    clean_out, dirty_out = tmp_path / "clean_out", tmp_path / "dirty_out"
    shards = {path: bytes_ for path, bytes_ in snapshot(clean_out).items() if path.suffix == ".npy"}
    assert shards
    written = snapshot(dirty_out)
    assert {path: written[path] for path in written if path.suffix == ".npy"} == shards
    for manifest in dirty_out.rglob("dataset.json"):
        bad = json.loads(manifest.read_text())["bad"]
        assert bad.keys() == {f"a/{name}" for name in causes}
        assert all(cause in bad[f"a/{name}"] for name, cause in causes.items())
        copies = snapshot(manifest.parent / "quarantine") if on_error == "quarantine" else {}
        copies = {str(path): contents for path, contents in copies.items() if contents is not None}
        expected = {f"a/{name}": contents for name, (contents, _) in bad_files.items()}
        assert copies == (expected if on_error == "quarantine" else {})
        assert not (manifest.parent / "quarantine").exists() or on_error == "quarantine"
