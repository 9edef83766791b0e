"""Damaged files are reported, and only these are rewritten."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp
from cellprep.cli import main
from cellprep.errors import CellprepError
from cellprep.formats import FORMATS
from cellprep.synthetic import draw_cells
from cellprep.writing import shards
from cellprep.writing.records import ShardRecord, load_intact, save_record
from cellprep.writing.shards import ShardTask

from .. import manifests
from .test_kills import NAMES, tree
from .verify_helpers import DAMAGE, FOLDERS, cells, checked_files, flip, remove, write


@pytest.mark.parametrize("format", [name for name in NAMES if FORMATS[name].is_file])
def test_an_archive_without_one_array_is_damaged(tmp_path, format) -> None:
    path = tmp_path / "out.npz"
    write(path, format)
    assert not len(cp.verify(path))
    assert write(path, format).repaired == 0
    gone = f"{FORMATS[format].members[0]}.npy"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "less.npz", "w") as less:
        for name in whole.namelist():
            if name != gone:
                less.writestr(name, whole.read(name))
    (tmp_path / "less.npz").replace(path)
    assert cp.verify(path)["file"].tolist() == [gone]
    assert write(path, format).repaired == len(cells())


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("format", FOLDERS)
def test_any_damaged_file_is_reported_and_rewritten(format, what, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    expected = tree(path)
    (path / "notes.txt").write_text("mine")  # not ours, so not checked
    assert not len(cp.verify(path, progress=False))
    damage, states = DAMAGE[what]
    every = checked_files(path)
    every.remove("notes.txt")
    for name in {every[0], every[len(every) // 2], every[-1], "index.parquet"}:
        damage(path / name)
        before = tree(path)
        table = cp.verify(path, progress=False)
        assert list(table["file"]) == [name]
        assert table["state"][0] in states
        assert tree(path) == before
        again = write(path, format)
        assert (again.rows, again.resumed + again.repaired) == (24, 24)
        if name == "index.parquet":
            assert again.repaired == 24
        assert ("rewritten" in str(again)) == (again.repaired > 0)
        assert tree(path) == {**expected, "notes.txt": b"mine"}


@pytest.mark.parametrize("format", FOLDERS)
def test_swapped_files_are_reported_and_rewritten(format, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    expected = tree(path)
    shard = "*.png" if format == "folder" else {"zarr": "c.*.0.0.0"}.get(format, "*-0000*")
    one, two = sorted(path.rglob(shard))[:2]
    one.rename(tmp_path / "one")
    two.rename(one)
    (tmp_path / "one").rename(two)
    assert set(cp.verify(path)["file"]) == {str(file.relative_to(path)) for file in (one, two)}
    assert write(path, format).repaired
    assert tree(path) == expected


@pytest.mark.parametrize("format", FOLDERS)
def test_only_damaged_files_are_rewritten(format, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    victim = checked_files(path)[0]
    (path / victim).unlink()
    dated = {name: (path / name).stat().st_mtime_ns for name in checked_files(path)}
    write(path, format)
    assert {
        name: (path / name).stat().st_mtime_ns for name in checked_files(path)
    }.items() > dated.items()


@pytest.mark.parametrize("format", FOLDERS)
def test_an_interrupted_repair_is_resumed(format, tmp_path, monkeypatch):
    """All shards and the index are damaged."""
    path = tmp_path / "out"
    write(path, format)
    expected = tree(path)
    for name in checked_files(path):
        flip(path / name)
    begun, make = [], ShardTask.__call__

    def fails_at_the_third(self: ShardTask, span: tuple[int, int]) -> Any:
        begun.append(span)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return make(self, span)

    monkeypatch.setattr(ShardTask, "__call__", fails_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        write(path, format, workers=1)
    assert len(cp.verify(path, progress=False))
    assert write(path, format, workers=1).repaired == 24
    assert [start for start, _ in begun] == [0, 5, 10, 10, 15, 20]
    assert tree(path) == expected


def test_a_shard_that_does_not_match_its_recorded_digest_is_not_replaced(tmp_path):
    path = tmp_path / "out"
    write(path)
    saved = manifests.load(path)
    saved["shards"][1]["files"]["shard-00001.npy"]["xxh3_128"] = "0" * 32
    manifests.save(path, saved)
    before = tree(path)
    with pytest.raises(CellprepError, match=r"shard-00001.npy', .*not match .*overwrite="):
        write(path)
    assert {k: v for k, v in tree(path).items() if not k.startswith(".cellprep")} == before


def no_index(path: Path, records: Iterable[ShardRecord], shards: int) -> None:
    assert list(records)
    raise ZeroDivisionError


@pytest.mark.parametrize("format", FOLDERS)
def test_a_record_whose_shard_is_damaged_is_ignored(format, tmp_path, monkeypatch):
    """After a power cut, files may be missing although their record is complete."""
    path = tmp_path / "out"
    write(tmp_path / "reference", format)
    with monkeypatch.context() as patched:
        patched.setattr(shards, "write_index", no_index)
        with pytest.raises(ZeroDivisionError):
            write(path, format)
    (path / ".cellprep" / "part-00003.arrow").write_bytes(b"")
    ((_, entry),) = load_intact([path / ".cellprep" / "part-00000.arrow"])
    flip(path / next(iter(entry["files"])) if entry["files"] else next(path.rglob("*.png")))
    again = write(path, format)
    assert again.repaired in (9, 10)  # two of five shards; the last has four rows
    assert again.resumed == 24 - again.repaired
    assert tree(path) == tree(tmp_path / "reference")


@given(data=st.data())
def test_any_change_of_a_record_is_detected(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "part-00000.arrow"
    saved = pa.table({"row": [3, 4]}), {"rows": 2, "files": {"a.npy": {"bytes": 1}}}
    save_record(path, *saved)
    assert list(load_intact([path])) == [saved]
    held = path.read_bytes()
    at, by = data.draw(st.integers(0, len(held) - 1)), data.draw(st.integers(1, 255))
    flipped = held[:at] + bytes([held[at] ^ by]) + held[at + 1 :]
    for damaged in (flipped, held[:at], held + bytes([by])):
        path.write_bytes(damaged)
        assert list(load_intact([path])) == [None]


def test_an_archive_is_checked_by_its_checksums(tmp_path):
    path = tmp_path / "out.npz"
    write(path, "npz")
    expected = path.read_bytes()
    assert not len(cp.verify(path, progress=False))
    flip(path)
    table = cp.verify(path, progress=False)
    assert list(table["file"]) == ["images.npy"]
    assert write(path, "npz").repaired == 24
    assert path.read_bytes() == expected
    path.write_bytes(expected[:-100])
    assert list(cp.verify(path, progress=False)["state"]) == ["cut short"]


def test_verify_command_has_an_exit_code_for_each_case(tmp_path):
    path = tmp_path / "out"
    write(path)
    line = ["verify", str(path)]
    done = CliRunner().invoke(main, line)
    assert (done.exit_code, "24 images, all intact" in done.output) == (0, True)
    remove(path / "masks-00002.npy")
    flip(path / "shard-00001.npy")
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 1
    assert "shard-00001.npy: wrong bytes (5 images)" in done.output
    assert "masks-00002.npy: missing (5 images)" in done.output
    done = CliRunner().invoke(main, [*line, "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["damaged"][1] == {
        "file": "masks-00002.npy",
        "rows": 5,
        "state": "missing",
    }
    (tmp_path / "text").write_text("mine")
    (tmp_path / "empty").mkdir()
    for other in ("text", "empty", "absent"):
        done = CliRunner().invoke(main, ["verify", str(tmp_path / other)])
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_a_manifest_cannot_name_files_outside_its_folder(tmp_path):
    path = tmp_path / "out"
    write(path)
    saved = manifests.load(path)
    saved["files"]["../../secret"] = {"bytes": 1, "xxh3_128": ""}
    manifests.save(path, saved)
    with pytest.raises(CellprepError, match="names a file outside its folder"):
        cp.verify(path, progress=False)


@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
def test_overwrite_deletes_the_copies_in_quarantine(complete, tmp_path):
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_cells([1] * 8, side=24)[0][0]).save(tmp_path / "in" / name)
    for name in ("bad.png", "mended.png", "sub/bad.png"):
        (tmp_path / "in" / "b" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / "b" / name).write_bytes(b"bad")
    messy, path = cp.read(tmp_path / "in"), tmp_path / "out"
    cp.write(messy, path, on_error="quarantine", progress=False)
    assert len(list(path.rglob("*.png"))) == 3
    (path / "quarantine" / "b" / "mended.png").write_bytes(b"mended")
    (path / "quarantine" / "notes.txt").write_bytes(b"mine")
    if not complete:
        (path / ".cellprep").mkdir()
        (path / "dataset.json").rename(path / ".cellprep" / "plan.json")
    write(path, overwrite=True)
    write(tmp_path / "reference")
    kept = {"quarantine/b/mended.png": b"mended", "quarantine/notes.txt": b"mine"}
    assert tree(path) == {**tree(tmp_path / "reference"), **kept}
    assert not (path / "quarantine" / "b" / "sub").exists()


@pytest.mark.parametrize("format", ["npz", "medmnist"])
def test_a_flipped_bit_in_the_directory_of_an_archive_is_no_crash(format, tmp_path):
    path = tmp_path / "out.npz"
    write(path, format)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    for bit in range(8 * start, 8 * len(whole), 7):  # every byte, each time another bit
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with contextlib.suppress(CellprepError):
            cp.verify(path, progress=False)
        with contextlib.suppress(CellprepError):
            cp.read(path).to_arrays()


def test_an_archive_that_cannot_be_repaired_is_to_be_moved_away(tmp_path):
    path = tmp_path / "out.npz"
    write(path, "npz")
    path.write_bytes(path.read_bytes()[:-30])
    done = CliRunner().invoke(main, ["verify", str(path)])
    assert done.exit_code == 1
    assert "1 of 1 file damaged; it cannot be repaired: move it away" in done.output
    with pytest.raises(CellprepError, match="move it away"):
        write(path, "npz")
