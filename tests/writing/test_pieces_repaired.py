"""Sets in pieces that are interrupted, killed, damaged or overwritten."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats import pieces
from cellprep.formats.index import load_index
from cellprep.formats.manifest import INDEX, MANIFEST
from cellprep.formats.written import load_manifest
from cellprep.system import platform
from cellprep.writing.forecast import forecast
from cellprep.writing.job import plan_write
from cellprep.writing.shards import ShardTask

from .. import manifests
from .helpers import assert_equal_sets, start
from .pieces_helpers import FILES, NAMES, ROWS, SHARDS, whole
from .test_kills import tree
from .verify_helpers import DAMAGE, FOLDERS, cells, flip, remove, write

# -- killed and resumed ------------------------------------------------------------------------


def interrupt_at(moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt a write when it renames its nth file."""
    replace, left = platform.replace, iter(range(moment, -1, -1))

    def replaced(source: Path, target: Path) -> None:
        if next(left, 1) == 0:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(platform, "replace", replaced)


OF_SHARDS = ("*.npy", "*.tar", "*.png", "*.tfrecord", "c.*.0.0*", "train-*")


@pytest.mark.parametrize("format", FOLDERS)
def test_a_write_interrupted_at_any_moment_is_resumed(format, few, tmp_path):
    write(tmp_path / "reference", format, workers=1)
    expected, interrupted = tree(tmp_path / "reference"), 0
    for moment in range(0, 1000, 5 if format == "folder" else 2):
        path = tmp_path / str(moment)
        with pytest.MonkeyPatch.context() as patch:
            interrupt_at(moment, patch)
            try:
                write(path, format, workers=1)
                break
            except KeyboardInterrupt:
                interrupted += 1
        shards = [file for pattern in OF_SHARDS for file in path.rglob(pattern)]
        records = len([*path.glob(".cellprep/part-*")])
        dated = {file: file.stat().st_mtime_ns for file in shards}
        again = write(path, format, workers=1)
        assert again.resumed == min(5 * records, ROWS)
        assert tree(path) == expected
        if records == SHARDS:
            assert {file: file.stat().st_mtime_ns for file in shards} == dated
    assert interrupted > 6


def killed_at(path: str, format: str, name: str) -> None:
    """Write a set, and die before a file gets its final name."""
    replace = platform.replace

    def replaced(source: Path, target: Path) -> None:
        if target == Path(path) / name:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    pieces.SHARDS_PER_PIECE = 2
    platform.replace = replaced
    write(Path(path), format)


@pytest.mark.unix("no SIGKILL")
@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("shards", NAMES[0][0]),
        ("folder", NAMES[1][1]),
        ("zarr", NAMES[2][0]),
        ("parquet", "croissant.json"),
        ("shards", MANIFEST),
    ],
)
def test_a_killed_write_is_resumed(format, name, few, tmp_path):
    write(tmp_path / "reference", format)
    process = start(killed_at, tmp_path / "out", format, name)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(CellprepError, match="not written to the end"):
        cp.read(tmp_path / "out")
    assert write(tmp_path / "out", format).resumed >= 10
    assert tree(tmp_path / "out") == tree(tmp_path / "reference")


# -- damaged and repaired ----------------------------------------------------------------------


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("format", FOLDERS)
def test_a_damaged_file_of_a_piece_is_reported_and_rewritten(format, what, few, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    expected, (damage, states) = tree(path), DAMAGE[what]
    for name, rows in zip(FILES, (10, 10, 10, 10, 4, 4), strict=True):
        damage(path / name)
        table = cp.verify(path, progress=False)
        assert table[["file", "rows"]].values.tolist() == [[name, rows]]
        assert table["state"][0] in states
        dated = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}
        job = plan_write(cells(), path, format=format, rows_per_shard=5, masks=True)
        assert forecast(job).resumed == ROWS - rows
        assert write(path, format).repaired == rows
        assert tree(path) == expected
        changed = {file for file in dated if file.stat().st_mtime_ns != dated[file]}
        assert changed <= {path / name}


@pytest.mark.parametrize("format", FOLDERS)
def test_everything_damaged_is_rewritten(format, few, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    expected = tree(path)
    for name in expected:
        if name != MANIFEST:
            flip(path / name)
    assert {*cp.verify(path)["file"]} >= {*FILES}
    assert write(path, format).repaired == ROWS
    assert tree(path) == expected


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize("of_piece", NAMES[1])
def test_a_shard_is_repaired_with_a_file_of_its_piece(format, of_piece, few, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    expected = tree(path)
    of_shard = [*pieces.Shards(path, load_manifest(path))[2]["files"]]
    index = load_index(path, load_manifest(path))
    victim = of_shard[0] if of_shard else index["file"][10].as_py()
    flip(path / victim)
    flip(path / of_piece)
    assert of_piece in {*cp.verify(path)["file"]}
    assert write(path, format).repaired == 10
    assert tree(path) == expected


def test_an_interrupted_repair_of_a_piece_is_resumed(few, tmp_path):
    path = tmp_path / "out"
    write(path)
    expected = tree(path)
    for moment in range(0, 100):
        for name in (*NAMES[0], "shard-00001.npy", "masks-00003.npy"):
            flip(path / name)
        with pytest.MonkeyPatch.context() as patch:
            interrupt_at(moment, patch)
            try:
                write(path, workers=1)
                break
            except KeyboardInterrupt:
                pass
        assert write(path, workers=1).rows == ROWS
        assert tree(path) == expected
    assert moment > 8
    assert tree(path) == expected


@pytest.mark.parametrize("format", ["shards", "folder"])
def test_images_that_do_not_match_the_entries_replace_nothing(format, few, tmp_path, monkeypatch):
    path = tmp_path / "out"
    write(path, format)
    remove(path / NAMES[0][1])
    before, make = tree(path), ShardTask._blocks

    def other_pixels(self: ShardTask, *arguments: Any) -> Iterator[Any]:
        for images, masks in make(self, *arguments):
            yield images ^ 1, masks

    monkeypatch.setattr(ShardTask, "_blocks", other_pixels)
    with pytest.raises(CellprepError, match="does not match its digest recorded"):
        write(path, format)
    found = {name: data for name, data in tree(path).items() if not name.startswith(".cellprep")}
    found.pop(NAMES[0][1], None)  # of a folder, it does not depend on the images
    assert found == before


def test_an_index_of_another_version_of_pyarrow_gets_other_stamps(few, tmp_path, monkeypatch):
    path, writer = tmp_path / "out", pq.ParquetWriter
    write(path)
    before = manifests.load(path)
    remove(path / NAMES[1][0])
    monkeypatch.setattr(
        pq, "ParquetWriter", lambda file, schema: writer(file, schema, compression="gzip")
    )
    assert write(path).repaired == 10
    assert cp.verify(path).empty
    after = manifests.load(path)
    assert after["pieces"][1]["index"] != before["pieces"][1]["index"]
    assert after["pieces"][0] == before["pieces"][0]
    assert_equal_sets(cp.read(path), cells())


# -- overwritten -------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
def test_an_overwritten_set_leaves_nothing_behind(format, finished, few, tmp_path):
    path, reference = tmp_path / "out", whole(tmp_path / "reference")
    write(path, format, seed=4)
    if not finished:
        (path / ".cellprep").mkdir()
        (path / MANIFEST).rename(path / ".cellprep/plan.json")
    whole(path, overwrite=True)
    assert tree(path) == tree(reference)
    assert not (path / "index").exists()
    write(path, format, overwrite=True)
    assert not (path / INDEX).exists()
    assert cp.verify(path).empty
    assert not cp.read(path).unread


def test_files_of_the_user_among_the_pieces_are_kept_and_listed(few, tmp_path):
    path = tmp_path / "out"
    write(path)
    (path / "index/notes.txt").write_text("mine")
    (path / "index/00009.parquet").write_text("left by nobody")
    assert [name for name, _ in cp.read(path).source.unread] == [
        "index/00009.parquet",
        "index/notes.txt",
    ]
    with pytest.raises(CellprepError, match="file of yours"):
        cp.write(cells(), path, format="npz", overwrite=True, progress=False)
    whole(path, overwrite=True)
    assert [file.name for file in (path / "index").iterdir()] == ["notes.txt"]


def test_a_set_in_pieces_may_become_a_file(few, tmp_path):
    write(tmp_path / "out.npz")
    cp.write(cells(), tmp_path / "out.npz", format="npz", overwrite=True, progress=False)
    assert_equal_sets(cp.read(tmp_path / "out.npz"), cells())
