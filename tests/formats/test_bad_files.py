"""Of 2,000 files 5 % are damaged: each is named once, and the rest is written as without them."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cellprep as cp

N, SIDE = 2_000, 16
NOBODY = 65534
RECIPE = cp.Recipe(
    [cp.Dedupe(), cp.Balance(jitter=None), cp.RandAugment(copies=1, num_ops=1)], seed=3
)
KINDS = {"jpg": "JPEG", "png": "PNG", "bmp": "BMP", "tif": "TIFF"}


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def grey_16_bit() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 0, 0, 0, 0)
    lines = zlib.compress(bytes(SIDE * (1 + 2 * SIDE)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("absent.png")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def link_out_of_the_folder(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def odd_name(path: Path) -> Path:
    return path.rename(os.fsdecode(os.fsencode(path.with_suffix("")) + b"\xff.png"))


def writes(make: Callable[[Image.Image], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(make(Image.open(path).convert("RGB"))) and None


Damage = Callable[[Path], Path | None]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "cut": (writes(lambda image: encoded(image, "JPEG")[:-100]), "is damaged"),
    "empty": (writes(lambda image: b""), "is empty"),
    "zeros": (writes(lambda image: bytes(1000)), "is not an image file"),
    "text": (writes(lambda image: b"no image"), "is not an image file"),
    "gif": (writes(lambda image: encoded(image, "GIF")), "is a GIF file by its content"),
    "cmyk": (writes(lambda image: encoded(image.convert("CMYK"), "JPEG")), "has CMYK pixels"),
    "deep": (writes(lambda image: grey_16_bit()), "has 16 bits per channel"),
    "large": (writes(lambda image: encoded(image.resize((40, 9)), "PNG")), "is 9x40 pixels"),
    "locked": (lambda path: path.chmod(0), "Permission denied"),
    "link": (broken_link, "No such file or directory"),
    "loop": (link_to_itself, "Too many levels of symbolic links"),
    "out": (link_out_of_the_folder, "is not an image file"),
    "name": (odd_name, "has a name that is not UTF-8 text"),
}


if os.name == "nt":  # whose files can always be read, have names of letters, and no such links
    for _damage in ("locked", "loop", "out", "name"):
        del DAMAGES[_damage]


@contextmanager
def without_privileges(folder: Path) -> Iterator[None]:
    """Run as a user who owns the folder, but cannot read every file."""
    if os.name == "nt" or os.geteuid():
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    try:
        os.seteuid(NOBODY)
    except OSError as error:
        pytest.skip(f"root reads locked files, and may not become another user here: {error}")
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(scope="module")
def folders() -> Iterator[tuple[Path, dict[str, str]]]:
    """Folders `clean` and `dirty`, and the cause of each bad file in `dirty`."""
    root = Path(tempfile.mkdtemp())  # other users cannot read pytest's folders
    rng = np.random.default_rng(5)
    for number in range(N):
        kind = [*KINDS][number % 4]
        path = root / "dirty" / "abcd"[number % 7 % 4] / f"{number:04}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8) & (0 if number % 90 == 1 else 255)
        path.write_bytes(encoded(Image.fromarray(pixels), KINDS[kind]))
    files = sorted((root / "dirty").rglob("*.*"))
    chosen = rng.choice(np.arange(1, N), N // 20, replace=False).tolist()
    shutil.copytree(root / "dirty", root / "clean")
    causes = {}
    for number, position in enumerate(chosen):
        damage, cause = DAMAGES[[*DAMAGES][number % len(DAMAGES)]]
        path = files[position]
        (root / "clean" / path.relative_to(root / "dirty")).unlink()
        path = damage(path) or path
        causes[str(path.relative_to(root / "dirty"))] = cause
    write(root / "clean", root / "expected")
    yield root, causes
    shutil.rmtree(root)


def write(source: Path, path: Path, on_error: str = "raise") -> cp.Written:
    made = RECIPE(cp.read(source).readable() if on_error != "raise" else cp.read(source))
    return cp.write(made, path, rows_per_shard=500, on_error=on_error, progress=False, workers=2)


def check_causes(found: dict[str, str], causes: dict[str, str]) -> None:
    assert found.keys() == causes.keys()
    wrong = {name: found[name] for name, cause in causes.items() if cause not in found[name]}
    assert wrong == {}


def test_raise_names_every_bad_file_and_writes_nothing(folders):
    root, causes = folders
    with without_privileges(root), pytest.raises(cp.BadImagesError, match="100 images") as raised:
        write(root / "dirty", root / "raised")
    check_causes(raised.value.causes, causes)
    assert not (root / "raised").exists()


@pytest.mark.parametrize("on_error", ["skip", "quarantine"])
def test_good_files_are_written_as_if_there_were_no_bad_ones(folders, on_error):
    root, causes = folders
    with without_privileges(root):
        written = write(root / "dirty", root / on_error, on_error)
    check_causes(dict(written.bad), causes)
    manifest = json.loads((root / on_error / "dataset.json").read_text())
    check_causes(manifest["bad"], causes)
    expected = sorted((root / "expected").glob("shard-*.npy"))
    assert len(expected) > 3
    for file in (*expected, root / "expected" / "index.parquet"):
        assert (root / on_error / file.name).read_bytes() == file.read_bytes(), file.name
    names = {path.name for path in (root / on_error).iterdir()} - {"quarantine"}
    assert names == {path.name for path in (root / "expected").iterdir()}

    quarantine = root / on_error / "quarantine"
    copies = {str(path.relative_to(quarantine)) for path in quarantine.glob("*/*")}
    within = {name for name in causes if can_be_copied(root / "dirty" / name)}
    assert copies == (within if on_error == "quarantine" else set())
    assert written.quarantined == len(copies)
    for name in copies:
        assert (quarantine / name).read_bytes() == (root / "dirty" / name).read_bytes()


def can_be_copied(path: Path) -> bool:
    """False for unreadable files and for links."""
    return not path.is_symlink() and path.stat().st_mode & 0o777 != 0
