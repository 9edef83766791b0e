"""Data sets on other operating systems, which are simulated here (see `other_systems`)."""

from __future__ import annotations

import ast
import gc
import itertools
import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats import FORMATS
from cellprep.formats.folder_writer import file_names
from cellprep.formats.untrusted import inside
from cellprep.plan.rows import Rows
from cellprep.system import locks, paths, platform

from ..writing.helpers import dataset
from ..writing.test_kills import NAMES
from ..writing.verify_helpers import checked_files, cut, write
from .other_systems import (
    fold_names,
    lock_like_windows,
    open_files,
    refuse_changes_of_open_files,
)

SOURCES = sorted((Path(__file__).resolve().parents[2] / "src").rglob("*.py"))
TESTS = sorted(Path(__file__).resolve().parents[1].rglob("*.py"))
CLASSES = ["Blast", "blast", "a/b", "a__b", "CON", "lpt1.x", "end.", "end ", "é", "what?", "a:b"]

unix = pytest.mark.skipif(platform.WINDOWS, reason="this simulates Windows")
linux = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


# -- one module ---------------------------------------------------------------------------------

DIFFERENT = {  # what differs between systems, and is used in platform.py alone
    *("fcntl", "msvcrt", "_winapi", "resource", "pwd", "grp", "termios"),
    *("os.replace", "os.rename", "os.unlink", "os.remove", "os.kill", "os.fork", "os.getppid"),
    *("shutil.rmtree", "os.chmod", "os.link", "os.symlink", "os.uname", "os.sched_getaffinity"),
    *("signal.SIGKILL", "signal.SIGALRM", "signal.SIGHUP", "signal.pause"),
}


def portable(path: Path) -> list[str]:
    """What a module uses that differs between systems, and text files without encoding."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        named = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", "")]
            found += [name for name in modules if name in DIFFERENT]
        if named in DIFFERENT and "." in named:
            found.append(named)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            call = ast.unparse(node)
            if node.func.attr in ("read_text", "write_text") and "utf-8" not in call:
                found.append(f"{call}: no encoding")
            if node.func.attr == "write_text" and "newline='\\n'" not in call:
                found.append(f"{call}: no newline")
    return found


def test_what_differs_between_systems_is_in_one_module() -> None:
    found = {path.name: portable(path) for path in SOURCES}
    assert len(found.pop("platform.py")) > 5
    assert not {name: uses for name, uses in found.items() if uses}


def test_tests_can_be_imported_on_windows() -> None:
    """Those that need a module of Unix import it themselves, or skip the file with a reason."""
    unix = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}
    for path in TESTS:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = {alias.name for alias in node.names} | {getattr(node, "module", "")}
                assert not modules & unix, path


# -- names --------------------------------------------------------------------------------------


def check_names(names: list[str]) -> None:
    """Every part of a path can be a file of Windows, and no two are one there or on macOS."""
    assert len({name.casefold() for name in names}) == len(names)
    for part in {part for name in names for part in name.split("/")}:
        assert not PureWindowsPath(part).is_reserved()
        assert not part.endswith((".", " "))
        assert not {*part} & {*'<>:"|?*\\'}


def names_of(classes: list[str], stems: list[str]) -> list[str]:
    pairs = list(itertools.product(range(len(classes)), stems))
    ids = np.array([f"{classes[label]}/{stem}.png" for label, stem in pairs])
    rows = Rows.of(ids, np.array([label for label, _ in pairs]))
    return file_names(rows, tuple(classes)).tolist()


def test_names_of_classes_are_names_of_folders_on_all_systems() -> None:
    names = names_of(CLASSES, ["aux", "x.", "nul.1"])
    check_names(names)
    assert len({name.split("/")[0].casefold() for name in names}) == len(CLASSES)


@given(st.lists(st.text("aA.: conCON1²/é\\%_", min_size=1), min_size=1, max_size=5, unique=True))
def test_any_names_of_classes_are_names_of_folders_on_all_systems(classes) -> None:
    names = names_of(classes, ["con", "b"])
    check_names(names)
    assert len({name.split("/")[0].casefold() for name in names}) == len(classes)


@unix
def test_a_folder_of_classes_can_be_written_where_case_is_ignored(tmp_path, monkeypatch) -> None:
    fold_names(monkeypatch, tmp_path)
    (tmp_path / "Out").mkdir()
    assert (tmp_path / "oUT").is_dir()  # the simulation works, except in pyarrow
    labels = np.arange(22) % len(CLASSES)
    made = cp.Dataset.from_arrays(dataset(n=22).images[:], labels, CLASSES)
    cp.write(made, tmp_path / "Out", format="folder", progress=False)
    found = cp.read(tmp_path / "Out")
    assert found.class_names == made.class_names
    assert np.array_equal(found.images[:], made.images[:])
    assert np.array_equal(found.labels, made.labels)
    assert cp.verify(tmp_path / "Out").empty
    (tmp_path / "out" / "DataSet.json").unlink()  # the class folders alone have the labels too
    assert len(cp.read(tmp_path / "Out").class_names) == len(CLASSES)


@pytest.mark.parametrize(
    "name", ["../a", "C:/a", "C:a", "/a", "\\a", "\\\\server\\a", "a\\..\\..\\b"]
)
def test_a_name_from_data_does_not_lead_out_of_its_folder_on_windows(name, monkeypatch) -> None:
    monkeypatch.setattr(platform, "WINDOWS", True)
    assert not inside(name)
    assert inside("a/1.png")
    assert inside("a\\1.png")


def test_long_paths_of_windows_are_extended_and_compared_without(monkeypatch) -> None:
    long = "C:\\" + "cells\\" * 40 + "x"
    extended = PureWindowsPath(platform._extended(long))
    assert extended.anchor == "\\\\?\\C:\\"
    assert (extended / "y").parts[-2:] == ("x", "y")
    assert platform.plain(str(extended)) == long
    assert platform._extended(str(extended)) == str(extended)
    monkeypatch.setattr(platform, "WINDOWS", True)
    short = Path("out") / "train"
    assert platform.extended(short) == short  # a relative path stays one


def test_a_url_that_windows_has_changed_is_recognised() -> None:
    with pytest.raises(CellprepError, match="looks like a URL that pathlib has changed"):
        paths.as_path("s3:\\bucket\\cells")


def test_names_below_a_folder_have_slashes(tmp_path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.png").touch()
    assert paths.names(tmp_path) == ["a/b/c.png"]


def test_letters_that_a_pipe_of_windows_does_not_have_are_escaped(tmp_path) -> None:
    images, labels = dataset(n=4).images[:], np.zeros(4, int)
    cp.write(cp.Dataset.from_arrays(images, labels, ["嗜碱"]), tmp_path / "out", progress=False)
    shown = subprocess.run(
        [Path(sys.executable).with_name("cellprep"), "inspect", tmp_path / "out"],
        env={**_environment(), "PYTHONIOENCODING": "cp1252:strict"},
        capture_output=True,
        check=True,
    )
    assert b"\\u55dc\\u78b1" in shown.stdout


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONUTF8"}


# -- files in use -------------------------------------------------------------------------------


def size_of(file: Path) -> int:
    return file.stat().st_size


@linux
@pytest.mark.parametrize("format", NAMES)
def test_a_data_set_closes_its_files_at_once(format, tmp_path) -> None:
    """Not when the garbage collector runs: until then, Windows would refuse to overwrite it."""
    path = tmp_path / ("out.npz" if FORMATS[format].is_file else "out")
    write(path, format)
    gc.collect()
    gc.disable()
    try:
        read = cp.read(path)
        assert len(read.images[:3]) == len(read.images[[5]]) + 2 == 3
        assert read.masks is None or len(read.masks[:3]) == 3
        del read
        assert not {file for file in open_files() if file.startswith(str(path))}
    finally:
        gc.enable()


@linux
@pytest.mark.parametrize("format", NAMES)
def test_no_file_is_replaced_while_it_is_open(format, tmp_path, monkeypatch) -> None:
    """Windows would refuse: writing, resuming, repairing, replacing, and sets that were read."""
    lock_like_windows(monkeypatch)  # the lock file is deleted when it is closed
    refused = refuse_changes_of_open_files(monkeypatch)
    path = tmp_path / ("out.npz" if FORMATS[format].is_file else "out")
    write(path, format)
    assert cp.read(path).images[:3].shape == (3, 20, 20, 3)
    if path.is_dir():
        cut(max((path / name for name in checked_files(path)), key=size_of))
        write(path, format)
        assert cp.verify(path).empty
    write(path, format, seed=9, overwrite=True)
    assert cp.verify(path).empty
    assert not refused


@linux
def test_a_file_that_somebody_has_open_is_named_in_one_line(tmp_path, monkeypatch) -> None:
    write(tmp_path / "out")
    mapped = np.load(tmp_path / "out" / "shard-00000.npy", mmap_mode="r")
    refused = refuse_changes_of_open_files(monkeypatch)
    monkeypatch.setattr(platform, "in_use", lambda error: isinstance(error, PermissionError))
    with pytest.raises(CellprepError, match="close the programs and notebooks that have files"):
        write(tmp_path / "out", seed=9, overwrite=True)
    assert refused
    del mapped
    write(tmp_path / "out", seed=9, overwrite=True)
    assert cp.verify(tmp_path / "out").empty


def test_a_file_that_is_busy_for_a_moment_is_replaced_all_the_same(tmp_path, monkeypatch) -> None:
    source, target, calls = tmp_path / "a", tmp_path / "b", []
    source.write_text("new")
    target.write_text("old")

    def busy(*files: Path) -> None:
        calls.append(files)
        if len(calls) < 3:
            raise PermissionError("a virus scanner")
        source.rename(target)

    monkeypatch.setattr(platform, "os", SimpleNamespace(replace=busy))
    with pytest.raises(PermissionError):
        platform.replace(source, target)
    monkeypatch.setattr(platform, "WINDOWS", True)
    platform.replace(source, target)
    assert target.read_text() == "new"


def test_a_file_that_may_not_be_written_to_is_deleted_on_windows_too(tmp_path, monkeypatch) -> None:
    file, modes = tmp_path / "a", []
    file.touch()

    def unlink(path: Path) -> None:
        if not modes:
            raise PermissionError("read-only")
        path.unlink()

    monkeypatch.setattr(platform, "WINDOWS", True)
    fake = SimpleNamespace(unlink=unlink, chmod=lambda path, mode: modes.append(mode))
    monkeypatch.setattr(platform, "os", fake)
    platform.unlink(file)
    assert not file.exists()
    platform.unlink(file)


# -- locks and processes ------------------------------------------------------------------------


@unix
def test_the_locks_of_windows_let_one_writer_in(tmp_path, monkeypatch) -> None:
    lock_like_windows(monkeypatch)
    path = tmp_path / "out"
    with locks.only_writer(path, is_file=False):
        assert (path / ".cellprep" / "lock").read_bytes().startswith(b'{"host"')
        for look in (lambda: locks.check_free(path), lambda: write(path)):
            with pytest.raises(CellprepError, match=r"being written by another process \(pid"):
                look()
    assert not path.exists()  # the lock file is deleted, and the folders made for it
    write(path)
    assert not (path / ".cellprep").exists()
    assert cp.verify(path).empty


@unix
def test_two_who_look_at_a_lock_of_windows_do_not_see_each_other(tmp_path, monkeypatch) -> None:
    lock_like_windows(monkeypatch)
    lock = tmp_path / "out" / ".cellprep" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    other = platform.open_to_lock(lock, create=False)
    platform.lock(other, exclusive=False)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            os.close(other)

    monkeypatch.setattr("cellprep.system.locks.system_lock.time.sleep", sleep)
    locks.check_free(tmp_path / "out")
    assert len(waits) == 2


@pytest.mark.parametrize(("state", "ended"), [("runs", False), ("ended", True), ("gone", True)])
def test_processes_of_windows_are_asked_without_a_signal(state, ended, monkeypatch) -> None:
    closed = []

    def open_process(access: int, inherit: bool, pid: int) -> int:
        if state == "gone":
            error = OSError("the parameter is incorrect")
            error.winerror = 87  # type: ignore[attr-defined]
            raise error
        return 5

    fake = SimpleNamespace(
        OpenProcess=open_process,
        WaitForSingleObject=lambda handle, limit: 0 if state == "ended" or limit else 258,
        CloseHandle=closed.append,
        SYNCHRONIZE=1 << 20,
        WAIT_OBJECT_0=0,
        INFINITE=2**32 - 1,
    )
    monkeypatch.setattr(platform, "WINDOWS", True)
    monkeypatch.setattr(platform, "importlib", SimpleNamespace(import_module={"_winapi": fake}.get))
    assert platform.has_ended(7) == ended
    platform.wait_for_end_of_parent(7)  # returns
    assert closed == [5, 5] * (state != "gone")


def test_time_in_which_a_mac_slept_is_counted(monkeypatch) -> None:
    clocks = {"macOS's": 70.0}
    fake = SimpleNamespace(
        CLOCK_MONOTONIC="macOS's", clock_gettime=clocks.get, monotonic=lambda: 50.0
    )
    monkeypatch.setattr(platform, "time", fake)
    assert platform.since_boot() == 70
    monkeypatch.setattr(platform, "time", SimpleNamespace(monotonic=lambda: 50.0))
    assert platform.since_boot() == 50  # Windows, whose clock runs on in sleep
