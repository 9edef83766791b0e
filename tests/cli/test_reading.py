"""`cellprep` reads label layouts, image modes, orientations and file names like the library."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import cellprep as cp

from .helpers import noise, run

CODES = np.array([0, 2, 1, 0, 1, 2])
LABELS = {
    "(n,)": CODES,
    "(n, 1)": CODES[:, None],
    "one-hot": np.eye(3, dtype=int)[CODES],
    "one-hot float": np.eye(3, dtype="f4")[CODES],
    "one-hot bool": np.eye(3, dtype=bool)[CODES],
    "uint8": CODES.astype("u1"),
    "uint64": CODES.astype("u8"),
    "big-endian": CODES.astype(">i4"),
    "float": CODES.astype(float),
    "text": CODES.astype(str),
    "text (n, 1)": CODES.astype(str)[:, None],
    "bytes": CODES.astype("S1"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_all_label_layouts_are_read_alike(tmp_path, labels, save):
    images = noise(6)
    save(tmp_path / "in.npz", images=images, labels=labels)
    assert run("convert", tmp_path / "in.npz", tmp_path / "out", "--json")["rows"] == 6
    out = cp.read(tmp_path / "out")
    np.testing.assert_array_equal(out.labels, CODES)
    assert out.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(out.to_arrays()[0], images)


def test_class_names_as_bytes(tmp_path):
    names = ["baso", "mégak", "mono"]
    encoded = np.array([name.encode() for name in names])
    np.savez(tmp_path / "in.npz", images=noise(6), labels=CODES, class_names=encoded)
    assert list(run("inspect", tmp_path / "in.npz", "--json")["classes"]) == names


def test_npz_with_any_file_name(tmp_path, messy):
    run("convert", messy, tmp_path / "data", "--format", "npz")
    assert run("inspect", tmp_path / "data", "--from", "npz", "--json")["images"] == 20


def test_images_in_fortran_order(tmp_path):
    images = np.asfortranarray(noise(6))
    np.savez(tmp_path / "in.npz", images=images, labels=CODES)
    np.testing.assert_array_equal(cp.read(tmp_path / "in.npz").to_arrays()[0], images)


def opaque(image):
    image.putalpha(255)
    return image


MODES = {
    "RGB": lambda image: image,
    "L": lambda image: image.convert("L"),
    "1": lambda image: image.convert("1"),
    "P": lambda image: image.quantize(17),
    "RGBA": opaque,
    "LA": lambda image: opaque(image.convert("L")),
}
KINDS = [
    (kind, mode)
    for kind in ("png", "bmp", "tif", "jpg")
    for mode in MODES
    if (kind, mode) not in {("jpg", m) for m in ("1", "P", "RGBA", "LA")} | {("bmp", "LA")}
]


@pytest.mark.parametrize(("kind", "mode"), KINDS)
def test_files_have_the_pixels_that_pillow_reads(tmp_path, kind, mode):
    (tmp_path / "in" / "a").mkdir(parents=True)
    picture = MODES[mode](Image.fromarray(noise(1, 11, 7)[0]))
    file = tmp_path / "in" / "a" / f"x.{kind.upper()}"  # capitals make no difference
    picture.save(file)
    run("convert", tmp_path / "in", tmp_path / "out")
    with Image.open(file) as saved:
        expected = np.asarray(saved.convert("RGB"))
    if kind != "jpg":
        np.testing.assert_array_equal(expected, np.asarray(picture.convert("RGB")))
    np.testing.assert_array_equal(cp.read(tmp_path / "out").images[0], expected)


UPRIGHT = {  # by the EXIF standard: the sides that stored row 0 and column 0 are on
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.transpose(1, 0, 2),  # left, top
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],  # right, top
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
    8: lambda a: a.transpose(1, 0, 2)[::-1],  # left, bottom
}


@pytest.mark.parametrize("kind", ["png", "tif", "jpg"])
def test_exif_orientation_is_applied(tmp_path, kind):
    stored = np.zeros((24, 16, 3), np.uint8)
    stored[:8, :8], stored[8:, 8:, 0] = 255, 128
    for orientation in UPRIGHT:
        file = tmp_path / f"{orientation}" / "a" / f"x.{kind}"
        file.parent.mkdir(parents=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"quality": 100, "subsampling": 0} if kind == "jpg" else {}
        Image.fromarray(stored).save(file, exif=exif, **options)
        seen = cp.read(tmp_path / f"{orientation}").images[0]
        expected = UPRIGHT[orientation](stored)
        assert seen.shape == expected.shape
        np.testing.assert_allclose(seen.astype(int), expected, atol=3 if kind == "jpg" else 0)
        height, width = expected.shape[:2]
        found = run("inspect", tmp_path / f"{orientation}", "--json")
        assert found["sizes"] == {f"{height}x{width}": 1}


def test_unusual_file_and_folder_names(tmp_path):
    """Any name is kept as it is; hidden files and files that are not images are ignored."""
    names = [
        "a b/it's.png",
        'a b/say "x".png',
        "a b/deep/er/x.png",
        "a b/x.jfif",
        "a b/.x.png",
        "a b/.ipynb_checkpoints/x.png",
        "a b/notes.txt",
        "a b/folder.png/x.png",
        "Größe/細胞.png",
        "Größe/non\u00a0breaking.png",
        "Größe/x,y;$HOME%20.png",
        ".hidden/x.png",
    ]
    images = noise(len(names))
    for name, image in zip(names, images, strict=True):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "in" / name, "PNG")
    seen = [name for name in names if "/." not in f"/{name}" and not name.endswith(".txt")]
    found = run("inspect", tmp_path / "in", "--json")
    assert found["classes"] == {"Größe": 3, "a b": 5}
    for out in ("shards", "out.npz", "png"):
        kind = ("--format", "folder") if out == "png" else ()
        run("convert", tmp_path / "in", tmp_path / out, *kind)
        cells = cp.read(tmp_path / out)
        assert sorted(cells.ids.tolist()) == sorted(seen)
        for number, name in enumerate(cells.ids.tolist()):
            np.testing.assert_array_equal(cells.images[number], images[names.index(name)])
            assert cells.class_names[cells.labels[number]] == name.split("/")[0]


def test_size_resizes_every_image(tmp_path):
    for number, side in enumerate((9, 16, 30)):
        file = tmp_path / "in" / "a" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(1, side, side + 1)[0]).save(file)
    run("convert", tmp_path / "in", tmp_path / "out", "--size", 12)
    for number, image in enumerate(cp.read(tmp_path / "out").images[:]):
        with Image.open(tmp_path / "in" / "a" / f"{number}.png") as saved:
            expected = np.asarray(saved.resize((12, 12), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(image, expected)


def test_images_left_out_by_id_are_left_out_everywhere(tmp_path):
    for number, image in enumerate([*noise(6), *noise(2, seed=1)[[0, 0]]]):
        (tmp_path / "in" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        side = 16 if number else 24
        picture = Image.fromarray(image).resize((side, side))
        picture.save(tmp_path / "in" / "ab"[number % 2] / f"{number}.png")
    (tmp_path / "bad.csv").write_text("id,why\na/0.png,other size\na/6.png,copy\n")
    left = ("--without", tmp_path / "bad.csv")
    found = run("inspect", tmp_path / "in", "--json")
    assert (found["images"], found["duplicate_images"], len(found["sizes"])) == (8, 2, 2)
    found = run("inspect", tmp_path / "in", *left, "--json")
    assert (found["images"], found["duplicate_images"]) == (6, 0)
    assert found["sizes"] == {"16x16": 6}
    run("duplicates", tmp_path / "in", code=1)
    assert "no duplicates among 6 images" in run("duplicates", tmp_path / "in", *left)
    page = tmp_path / "page.html"
    assert run("report", tmp_path / "in", *left, "-o", page, "--json")["images"] == 6
    (tmp_path / "bad.csv").write_text("id\na/00.png\n")
    error = run("inspect", tmp_path / "in", *left, code=2)
    assert "no image has the id 'a/00.png'; did you mean 'a/0.png'?" in error


def test_the_same_folders_in_every_class_folder_are_pointed_out(tmp_path):
    for place in ("new/a", "new/b", "old/a", "old/b"):
        (tmp_path / "set" / place).mkdir(parents=True)
        for n in range(2):
            Image.fromarray(noise(1, seed=len(place) + 10 * n)[0]).save(
                tmp_path / "set" / place / f"{n}.png"
            )
    note = "every class folder contains the folders a, b: if these are the classes, read new/ and"
    assert f"folders  {note}" in run("inspect", tmp_path / "set")
    run("report", tmp_path / "set", "-o", tmp_path / "report.html")
    assert note[1:] in (tmp_path / "report.html").read_text(encoding="utf-8")
    (tmp_path / "set" / "old" / "c").mkdir()
    (tmp_path / "set" / "old" / "b" / "0.png").rename(tmp_path / "set" / "old" / "c" / "0.png")
    assert "folders  " not in run("inspect", tmp_path / "set")


def test_the_nearest_name_is_suggested_for_a_path_that_does_not_exist(tmp_path):
    (tmp_path / "smears").mkdir()
    error = run("inspect", tmp_path / "smear", code=2)
    assert f"did you mean '{tmp_path / 'smears'}'?" in " ".join(error.split())
    assert "did you mean" not in run("inspect", tmp_path / "elsewhere.npz", code=2)
