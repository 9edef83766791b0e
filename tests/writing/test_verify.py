"""Damage is named and mended; one writer at a time; a disk that fills; leases without a system."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
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
from cellprep.system import locks, platform
from cellprep.system.locks import lease as leases
from cellprep.system.locks import owner as owners
from cellprep.writing.records import Saved, load_whole, save_record
from cellprep.writing.shards import Part, write_parts
from cellprep.writing.write import plan_write

from .test_kills import NAMES, tree
from .test_kills import write as write_job

FOLDERS = [name for name in NAMES if not FORMATS[name].is_file]


def cells(n: int = 3) -> cp.Dataset:
    images, labels = draw_cells([n] * 8, side=24, seed=1)
    recipe = cp.Recipe([cp.Crop(20), cp.KMeansMask(), cp.Jitter()], seed=3)
    return recipe(cp.Dataset.from_arrays(images, labels))


def write(path: Path, format: str = "shards", seed: int = 3, **options) -> cp.Written:
    settings = {"rows_per_shard": 5, "workers": 2, "progress": False, "masks": True, **options}
    made = cells() if seed == 3 else cp.Recipe([cp.KMeansMask(), cp.Jitter()], seed)(cells())
    return cp.write(made, path, format=format, **settings)


def names(path: Path) -> list[str]:
    """What is checked: every file but the manifest, which holds the digests."""
    return sorted(name for name in tree(path) if name != "dataset.json")


def remove(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def add(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


DAMAGE = {
    "missing": (remove, {"missing"}),
    "cut": (cut, {"cut short", "wrong bytes"}),
    "flipped": (flip, {"wrong bytes"}),
    "longer": (add, {"too long", "wrong bytes"}),
}


@pytest.mark.parametrize("format", [name for name in NAMES if FORMATS[name].is_file])
def test_an_archive_is_whole_until_an_array_is_gone(tmp_path, format) -> None:
    import zipfile

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


# -- verify, and write again -------------------------------------------------------------------


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("format", FOLDERS)
def test_any_damaged_file_is_named_and_mended(format, what, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    expected = tree(path)
    (path / "notes.txt").write_text("mine")  # not ours, and no damage
    assert not len(cp.verify(path, progress=False))
    damage, states = DAMAGE[what]
    every = names(path)
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
        assert ("made again" in str(again)) == (again.repaired > 0)
        assert tree(path) == {**expected, "notes.txt": b"mine"}


@pytest.mark.parametrize("format", FOLDERS)
def test_only_what_is_damaged_is_written(format, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    victim = names(path)[0]
    (path / victim).unlink()
    dated = {name: (path / name).stat().st_mtime_ns for name in names(path)}
    write(path, format)
    assert {name: (path / name).stat().st_mtime_ns for name in names(path)}.items() > dated.items()


@pytest.mark.parametrize("format", FOLDERS)
def test_a_repair_that_is_cut_off_goes_on(format, tmp_path, monkeypatch):
    """Of everything: all parts and the index are damaged."""
    path = tmp_path / "out"
    write(path, format)
    expected = tree(path)
    for name in names(path):
        flip(path / name)
    begun, make = [], Part.__call__

    def fails_at_the_third(self: Part, span: tuple[int, int]) -> Any:
        begun.append(span)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return make(self, span)

    monkeypatch.setattr(Part, "__call__", fails_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        write(path, format, workers=1)
    assert len(cp.verify(path, progress=False))
    assert write(path, format, workers=1).repaired == 24
    assert [start for start, _ in begun] == [0, 5, 10, 10, 15, 20]
    assert tree(path) == expected


def test_what_comes_out_otherwise_is_refused_and_nothing_touched(tmp_path):
    path = tmp_path / "out"
    write(path)
    saved = json.loads((path / "dataset.json").read_text())
    saved["shards"][1]["files"]["shard-00001.npy"]["xxh3_128"] = "0" * 32
    (path / "dataset.json").write_text(json.dumps(saved))
    before = tree(path)
    with pytest.raises(CellprepError, match=r"shard-00001.npy' comes out otherwise .*overwrite="):
        write(path)
    assert {k: v for k, v in tree(path).items() if not k.startswith(".cellprep")} == before


def no_index(path: Path, records: Iterable[Saved]) -> None:
    assert list(records)
    raise ZeroDivisionError


@pytest.mark.parametrize("format", FOLDERS)
def test_a_record_without_its_data_is_not_believed(format, tmp_path, monkeypatch):
    """As a power cut may leave it."""
    path = tmp_path / "out"
    write(tmp_path / "reference", format)
    with monkeypatch.context() as patched:
        patched.setitem(write_parts.__globals__, "write_index", no_index)
        with pytest.raises(ZeroDivisionError):
            write(path, format)
    (path / ".cellprep" / "part-00003.arrow").write_bytes(b"")
    ((_, entry),) = load_whole([path / ".cellprep" / "part-00000.arrow"])
    flip(path / next(iter(entry["files"])) if entry["files"] else next(path.rglob("*.png")))
    again = write(path, format)
    assert again.repaired in (9, 10)  # two of five parts, the last of which has four rows
    assert again.resumed == 24 - again.repaired
    assert tree(path) == tree(tmp_path / "reference")


@given(data=st.data())
def test_any_change_of_a_record_is_seen(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "part-00000.arrow"
    saved = pa.table({"row": [3, 4]}), {"rows": 2, "files": {"a.npy": {"bytes": 1}}}
    save_record(path, *saved)
    assert load_whole([path]) == [saved]
    held = path.read_bytes()
    at, by = data.draw(st.integers(0, len(held) - 1)), data.draw(st.integers(1, 255))
    flipped = held[:at] + bytes([held[at] ^ by]) + held[at + 1 :]
    for damaged in (flipped, held[:at], held + bytes([by])):
        path.write_bytes(damaged)
        assert load_whole([path]) == [None]


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


def test_the_command_has_an_exit_code_for_each_case(tmp_path):
    path = tmp_path / "out"
    write(path)
    line = ["verify", str(path)]
    done = CliRunner().invoke(main, line)
    assert (done.exit_code, "24 images, all whole" in done.output) == (0, True)
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


def test_names_in_a_manifest_lead_nowhere_else(tmp_path):
    path = tmp_path / "out"
    write(path)
    saved = json.loads((path / "dataset.json").read_text())
    saved["files"]["../../secret"] = {"bytes": 1, "xxh3_128": ""}
    (path / "dataset.json").write_text(json.dumps(saved))
    with pytest.raises(CellprepError, match="names a file outside its folder"):
        cp.verify(path, progress=False)


# -- quarantine --------------------------------------------------------------------------------


@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
def test_an_overwrite_takes_the_copies_of_bad_files_with_it(complete, tmp_path):
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


# -- one writer at a time ----------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from cellprep.system.locks import only_writer
with only_writer(Path(sys.argv[1]), is_file=sys.argv[2] == "npz"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path, format: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), format],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("second", ["shards", "npz"])
@pytest.mark.parametrize("first", ["shards", "npz"])
@pytest.mark.parametrize("stands", ["nothing", "shards", "npz"])
def test_a_second_writer_is_refused_and_the_first_named(stands, first, second, tmp_path):
    path = tmp_path / "out"
    if stands != "nothing":
        write(path, stands, seed=9)
    with holder(path, first) as process:
        before, message = tree(tmp_path), rf"being written .*pid {process.pid} on "
        made = cells().then(lambda plan: pytest.fail("this may take long"))
        with pytest.raises(CellprepError, match=message):
            cp.write(made, path, format=second, overwrite=True)
        with (
            pytest.raises(CellprepError, match=message),
            locks.only_writer(path, is_file=second == "npz"),
        ):
            pytest.fail("two at a time")
        assert tree(tmp_path) == before
        process.kill()
    write(path, second, overwrite=True)  # what is left of the lock stops nobody
    write(tmp_path / "reference" / "out", second)
    assert tree(path) == tree(tmp_path / "reference" / "out")
    assert {entry.name for entry in tmp_path.iterdir()} == {"out", "reference"}


def test_the_writer_that_comes_late_looks_again(tmp_path):
    """Two have planned; the second finds what the first has finished."""
    jobs = [plan_write(cells(), tmp_path / "out") for _ in range(2)]
    assert [job.run().resumed for job in jobs] == [0, 24]


def test_of_many_that_begin_at_once_one_holds_the_lock(tmp_path):
    path, inside, most = tmp_path / "out", [], []

    def hold() -> None:
        for _ in range(20):
            try:
                with locks.only_writer(path, is_file=False):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except CellprepError:
                continue

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert not tree(tmp_path)


def test_the_temporaries_of_a_neighbour_stay(tmp_path):
    """Of `out.npz`, which may be being written while `out` is swept."""
    mine = tmp_path / ".out.01234567.cellprep.tmp"
    theirs = tmp_path / ".out.npz.01234567.cellprep.tmp"
    for file in (mine, theirs):
        file.touch()
    write(tmp_path / "out")
    assert (mine.exists(), theirs.exists()) == (False, True)


def test_a_lock_that_was_taken_away_is_none(tmp_path, monkeypatch):
    """The last writer unlinks its lock between our opening and our locking it."""
    place, lock, calls = tmp_path / "out" / ".cellprep" / "lock", fcntl.flock, []

    def late(file: int, how: int) -> None:
        if not calls:
            place.unlink()
        calls.append(how)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locks.only_writer(tmp_path / "out", is_file=False):
        assert json.loads(place.read_text())["pid"] == os.getpid()
    assert len(calls) == 2


# -- leases ------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, which the test sets; and paths that know no locks of the system."""
    now = [1000.0]
    monkeypatch.setattr(leases, "_now", lambda: now[0])
    monkeypatch.setattr(leases, "_sleep", lambda seconds: None)
    monkeypatch.setattr(platform, "has_system_locks", lambda path: False)
    return now


def lease(path: Path, **changed) -> dict:
    place = path / ".cellprep" / "lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    owner = {"host": "far", "machine": "1", "pid": 7, "token": "x", "time": 1000.0, **changed}
    place.write_text(json.dumps(owner))
    return owner


def test_a_lease_shuts_others_out_until_it_is_stale(clock, tmp_path):
    path = tmp_path / "out"
    lease(path)
    clock[0] += 59
    with pytest.raises(CellprepError, match=r"being written .*pid 7 on far"):
        write(path)
    clock[0] += 2
    write(path)
    assert not (path / ".cellprep").exists()
    write(tmp_path / "reference")
    assert tree(path) == tree(tmp_path / "reference")


def test_a_lease_of_a_process_here_ends_with_it(clock, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = owners.this_process()
    lease(tmp_path / "out", **{**here, "pid": os.getpid()})
    with pytest.raises(CellprepError, match=f"pid {os.getpid()} on"):
        locks.check_free(tmp_path / "out")
    lease(tmp_path / "out", **{**here, "pid": gone.pid})
    locks.check_free(tmp_path / "out")


def again_and_again(check: Callable[[], object]) -> None:
    """Until it gives something or raises, or too long."""
    limit = time.monotonic() + 600
    while not check() and time.monotonic() < limit:
        pass


def test_a_lease_is_refreshed_and_its_loss_noticed(clock, tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "_RENEWED", 0.001)
    path, place = tmp_path / "out", tmp_path / "out" / ".cellprep" / "lock"
    with locks.only_writer(path, is_file=False) as check:
        clock[0] = 2000.0
        again_and_again(lambda: leases.holder(place).get("time") == 2000.0)
        assert leases.holder(place)["time"] == 2000.0
        check()
        lease(path, time=2000.0)
        with pytest.raises(CellprepError, match=r"being written .*pid 7 on far"):
            again_and_again(check)
    assert leases.holder(place)["token"] == "x"  # the other's stays


def test_two_leases_at_once_leave_one(clock, tmp_path, monkeypatch):
    path = tmp_path / "out"
    monkeypatch.setattr(leases, "_sleep", lambda seconds: lease(path))
    with pytest.raises(CellprepError, match="pid 7 on far"), locks.only_writer(path, is_file=False):
        pytest.fail("the other wrote last")


# -- a disk that fills -------------------------------------------------------------------------

MESSAGE = r"cannot write .*(No space left|File too large).*; free some space; nothing half-written"


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """1 MB."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(command).returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("format", NAMES)
def test_a_full_disk_is_told_and_the_write_goes_on(format, small_disk, tmp_path):
    path, ballast = small_disk / "out", small_disk / "ballast"
    settings = {"rows_per_shard": 16, "masks": False}
    write_job(tmp_path / "reference", format, n=4, **settings)
    expected = tree(tmp_path / "reference")
    total = sum(map(len, expected.values()))
    assert total < 900_000
    for share in (0.02, 0.5, 0.95):
        ballast.write_bytes(bytes((1 << 20) - int(share * total) // 4096 * 4096 - 8192))
        with pytest.raises(CellprepError, match=MESSAGE) as caught:
            write_job(path, format, n=4, **settings)
        assert "\n" not in str(caught.value)
        for name, data in (tree(path) if path.exists() else {}).items():
            assert name.startswith(".cellprep") or data == expected[name]
        assert not list(small_disk.rglob("*.tmp"))
        ballast.unlink()
    write_job(path, format, n=4, **settings)
    assert tree(path) == expected
    assert list(small_disk.iterdir()) == [path]
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("format", NAMES)
def test_a_limit_on_the_size_of_files_is_told(format, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(CellprepError, match=MESSAGE):
            write(tmp_path / "out", format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    write(tmp_path / "out", format)
    write(tmp_path / "reference", format)
    assert tree(tmp_path / "out") == tree(tmp_path / "reference")
