"""An interrupted write leaves no incomplete file under a final name, and can be resumed."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.synthetic import CLASS_NAMES, draw_cells
from cellprep.writing import shards
from cellprep.writing.records import save_record

from .helpers import (
    FORMATS,
    MOVE,
    RECIPES,
    TIMEOUT,
    breaking,
    dataset,
    outcome,
    start,
    tree,
    write,
)

FILE_SYSTEM_EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def small_job(seed: int = 0) -> cp.Dataset:
    return cp.Recipe([cp.Jitter()], seed=seed)(dataset(n=7, class_names=CLASS_NAMES))


def plain_job() -> cp.Dataset:
    return dataset(n=7, class_names=CLASS_NAMES)


def killed_before(moment: int, job: Callable[[], cp.Dataset], path: Path, **options: Any) -> bool:
    """Whether a write was killed before its nth change of the file system."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = itertools.count(moment, -1)

    def watch(event: str, _: object) -> None:
        if event in FILE_SYSTEM_EVENTS and next(left) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(watch)
        write(job(), path, **options)
    finally:
        os._exit(0)


def kill_everywhere(folder: str, format: str, state: str) -> None:
    """Kill a write before each of its changes of the file system, and resume it."""
    job, state = (plain_job, "new") if state == "unprocessed" else (small_job, state)
    path, safe = Path(folder) / "out", Path(folder) / "safe"
    options = {"format": format, "rows_per_shard": 3, "workers": 1, "overwrite": state != "new"}
    write(job(), safe, **options)
    expected = tree(safe)
    old: dict[str, bytes] = {}
    if state != "new":
        write(small_job(9), Path(folder) / "old", **{**options, "format": state})
        old = tree(Path(folder) / "old")
    for moment in itertools.count(1):
        if state != "new":
            shutil.copytree(Path(folder) / "old", path)
            if format != "npz":
                (path / "notes.txt").write_text("mine")
        if not killed_before(moment, job, path, **options):
            break
        final = {
            name: data
            for name, data in (tree(path) if path.exists() else {}).items()
            if not name.startswith(".cellprep") and not name.endswith(".tmp")
        }
        assert final.pop("notes.txt", b"mine") == b"mine"
        assert all(data in (expected.get(name), old.get(name)) for name, data in final.items())
        if "dataset.json" in final or "." in final:
            assert final in (expected, old), (moment, sorted(final))
        elif path.exists():
            with pytest.raises(CellprepError, match=r"not written to the end|contains no images"):
                cp.read(path)
        write(job(), path, **options)
        found = tree(path)
        assert found.pop("notes.txt", b"mine") == b"mine"
        assert found == expected, (moment, found.keys() ^ expected.keys())
        folders = {file.parent for file in path.rglob("*") if file.is_file()} | {path}
        assert {entry for entry in path.rglob("*") if entry.is_dir()} <= folders, moment
        assert sorted(entry.name for entry in path.parent.iterdir() if entry.suffix == ".tmp") == []
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(moment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "state"),
    [(format, "new") for format in FORMATS]
    + [("shards", "shards"), ("folder", "folder"), ("folder", "shards"), ("npz", "folder")]
    + [("shards", "unprocessed")],
)
def test_resume_after_a_kill_before_any_file_system_change(format, state, tmp_path):
    moments = int(outcome(kill_everywhere, tmp_path, format, state))
    assert moments > {"npz": 3, "shards": 20, "folder": 28}[format]


@pytest.mark.parametrize("format", ["shards", "folder"])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")], ids=repr
)
def test_an_error_loses_only_the_shards_in_progress(format, error, tmp_path):
    path, options = tmp_path / "out", {"format": format, "rows_per_shard": 4}
    expected = CellprepError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if isinstance(error, OSError) else None):
        write(MOVE(breaking(dataset(), error)), path, **options)
    with pytest.raises(CellprepError, match="not written to the end; run the same write again"):
        cp.read(path)
    assert not list(path.rglob("*.tmp"))
    again = write(MOVE(dataset()), path, **options)
    assert 0 < again.resumed < again.rows == 35
    assert "earlier run" in str(again)
    write(MOVE(dataset()), tmp_path / "reference", **options)
    assert tree(path) == tree(tmp_path / "reference")


@pytest.mark.parametrize("executor", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_index_is_the_same_from_new_and_from_loaded_records(executor, tmp_path):
    """The source was written by cellprep too, so that each image has a record already."""
    write(RECIPES["all"](dataset()), tmp_path / "before", rows_per_shard=7)
    before = cp.read(tmp_path / "before")
    job = cp.Recipe([cp.Corrupt("heavy")], seed=2)(before)
    write(job, tmp_path / "at once", rows_per_shard=9, executor=executor)
    saved: list[Path] = []

    def fails_at_the_fourth(path: Path, *record: Any) -> None:
        saved.append(path)
        if len(saved) == 4:
            raise KeyboardInterrupt
        save_record(path, *record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "save_record", fails_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            write(job, tmp_path / "resumed", rows_per_shard=9, workers=1)
    assert write(job, tmp_path / "resumed", rows_per_shard=9, executor=executor).resumed == 27
    assert tree(tmp_path / "resumed") == tree(tmp_path / "at once")


def test_an_interrupted_npz_leaves_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(breaking(dataset(), KeyboardInterrupt(), after=0), tmp_path / "cells.npz")
    assert not list(tmp_path.iterdir())


def big_job() -> cp.Dataset:
    images, labels = draw_cells([30] * 8, side=48, seed=0)
    recipe = cp.Recipe([cp.KMeansMask(), cp.RandAugment(copies=3)], seed=8)
    return recipe(cp.Dataset.from_arrays(images, labels))


def write_big_job(path: str, format: str, executor: str) -> None:
    write(big_job(), Path(path), format=format, rows_per_shard=16, executor=executor)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["shards", "folder"])
@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_resume_after_kills_at_random_moments(executor, format, tmp_path):
    moments = random.Random(f"{executor} {format}")
    path, reference = tmp_path / "out", tmp_path / "reference"
    write(big_job(), reference, format=format, rows_per_shard=16)
    expected = tree(reference)
    for goal in sorted(moments.sample(range(2, 50), 2)):
        process = start(write_big_job, path, format, executor)
        try:
            limit = time.monotonic() + TIMEOUT
            while len(list(path.glob(".cellprep/part-*[0-9].arrow"))) < goal:
                assert process.poll() is None
                assert time.monotonic() < limit
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.02))
        finally:
            process.kill()
            process.communicate(timeout=TIMEOUT)  # ends once the workers have ended too
        for name, data in tree(path).items():
            if not name.startswith(".cellprep") and not name.endswith(".tmp"):
                assert data == expected[name]
        with pytest.raises(CellprepError, match="not written to the end"):
            cp.read(path)
    again = write(big_job(), path, format=format, rows_per_shard=16)
    assert again.resumed >= 16 * goal
    assert tree(path) == expected


def write_without_permission(path: Path, folder: Path) -> str:
    """Write as another user than root, who loses the permission halfway; what is reported."""
    read, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(write_end)
        with os.fdopen(read) as said:
            reported = said.read()
        os.waitpid(child, 0)
        return reported
    try:
        if os.geteuid() == 0:
            os.setuid(65534)
        source = breaking(dataset(), KeyboardInterrupt(), after=10**6).source
        calls, images = itertools.count(), type(source).images

        def losing(self: Any, at: Any) -> Any:
            if next(calls) == 3:
                folder.chmod(0o500)
            return images(self, at)

        type(source).images = losing
        try:
            write(cp.Dataset(source), path, rows_per_shard=5, workers=1)
            said = "written"
        except CellprepError as error:
            said = str(error)
        os.write(write_end, said.encode())
    finally:
        os._exit(0)


@pytest.mark.unix("no fork")
@pytest.mark.parametrize("inside", ["", ".cellprep"])
def test_a_permission_that_is_lost_during_a_write_is_reported(inside, tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()).resolve():
            break
        folder.chmod(0o755)
    home, path = tmp_path / "home", tmp_path / "home" / "out"
    home.mkdir()
    home.chmod(0o777)
    reported = write_without_permission(path, path / inside)
    assert "Permission denied" in reported
    assert reported.startswith("cannot write")
    assert "\n" not in reported
    (path / inside).chmod(0o755)
    write(dataset(), tmp_path / "reference", rows_per_shard=5)
    assert 0 < write(dataset(), path, rows_per_shard=5).resumed < 35
    assert tree(path) == tree(tmp_path / "reference")
