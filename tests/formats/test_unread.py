"""Nothing in an input disappears silently: what is not read is listed with its cause."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cellprep as cp
from cellprep.cli import main

from .exchange_helpers import png, tar_of

PICTURES = np.random.default_rng(1).integers(0, 256, (8, 12, 12, 3), np.uint8)


def encoded(kind: str, picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes of two images."""
    path = tmp_path / "in"
    for number, name in enumerate(("baso/0.png", "baso/1.png", "mono/0.png", "mono/1.png")):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(png(PICTURES[number]))
    return path


def test_everything_else_in_a_folder_is_listed_everywhere(folder, tmp_path) -> None:
    for name in (
        *("notes.txt", "baso/7", "mono/1.xml", "baso/Thumbs.db", "baso/.hidden.png"),
        *("__MACOSX/baso/._0.png", "mono/@eaDir/1.png/thumb.png"),
        *("baso/.ipynb_checkpoints/0-checkpoint.png", "mono/thumbnails/1.png"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(PICTURES[5]))
    (folder / "lost+found").mkdir()
    (folder / "mono" / "file").symlink_to("nowhere")
    (folder / "mono" / "gone").symlink_to("no/folder", target_is_directory=True)
    (folder / "mono" / "round").symlink_to(folder, target_is_directory=True)
    cells = cp.read(folder)
    assert cells.counts() == {"baso": 2, "mono": 2}
    system = "is hidden or belongs to the operating system"
    expected = {
        "notes.txt": "has the extension .txt",
        "baso/7": "has no extension",
        "mono/1.xml": "has the extension .xml",
        "baso/Thumbs.db": system,
        "baso/.hidden.png": system,
        "__MACOSX/": f"{system} (1 file)",
        "mono/@eaDir/": f"{system} (1 file)",
        "baso/.ipynb_checkpoints/": f"{system} (1 file)",
        "mono/thumbnails/": f"{system} (1 file)",
        "lost+found/": system,
        "mono/file": "is a link to nothing",
        "mono/gone": "is a link to nothing",
        "mono/round": "is a link to a folder above it",
    }
    assert cells.unread == expected
    assert cells.readable().unread == expected
    written = cp.write(cells, tmp_path / "out", progress=False)
    assert written.unread == expected
    assert "13 files not read" in str(written)
    assert json.loads((tmp_path / "out/dataset.json").read_text())["unread"] == expected
    said = CliRunner().invoke(main, ["inspect", str(folder)]).output
    assert "not read 13 files: 4 x is hidden" in said
    found = json.loads(CliRunner().invoke(main, ["inspect", str(folder), "--json"]).output)
    assert found["unread"] == expected
    page = cp.report(cells, tmp_path / "page.html")
    assert page.attention["unread"] == "13 files not read"
    assert "mono/1.xml" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("kind", ["ppm", "pgm", "webp", "jp2"])
def test_more_kinds_of_images_are_read(kind, folder) -> None:
    picture = PICTURES[6]
    image = Image.fromarray(picture)
    image = image.convert("L") if kind == "pgm" else image
    image.save(folder / "baso" / f"2.{kind}", lossless=True, irreversible=False)
    cells = cp.read(folder)
    row = cells.ids.tolist().index(f"baso/2.{kind}")
    np.testing.assert_array_equal(cells.images[row], np.asarray(image.convert("RGB")))
    assert cells.unread == {}


def test_images_with_more_than_8_bits_are_refused_in_the_new_kinds_too(folder) -> None:
    deep = np.arange(144, dtype=np.uint16).reshape(12, 12) * 400
    (folder / "mono" / "2.pgm").write_bytes(b"P5 12 12 65535\n" + deep.astype(">u2").tobytes())
    three = np.repeat(deep[..., None], 3, axis=2)
    (folder / "mono" / "2.ppm").write_bytes(b"P6 12 12 65535\n" + three.astype(">u2").tobytes())
    Image.fromarray(deep).save(folder / "mono" / "2.jp2")
    bad = cp.read(folder).readable().bad
    assert {*bad} == {"mono/2.pgm", "mono/2.ppm", "mono/2.jp2"}
    assert all("has 16 bits per channel" in cause for cause in bad.values())


def test_names_in_tar_files_may_have_dots_and_nothing_is_lost(tmp_path) -> None:
    jpeg, web = encoded("JPEG", PICTURES[0]), encoded("WEBP", PICTURES[1])
    members = {
        **{"slide_12.5x_0.jpg": jpeg, "slide_12.5x_0.cls": b"0"},
        **{
            "a.b/c.1.2.webp": web,
            "a.b/c.1.2.json": b'{"label": 1, "cls": 1}',
            "a.b/c.1.2.cls": b"1",
        },
        **{"7.input.png": png(PICTURES[2]), "7.cls": b"0", "7.txt": b"a caption"},
        **{"8.png": png(PICTURES[3]), "8.seg.png": png(PICTURES[4]), "8.cls": b"1"},
        **{"9.cls": b"1", "10.left.png": jpeg, "10.right.png": jpeg, "10.cls": b"0"},
        **{"README": b"", "__MACOSX/._8.png": b"", "11.pyd": b""},
    }
    path = tar_of(tmp_path / "cells.tar", members)
    cells = cp.read(path)
    assert {*cells.ids.tolist()} == {"slide_12.5x_0", "a.b/c.1.2", "7", "8"}
    np.testing.assert_array_equal(cells.images[cells.ids.tolist().index("8")], PICTURES[3])
    assert cells.unread == {
        "cells.tar: 7.txt": "has the extension .txt",
        "cells.tar: 8.seg.png": "is one of several images of sample '8'",
        "cells.tar: 9.cls": "has no image",
        "cells.tar: 10.left.png": "is one of several images of sample '10'",
        "cells.tar: 10.right.png": "is one of several images of sample '10'",
        "cells.tar: 10.cls": "has no image",
        "cells.tar: README": "has no extension",
        "cells.tar: __MACOSX/._8.png": "is hidden or belongs to the operating system",
        "cells.tar: 11.pyd": "has the extension .pyd",
    }


def test_files_beside_tables_tars_and_records_are_listed(tmp_path) -> None:
    tar_of(tmp_path / "0.tar", {"baso/0.png": png(PICTURES[0]), "mono/1.png": png(PICTURES[1])})
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "more.zip").write_bytes(b"")
    assert cp.read(tmp_path).unread == {
        "README.md": "has the extension .md",
        "more.zip": "has the extension .zip",
    }
    np.savez(tmp_path / "x.npz", images=PICTURES, labels=[0, 1] * 4, extra=[1])
    assert cp.read(tmp_path / "x.npz").unread == {"extra.npy": "is not one of the arrays read"}


@pytest.mark.parametrize("format", ["folder", "shards", "webdataset"])
def test_files_that_a_written_set_does_not_know_are_listed(format, tmp_path) -> None:
    cells = cp.Dataset.from_arrays(PICTURES, ["a", "b"] * 4)
    cp.write(cells, tmp_path / "out", format=format, progress=False)
    assert cp.read(tmp_path / "out").unread == {}
    (tmp_path / "out" / "new.png").write_bytes(png(PICTURES[0]))
    assert cp.read(tmp_path / "out").unread == {"new.png": "is not in the index of this data set"}
    assert "new.png" in CliRunner().invoke(main, ["inspect", str(tmp_path / "out")]).output
