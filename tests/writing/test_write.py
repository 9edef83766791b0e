"""What `write` promises: the same bytes, a record, bounded memory, nothing half-written."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.plan import plan as plan_module
from cellprep.plan.plan import Plan
from cellprep.plan.rows import Rows
from cellprep.plan.source import NO_HISTORY, ArraySource
from cellprep.synthetic import CLASS_NAMES, draw_cells
from cellprep.system import executors
from cellprep.system.platform import reserve
from cellprep.writing.records import save_record
from cellprep.writing.shards import Part
from cellprep.writing.target import identity_of

FORMATS = ("shards", "folder", "npz")
MOVE = cp.Recipe([cp.Jitter()], seed=1)
RECIPES = {
    "none": cp.Recipe([]),
    "clean": cp.Recipe([cp.Dedupe(), cp.Balance()], seed=3),
    "mask": cp.Recipe([cp.Crop(16, resize_to=20), cp.KMeansMask(background=9)]),
    "all": cp.Recipe(
        [cp.Dedupe(), cp.Balance(), cp.Crop(20), cp.KMeansMask(), cp.RandAugment(copies=2)], seed=5
    ),
    "twice": cp.Recipe(
        [
            cp.RandAugment(copies=2, keep_originals=False),
            cp.Jitter(fill=7),
            cp.Balance(target=9, jitter=None),
            cp.RandAugment(copies=1, num_ops=1),
            cp.Jitter(rotation=5),
        ],
        seed=2**40,
    ),
}


# -- what the tests write, and how they look at it ---------------------------------------------


@cache
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """35 cells of 8 classes, (35, 24, 24, 3); one stands twice, one under two labels."""
    images, labels = draw_cells([6, 4, 3, 5, 3, 4, 7, 3], side=24, seed=4)
    images[1] = images[0]
    images[20] = images[8]
    return images, labels


def dataset(order: Any = slice(None), *, n: int = 35, **changed: Any) -> cp.Dataset:
    """The drawn cells in some order, under ids that stay with them."""
    images, labels = drawn()
    ids = np.array([f"{CLASS_NAMES[label]}/{n:02}.png" for n, label in enumerate(labels)])
    given = {"class_names": CLASS_NAMES, "ids": ids[:n][order], **changed}
    return cp.Dataset.from_arrays(images[:n][order], labels[:n][order], **given)


def write(made: cp.Dataset, path: Path, **options: Any) -> cp.Written:
    return cp.write(made, path, **{"progress": False, "workers": 2, **options})


def tree(path: Path) -> dict[str, bytes]:
    """Every file under a path, hidden ones too."""
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def times(path: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in (path, *path.rglob("*"))}


def by_row(path: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """The images and the index of written shards in order of (id, copy), wherever they lie."""
    images = np.concatenate([np.load(file) for file in sorted(path.glob("shard-*.npy"))])
    index = pd.read_parquet(path / "index.parquet")
    order = np.lexsort((index["copy"], index["id"]))
    return images[order], index.drop(columns=["shard", "row"]).iloc[order].reset_index(drop=True)


def assert_same(path: Path, other: Path) -> None:
    (images, index), (expected, record) = by_row(path), by_row(other)
    np.testing.assert_array_equal(images, expected)
    pd.testing.assert_frame_equal(index, record, check_categorical=False)


def assert_equal_sets(a: cp.Dataset, b: cp.Dataset) -> None:
    np.testing.assert_array_equal(a.to_arrays()[0], b.to_arrays()[0])
    for column in ("labels", "ids", "copies"):
        left, right = getattr(a, column), getattr(b, column)
        assert left.dtype.kind == right.dtype.kind
        np.testing.assert_array_equal(left, right)
    assert a.class_names == b.class_names
    groups, others = a.plan.rows.groups, b.plan.rows.groups
    assert (groups is None) == (others is None)
    if groups is not None and others is not None:
        np.testing.assert_array_equal(groups, others)


@dataclass(frozen=True, eq=False)
class Breaking(ArraySource):
    """The same images, until an error comes in the middle."""

    error: BaseException = field(default_factory=KeyboardInterrupt)
    after: int = 3
    calls: Iterator[int] = field(default_factory=itertools.count)

    def images(self, at: np.ndarray) -> np.ndarray:
        if next(self.calls) >= self.after:
            raise self.error
        return super().images(at)


def breaking(made: cp.Dataset, error: BaseException, after: int = 3) -> cp.Dataset:
    source = made.source
    assert isinstance(source, ArraySource)
    return cp.Dataset(
        Breaking(source.array, source.rows, source.class_names, error=error, after=after)
    )


def unfinished(path: Path, recipe: cp.Recipe = MOVE, **options: Any) -> None:
    """A write of a recipe over the data set that stops after three of its seven parts."""
    with pytest.raises(KeyboardInterrupt):
        write(
            recipe(breaking(dataset(), KeyboardInterrupt())),
            path,
            **{"rows_per_shard": 5, "workers": 1, **options},
        )


def start(function: Callable[..., None], *arguments: object) -> subprocess.Popen[str]:
    """A function of this file in a Python of its own."""
    code = f"import sys; from test_write import {function.__name__} as f; f(*sys.argv[1:])"
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


HANGS = 600
"""Seconds after which a test gives up: far more than it takes on the slowest machine."""


def outcome(function: Callable[..., None], *arguments: object) -> str:
    """What the function printed; a failure where it fails or hangs."""
    process = start(function, *arguments)
    try:
        said, _ = process.communicate(timeout=HANGS)
    finally:
        process.kill()
    assert process.returncode == 0, said
    return said.strip()


# -- the same bytes ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_bytes_depend_on_neither_workers_nor_parts_nor_blocks_nor_order(
    name, tmp_path, monkeypatch
):
    recipe = RECIPES[name]
    write(recipe(dataset()), tmp_path / "reference", workers=1)
    shuffled = np.random.default_rng(0).permutation(35)
    for number, (order, rows, workers) in enumerate(
        [(slice(None), 7, 3), (shuffled, 16, 2), (slice(None, None, -1), 1, 1)]
    ):
        monkeypatch.setattr(plan_module, "_BLOCK_BYTES", (5 + 2 * number) * 24 * 24 * 3)
        path = tmp_path / str(number)
        write(recipe(dataset(order)), path, rows_per_shard=rows, workers=workers)
        assert_same(path, tmp_path / "reference")


@pytest.mark.parametrize("format", FORMATS)
def test_files_are_equal_wherever_they_are_written(format, tmp_path, monkeypatch):
    made = RECIPES["all"](dataset())
    path, other = tmp_path / f"a.{format}", tmp_path / "elsewhere" / "b"
    write(made, path, format=format, rows_per_shard=30)
    monkeypatch.setattr(plan_module, "_BLOCK_BYTES", 10_000)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 1e6)
    write(made, other, format=format, rows_per_shard=30, workers=3)
    assert tree(path) == tree(other)


@pytest.mark.parametrize(("workers", "format"), [(2, "shards"), (3, "folder"), (2, "npz")])
def test_processes_write_what_threads_write(workers, format, tmp_path):
    made = RECIPES["all"](dataset())
    options = {"format": format, "rows_per_shard": 40}
    write(made, tmp_path / "threads", **options)
    write(made, tmp_path / "processes", executor="processes", workers=workers, **options)
    assert tree(tmp_path / "threads") == tree(tmp_path / "processes")


# -- nothing half-written ----------------------------------------------------------------------

OPERATIONS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def small_job(seed: int = 0) -> cp.Dataset:
    return cp.Recipe([cp.Jitter()], seed=seed)(dataset(n=7, class_names=CLASS_NAMES))


def plain_job() -> cp.Dataset:
    return dataset(n=7, class_names=CLASS_NAMES)


def killed_before(moment: int, job: Callable[[], cp.Dataset], path: Path, **options: Any) -> bool:
    """Whether a write of a job was killed before its nth change of the file system."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = itertools.count(moment, -1)

    def watch(event: str, _: object) -> None:
        if event in OPERATIONS and next(left) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(watch)
        write(job(), path, **options)
    finally:
        os._exit(0)


def kill_everywhere(folder: str, format: str, state: str) -> None:
    """Kill a write before each of its changes of the file system, and run it again."""
    job, state = (plain_job, "new") if state == "as they are" else (small_job, state)
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
            with pytest.raises(CellprepError, match=r"not written to the end|holds no images"):
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
    + [("shards", "as they are")],
)
def test_killed_before_any_change_of_the_file_system_it_goes_on(format, state, tmp_path):
    moments = int(outcome(kill_everywhere, tmp_path, format, state))
    assert moments > {"npz": 3, "shards": 20, "folder": 28}[format]


@pytest.mark.parametrize("format", ["shards", "folder"])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")], ids=repr
)
def test_an_error_in_the_middle_costs_what_was_under_way(format, error, tmp_path):
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


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_record_counts_the_same_from_its_maker_and_from_its_file(executor, tmp_path):
    """Of images with a record of their own, which come in another order and more than once."""
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
        patch.setitem(Part.__call__.__globals__, "save_record", fails_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            write(job, tmp_path / "resumed", rows_per_shard=9, workers=1)
    assert write(job, tmp_path / "resumed", rows_per_shard=9, executor=executor).resumed == 27
    assert tree(tmp_path / "resumed") == tree(tmp_path / "at once")


def test_room_that_was_asked_for_and_not_needed_is_not_in_the_file(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        reserve(file, 1 << 20)
        file.write(b"three")
    assert (tmp_path / "file").read_bytes() == b"three"


def test_an_interrupted_npz_leaves_nothing(tmp_path):
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
def test_killed_at_random_moments_it_goes_on(executor, format, tmp_path):
    moments = random.Random(f"{executor} {format}")
    path, reference = tmp_path / "out", tmp_path / "reference"
    write(big_job(), reference, format=format, rows_per_shard=16)
    expected = tree(reference)
    for goal in sorted(moments.sample(range(2, 50), 2)):
        process = start(write_big_job, path, format, executor)
        try:
            limit = time.monotonic() + HANGS
            while len(list(path.glob(".cellprep/part-*[0-9].arrow"))) < goal:
                assert process.poll() is None
                assert time.monotonic() < limit
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.02))
        finally:
            process.kill()
            process.communicate(timeout=HANGS)  # ends when the workers have ended, too
        for name, data in tree(path).items():
            if not name.startswith(".cellprep") and not name.endswith(".tmp"):
                assert data == expected[name]
        with pytest.raises(CellprepError, match="not written to the end"):
            cp.read(path)
    again = write(big_job(), path, format=format, rows_per_shard=16)
    assert again.resumed >= 16 * goal
    assert tree(path) == expected


def test_files_get_the_users_mode_and_threads_leave_the_umask_alone(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("all threads share it"))
        write(MOVE(dataset()), tmp_path / "out", rows_per_shard=5)
    finally:
        monkeypatch.undo()
        os.umask(before)
    modes = {file.stat().st_mode & 0o777 for file in tmp_path.rglob("*") if file.is_file()}
    assert modes == {0o640}


# -- what stands at the path -------------------------------------------------------------------


def other_pixels(row: int = 30) -> cp.Dataset:
    images = drawn()[0].copy()
    images[row, 0, 0, 0] ^= 1
    same = dataset()
    return cp.Dataset.from_arrays(images, same.labels, same.class_names, same.ids)


OTHERS = {
    "seed": (lambda: cp.Recipe(MOVE.steps, 2)(dataset()), {}, "Jitter: seed 1 there, 2 here"),
    "setting": (
        lambda: cp.Recipe([cp.Jitter(zoom=0.2)], 1)(dataset()),
        {},
        "Jitter: zoom 0.1 there, 0.2 here",
    ),
    "steps": (
        lambda: cp.Recipe([cp.Dedupe(), *MOVE.steps], 1)(dataset()),
        {},
        "steps Jitter there, Dedupe, Jitter here",
    ),
    "fewer rows": (lambda: MOVE(dataset(n=34)), {}, "of other rows"),
    "order": (lambda: MOVE(dataset(slice(None, None, -1))), {}, "of other rows"),
    "groups": (lambda: MOVE(dataset(groups=np.arange(35))), {}, "of other rows"),
    "pixels": (lambda: MOVE(other_pixels()), {}, "made from other images"),
    "part size": (
        lambda: MOVE(dataset()),
        {"rows_per_shard": 4},
        "rows_per_shard 5 there, 4 here",
    ),
    "format": (lambda: MOVE(dataset()), {"format": "folder"}, "format shards there, folder here"),
    "class names": (
        lambda: MOVE(dataset(class_names=[*CLASS_NAMES[:-1], "x"])),
        {},
        r"class_names \[.*platelet.*\] there, \[.*x.*\] here",
    ),
}


@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("name", OTHERS)
def test_another_data_set_is_refused_and_named(name, complete, tmp_path):
    path = tmp_path / "out"
    if complete:
        write(MOVE(dataset()), path, rows_per_shard=5)
    else:
        unfinished(path)
    before, dated = tree(path), times(path)
    make, options, difference = OTHERS[name]
    with pytest.raises(CellprepError, match=f"holds another data set .*{difference}.*overwrite="):
        write(make(), path, **{"rows_per_shard": 5, **options})
    assert (tree(path), times(path)) == (before, dated)
    options = {"rows_per_shard": 5, **options}
    write(make(), path, overwrite=True, **options)
    write(make(), tmp_path / "reference", **options)
    assert tree(path) == tree(tmp_path / "reference")


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("masked", [False, True], ids=["images", "masks"])
def test_what_arrays_hold_is_told_by_the_files(masked, executor, tmp_path):
    """Of images as they are, read once: the identity is known at the end, and is the same one."""
    made = dataset(masks=drawn()[0][..., 0] > 100) if masked else dataset()
    write(made, tmp_path / "out", rows_per_shard=5, executor=executor, masks=masked)
    saved = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert saved["made_of"]["source"] == identity_of(made.plan, "shards", 5)


def test_images_as_they_are_go_on_where_what_was_written_is_still_the_same(tmp_path):
    path, options = tmp_path / "out", {"rows_per_shard": 5}
    unfinished(path, RECIPES["none"])
    before = tree(path)
    assert json.loads(before[".cellprep/plan.json"])["made_of"]["source"] is None
    with pytest.raises(CellprepError, match=r"holds another data set .made from other images"):
        write(other_pixels(14), path, **options)
    with pytest.raises(CellprepError, match=r"holds another data set .of other rows"):
        write(dataset(n=34), path, **options)
    files = cp.read(write(dataset(), tmp_path / "files", rows_per_shard=7).path)
    with pytest.raises(CellprepError, match="holds another data set"):
        write(files, path, **options)
    assert tree(path) == before
    written = write(other_pixels(15), path, **options)  # it had not been read yet
    assert (written.resumed, written.rows) == (15, 35)
    write(other_pixels(15), tmp_path / "reference", **options)
    assert tree(path) == tree(tmp_path / "reference")


def test_a_damaged_record_of_images_as_they_are_costs_its_part(tmp_path):
    path = tmp_path / "out"
    unfinished(path, RECIPES["none"])
    (path / ".cellprep" / "part-00001.arrow").write_bytes(b"ARROW")
    written = write(dataset(), path, rows_per_shard=5)
    assert (written.resumed, written.repaired) == (15 - 5, 5)
    write(dataset(), tmp_path / "reference", rows_per_shard=5)
    assert tree(path) == tree(tmp_path / "reference")


@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("library", ["cellprep", "numpy", "PIL"])
def test_another_version_is_refused_and_named(library, complete, tmp_path, monkeypatch):
    path = tmp_path / "out"
    write(MOVE(dataset()), path, rows_per_shard=5) if complete else unfinished(path)
    before = tree(path)
    with monkeypatch.context() as patched:
        patched.setattr(f"{library}.__version__", "99")
        name = {"PIL": "pillow"}.get(library, library)
        with pytest.raises(CellprepError, match=rf"another data set \({name} .* there, 99 here\)"):
            write(MOVE(dataset()), path, rows_per_shard=5)
    assert tree(path) == before
    assert write(MOVE(dataset()), path, rows_per_shard=5).resumed > 0


def test_the_same_data_set_is_finished_already(tmp_path):
    path = tmp_path / "out"
    first = write(MOVE(dataset()), path)
    dated = times(path)
    again = write(MOVE(dataset()), path, workers=1)
    assert (first.resumed, again.resumed, again.rows) == (0, 35, 35)
    with pytest.raises(CellprepError, match="holds this data set already; resume=True"):
        write(MOVE(dataset()), path, resume=False)
    assert times(path) == dated


def test_unfinished_and_not_to_be_resumed(tmp_path):
    unfinished(tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(CellprepError, match="holds this data set already"):
        write(MOVE(dataset()), tmp_path / "out", rows_per_shard=5, resume=False)
    assert tree(tmp_path) == before


def test_settings_that_json_writes_otherwise_are_the_same_settings(tmp_path):
    def own(plan: Plan) -> Plan:
        return plan.begin("own", {"step": "Own", "levels": (1, 2), "names": {3: "c"}}, 0)

    for resumed in (0, 35):
        assert write(dataset().then(own), tmp_path / "out").resumed == resumed


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("what", ["folder", "file", "npz", "manifest", "link"])
def test_what_others_made_stays(what, format, overwrite, tmp_path):
    path = tmp_path / "theirs"
    if what == "folder":
        (path / "cells").mkdir(parents=True)
        (path / "cells" / "shard-00000.npy").write_bytes(b"theirs")
    elif what == "manifest":
        path.mkdir()
        (path / "dataset.json").write_text('{"format": "theirs"}')
    elif what == "npz":
        with path.open("wb") as file:
            np.savez(file, images=drawn()[0])
    elif what == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.write_text("theirs")
    before = tree(tmp_path)
    with pytest.raises(CellprepError, match="holds something that cellprep did not write"):
        write(dataset(), path, format=format, overwrite=overwrite)
    assert tree(tmp_path) == before
    assert path.is_symlink() == (what == "link")


@pytest.mark.parametrize("new", FORMATS)
@pytest.mark.parametrize("old", FORMATS)
@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
def test_overwrite_takes_away_what_cellprep_wrote_and_no_more(old, new, complete, tmp_path):
    path = tmp_path / "out"
    mine: dict[str, bytes] = {}
    if complete:
        write(RECIPES["clean"](dataset()), path, format=old, rows_per_shard=5)
    elif old == "npz":
        return  # is there or is not
    else:
        unfinished(path, format=old)
    if "npz" not in (old, new):
        mine = dict.fromkeys(("notes.txt", "shard-1-of-mine.npy", "kept/.a.tmp"), b"mine")
        (path / "kept").mkdir()
        for name, data in mine.items():
            (path / name).write_bytes(data)
    write(MOVE(dataset(n=30)), path, format=new, overwrite=True)
    write(MOVE(dataset(n=30)), tmp_path / "reference", format=new)
    assert tree(path) == {**tree(tmp_path / "reference"), **mine}
    folders = {entry.name for entry in path.rglob("*") if entry.is_dir()}
    expected = {entry.name for entry in (tmp_path / "reference").rglob("*") if entry.is_dir()}
    assert folders - {"kept"} == expected


def test_a_folder_with_the_users_files_is_not_replaced_by_a_file(tmp_path):
    path = tmp_path / "out"
    write(dataset(), path)
    (path / "notes.txt").write_text("mine")
    before = tree(path)
    with pytest.raises(CellprepError, match=r"notes\.txt"):
        write(dataset(), path, format="npz", overwrite=True)
    assert tree(path) == before


@pytest.mark.parametrize("format", ["shards", "folder"])
def test_the_output_is_neither_the_input_nor_inside_nor_around_it(format, tmp_path):
    path = tmp_path / "in" / "cells"
    write(dataset(), path, format=format)
    cells, before = cp.read(path), tree(tmp_path)
    for target, reason in ((path, "input itself"), (path / "x", "inside"), (path.parent, "holds")):
        with pytest.raises(CellprepError, match=reason):
            write(MOVE(cells), target, overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "options",
    [
        {"format": "shard"},
        {"rows_per_shard": 0},
        {"workers": 0},
        {"executor": "thread"},
        {"on_error": "ignore"},
        {"format": "npz", "on_error": "quarantine"},
    ],
    ids=str,
)
def test_wrong_options_write_nothing(options, tmp_path):
    with pytest.raises(CellprepError):
        write(dataset(), tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


# -- the record --------------------------------------------------------------------------------

steps = st.one_of(
    st.builds(cp.Dedupe, on_conflict=st.sampled_from(["drop", "majority", "keep"])),
    st.builds(
        cp.Balance,
        target=st.sampled_from(["max", "median", 3, 6]),
        jitter=st.sampled_from([None, cp.Jitter(), cp.Jitter(rotation=10, fill="edge")]),
    ),
    st.builds(
        cp.Jitter,
        rotation=st.floats(0, 180),
        shift=st.floats(0, 1),
        flip=st.sampled_from(["both", "horizontal", "none"]),
        fill=st.sampled_from(["reflect", "edge", 0, 255]),
    ),
    st.builds(cp.Crop, st.integers(8, 10), st.sampled_from(["cell", "image"]), st.just(16)),
    st.builds(cp.KMeansMask, target=st.sampled_from(["cell", "nucleus"])),
    st.builds(
        cp.RandAugment,
        copies=st.integers(1, 3),
        num_ops=st.integers(1, 4),
        magnitude=st.floats(0, 1),
        rate=st.floats(0, 1),
        keep_originals=st.booleans(),
    ),
)
recipes = st.builds(cp.Recipe, st.lists(steps, min_size=1, max_size=4), st.integers(0, 2**63 - 1))


@given(recipes, st.sampled_from(["shards", "folder"]), st.integers(1, 60), st.data())
def test_the_record_makes_the_same_bytes(recipe, format, rows_per_shard, data):
    with tempfile.TemporaryDirectory() as folder:
        path, cells = Path(folder) / "out", dataset()
        made = recipe(cells)
        write(made, path, format=format, rows_per_shard=rows_per_shard)
        images = cp.read(path).images[:]
        np.testing.assert_array_equal(images, made.to_arrays()[0])
        np.testing.assert_array_equal(cp.replay(path, cells), images)
        at = data.draw(st.lists(st.integers(0, len(images) - 1), max_size=8))
        np.testing.assert_array_equal(cp.replay(path, cells, at), images[at])


@settings(max_examples=12)
@given(recipes, recipes)
def test_a_written_set_is_the_source_of_another(first, second):
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one", Path(folder) / "two"
        write(first(dataset()), one, rows_per_shard=20)
        source = cp.read(one)
        write(second(source), two, rows_per_shard=9)
        images = cp.read(two).images[:]
        np.testing.assert_array_equal(images, second(first(dataset())).to_arrays()[0])
        np.testing.assert_array_equal(cp.replay(two, dataset()), images)
        if source.source.history.stages:
            with pytest.raises(CellprepError, match="pass that"):
                cp.replay(two, source)
        index = pd.read_parquet(two / "index.parquet")
        assert not index.duplicated(["id", "copy"]).any()


def test_copies_of_copies_have_keys_of_their_own(tmp_path):
    augment = cp.Recipe([cp.RandAugment(copies=3)])
    write(cp.Recipe([cp.Dedupe(), cp.Balance()])(dataset()), tmp_path / "balanced")
    balanced = cp.read(tmp_path / "balanced")
    assert balanced.copies.any()
    write(augment(balanced), tmp_path / "out")
    out = cp.read(tmp_path / "out")
    assert len(out) == 4 * len(balanced) == len(set(zip(out.ids, out.copies, strict=True)))
    index = pd.read_parquet(tmp_path / "out" / "index.parquet")
    jittered = index[index["balance.jitter.rotation"].notna()]
    assert len(jittered) == 4 * (balanced.copies > 0).sum()  # the first record goes on
    slots = index.filter(like="rand_augment.").dropna()
    assert len(slots) == 3 * len(balanced)
    assert not slots.duplicated().any()


@pytest.mark.parametrize("format", ["shards", "folder"])
def test_the_index_has_a_row_for_every_image(format, tmp_path):
    path = tmp_path / "out"
    made = cp.Recipe([cp.Balance(), cp.RandAugment(copies=1, num_ops=2)])(dataset())
    write(made, path, format=format, rows_per_shard=10)
    index = pd.read_parquet(path / "index.parquet")
    for column, values in (("id", made.ids), ("copy", made.copies), ("label", made.labels)):
        np.testing.assert_array_equal(index[column], values)
    assert list(index["class_name"]) == [CLASS_NAMES[label] for label in made.labels]
    images = made.to_arrays()[0]
    if format == "shards":
        assert index["shard"].nunique() == 12
        for place in (0, 9, 10, 57, 111):
            name, row = f"shard-{index['shard'][place]:05}.npy", index["row"][place]
            np.testing.assert_array_equal(np.load(path / name)[row], images[place])
    else:
        assert sorted(index["file"]) == sorted(
            str(file.relative_to(path)) for file in path.rglob("*.png")
        )
    drawn_columns = {name.partition(".")[0] for name in index.columns if "." in name}
    assert drawn_columns == {"balance", "rand_augment"}
    copied = index["copy"] % 2 == 1
    assert (index["rand_augment.op_1"].notna() == copied).all()
    assert (index["balance.jitter.rotation"].notna() == (index["copy"] // 2 > 0)).all()
    saved = json.loads((path / "dataset.json").read_text())
    assert (saved["rows"], saved["shape"]) == (len(made), [24, 24, 3])
    assert saved["counts"] == made.counts()
    assert [step["step"] for step in saved["recipe"]] == ["Balance", "RandAugment"]


def test_replay_wants_the_images_that_were_used(tmp_path):
    write(MOVE(dataset()), tmp_path / "out")
    with pytest.raises(CellprepError, match=r"was made from image .*pass the one"):
        cp.replay(tmp_path / "out", dataset(n=20))


# -- no leaks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [cp.Balance(), cp.Balance("min"), cp.RandAugment(copies=1)])
@pytest.mark.parametrize("format", [None, *FORMATS])
def test_no_split_after_copies_were_made(step, format, tmp_path):
    made = cp.Recipe([cp.Dedupe(), step, cp.KMeansMask()])(dataset())
    if format:
        path = tmp_path / ("out.npz" if format == "npz" else "out")
        write(made, path, format=format)
        made = cp.read(path)
    for late in (made, MOVE(made)):
        with pytest.raises(CellprepError, match=r"splitting after (balance|rand_augment) would"):
            cp.split(late, train=0.5, test=0.5)


# -- round trips -------------------------------------------------------------------------------

ODD = [
    "a/b c'é.png",
    "a/b c'é.jpg",
    "../up",
    "",
    ".hidden",
    "A/B C'É.PNG",
    "x" * 300,
    "a\\b",
    "日本 %2F",
]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ids": np.arange(9) * 10**15 - 5},
        {"ids": ODD},
        {
            "ids": ODD,
            "class_names": ["a/b", "a__b", "ü (1)", "..", "A/B"],
            "groups": list("abcabcabc"),
        },
        {"groups": np.arange(9) // 2},
        {"class_names": ["0", "1", "2", "none of these", "3"]},
    ],
    ids=["plain", "int ids", "odd ids", "odd names", "int groups", "empty class"],
)
def test_round_trips(format, options, tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (9, 8, 10, 3)).astype(np.uint8)
    first = cp.Dataset.from_arrays(images, [2, 0, 1] * 3, **options)
    path, again = tmp_path / "one.npz", tmp_path / "two.npz"
    write(first, path, format=format, rows_per_shard=4)
    read = cp.read(path)
    assert_equal_sets(read, first)
    np.testing.assert_array_equal(read.images[[7, 2]], images[[7, 2]])
    write(read, again, format=format, rows_per_shard=4)
    assert_equal_sets(cp.read(again), first)
    copies = cp.RandAugment(copies=2)
    many = cp.Recipe([copies])(read)
    write(many, tmp_path / "three.npz", format=format, rows_per_shard=5)
    assert_equal_sets(cp.read(tmp_path / "three.npz"), many)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_any_npz_is_read_as_it_stands(save, tmp_path):
    images, labels = drawn()
    save(tmp_path / "cells.npz", images=np.asfortranarray(images), labels=labels[:, None])
    cells = cp.read(tmp_path / "cells.npz")
    np.testing.assert_array_equal(cells.to_arrays()[0], images)
    np.testing.assert_array_equal(cells.labels, labels)
    mapped = isinstance(cells.source.array, np.memmap)  # type: ignore[attr-defined]
    assert mapped == (save is np.savez)


# -- bounded memory ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Endless:
    """Images made when they are asked for."""

    n: int
    class_names: tuple[str, ...] = ("a", "b")
    shape: tuple[int, int, int] = (64, 64, 3)
    path = None
    past = NO_HISTORY
    trusted = True
    drawn = False

    @property
    def rows(self) -> Rows:
        return Rows.of(np.arange(self.n), np.arange(self.n) % 2)

    def identity(self) -> str:
        return f"endless {self.n}"

    def images(self, at: np.ndarray) -> np.ndarray:
        grey = (at % 251).astype(np.uint8)
        return np.tile(grey[:, None, None, None], (1, *self.shape))


def peak() -> float:
    """Most memory held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_growth(format: str) -> None:
    recipe = cp.Recipe([cp.Balance(target="max"), cp.RandAugment(copies=1, num_ops=1)])
    with tempfile.TemporaryDirectory() as folder:
        write(recipe(cp.Dataset(Endless(100))), Path(folder) / "small", format=format)
        before = peak()
        write(recipe(cp.Dataset(Endless(10_000))), Path(folder) / "large", format=format)
        assert cp.read(Path(folder) / "large", format=format).shape == (20_000, 64, 64, 3)
    print(peak() - before)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["shards", "npz"])
def test_writing_245_mb_takes_little_memory(format):
    assert float(outcome(print_growth, format)) < 120


def print_growth_of_reading(path: str) -> None:
    before = peak()
    cells = cp.read(path)
    assert cells.images[[5, 5_000, len(cells) - 1]].shape == (3, 96, 96, 3)
    print(peak() - before)


def test_a_large_npz_is_mapped():
    with tempfile.TemporaryDirectory() as folder:
        path, n = Path(folder) / "large.npz", 11_000
        zeros = np.broadcast_to(np.uint8(0), (n, 96, 96, 3))
        np.savez(path, images=zeros, labels=np.arange(n) % 2)
        assert path.stat().st_size > 300e6
        assert float(outcome(print_growth_of_reading, path)) < 50


# -- executors ---------------------------------------------------------------------------------


def late_or_early(span: executors.Span) -> int:
    time.sleep(0.02 if span[0] % 3 == 0 else 0)
    return span[0]


def _small(span: executors.Span) -> int:
    time.sleep(0.05 if span[0] < 40 else 2 * HANGS)  # what nobody should begin, or wait for
    return span[0]


def fails_at_four(span: executors.Span) -> int:
    if span[0] == 4:
        raise ZeroDivisionError("the fourth")
    return _small(span)


def dies_at_four(span: executors.Span) -> int:
    return os._exit(3) if span[0] == 4 else _small(span)


def worker(span: executors.Span) -> int:
    time.sleep(0.2)
    return os.getpid()


@dataclass
class Locked:
    """A task that cannot be pickled."""

    lock: Any = field(default_factory=threading.Lock)

    def __call__(self, span: executors.Span) -> int:
        return span[0]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_results_come_in_order(executor):
    with executors.using(executor, 3):
        assert list(executors.run(late_or_early, executors.cut(20, 2))) == list(range(0, 20, 2))
        assert list(executors.run(late_or_early, [])) == []


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_no_more_than_two_tasks_a_worker_are_under_way(workers):
    begun = []
    with executors.using("threads", workers):
        for taken, _ in enumerate(executors.run(begun.append, executors.cut(40, 1)), 1):
            time.sleep(0.005)  # a slow taker: the tasks must wait for it
            assert len(begun) - taken < 2 * workers


def print_error(executor: str, task: str) -> None:
    functions = {"fails": fails_at_four, "dies": dies_at_four, "locked": Locked()}
    got = []
    try:
        with executors.using(executor, 2):
            for result in executors.run(functions[task], executors.cut(1000, 1)):
                got.append(result)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        print(got == list(range(len(got))), len(got) <= 4, said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "task", "said"),
    [
        ("threads", "fails", "ZeroDivisionError: the fourth"),
        ("processes", "fails", "ZeroDivisionError: the fourth"),
        ("processes", "dies", "CellprepError: a worker process died"),
        ("processes", "locked", "CellprepError: the data set cannot be sent"),
    ],
)
def test_an_error_in_a_task_comes_out_at_once(executor, task, said):
    assert outcome(print_error, executor, task).startswith(f"True True {said}")


def print_workers() -> None:
    with executors.using("processes", 2):
        for pid in executors.run(worker, executors.cut(1000, 1)):
            print(pid, flush=True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_workers_end_with_the_process_that_started_them():
    process = start(print_workers)
    assert process.stdout is not None
    pids = {int(process.stdout.readline()) for _ in range(4)}
    process.kill()
    process.wait()
    limit = time.monotonic() + HANGS
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        if time.monotonic() > limit:
            break
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def test_more_shards_than_file_descriptors(tmp_path):
    """In a process of its own: other tests hold descriptors."""
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), np.uint8)
    write(cp.Dataset.from_arrays(images, np.arange(300) % 2), tmp_path / "out", rows_per_shard=1)
    np.save(tmp_path / "images.npy", images)
    code = """
import resource, sys, numpy, cellprep
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
read = cellprep.read(sys.argv[1] + "/out").to_arrays()[0]
assert numpy.array_equal(read, numpy.load(sys.argv[1] + "/images.npy"))
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, timeout=120)
