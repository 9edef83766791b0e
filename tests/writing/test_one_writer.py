"""Only one process writes to a path, by a system lock or by a lease."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import cellmodels
import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats import stamps as files
from cellprep.report.contact_sheet import contact_sheet
from cellprep.system import locks, platform
from cellprep.system.locks import lease as leases
from cellprep.system.locks import owner as owners
from cellprep.writing.job import plan_write

from .helpers import dataset
from .test_kills import tree
from .verify_helpers import cells, write

LOCKING_SCRIPT = """
import sys
from pathlib import Path
from cellprep.system.locks import only_writer
with only_writer(Path(sys.argv[1]), is_file=sys.argv[2] == "npz"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def locking_process(path: Path, format: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKING_SCRIPT, str(path), format],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.mark.parametrize("second", ["shards", "npz"])
@pytest.mark.parametrize("first", ["shards", "npz"])
@pytest.mark.parametrize("existing", ["nothing", "shards", "npz"])
def test_a_second_writer_is_refused_and_the_first_is_named(existing, first, second, tmp_path):
    path = tmp_path / "out"
    if existing != "nothing":
        write(path, existing, seed=9)
    with locking_process(path, first) as process:
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
    write(path, second, overwrite=True)  # the old lock file excludes nobody
    write(tmp_path / "reference" / "out", second)
    assert tree(path) == tree(tmp_path / "reference" / "out")
    assert {entry.name for entry in tmp_path.iterdir()} == {"out", "reference"}


def test_a_job_that_waited_checks_the_target_again(tmp_path):
    """Two jobs are planned; the second finds the data set of the first complete."""
    jobs = [plan_write(cells(), tmp_path / "out") for _ in range(2)]
    assert [job.run().resumed for job in jobs] == [0, 24]


def test_only_one_of_many_simultaneous_writers_gets_the_lock(tmp_path):
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


def test_temporary_files_of_a_neighbour_are_kept(tmp_path):
    """Files of `out.npz`, which may be in progress while `out` is cleaned up."""
    mine = tmp_path / ".out.01234567.cellprep.tmp"
    theirs = tmp_path / ".out.npz.01234567.cellprep.tmp"
    for file in (mine, theirs):
        file.touch()
    write(tmp_path / "out")
    assert (mine.exists(), theirs.exists()) == (False, True)


@pytest.mark.unix("another function locks")
def test_a_deleted_lock_file_is_no_lock(tmp_path, monkeypatch):
    """Another writer deletes its lock file between our opening and our locking it."""
    import fcntl

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


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, set by the test, on paths without system locks."""
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


def test_a_lease_excludes_others_until_it_is_stale(clock, tmp_path):
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


def test_a_lease_of_a_local_process_ends_with_the_process(clock, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = owners.this_process()
    lease(tmp_path / "out", **{**here, "pid": os.getpid()})
    with pytest.raises(CellprepError, match=f"pid {os.getpid()} on"):
        locks.check_free(tmp_path / "out")
    lease(tmp_path / "out", **{**here, "pid": gone.pid})
    locks.check_free(tmp_path / "out")


def retry(check: Callable[[], object]) -> None:
    """Call until it returns a true value, raises, or takes too long."""
    limit = time.monotonic() + 600
    while not check() and time.monotonic() < limit:
        pass


def test_a_lease_is_refreshed_and_its_loss_detected(clock, tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "_RENEWED", 0.001)
    path, place = tmp_path / "out", tmp_path / "out" / ".cellprep" / "lock"
    with locks.only_writer(path, is_file=False) as check:
        clock[0] = 2000.0
        retry(lambda: leases.holder(place).get("time") == 2000.0)
        assert leases.holder(place)["time"] == 2000.0
        check()
        lease(path, time=2000.0)
        with pytest.raises(CellprepError, match=r"being written .*pid 7 on far"):
            retry(check)
    assert leases.holder(place)["token"] == "x"  # the other lease is kept


def test_of_two_simultaneous_leases_one_remains(clock, tmp_path, monkeypatch):
    path = tmp_path / "out"
    monkeypatch.setattr(leases, "_sleep", lambda seconds: lease(path))
    with pytest.raises(CellprepError, match="pid 7 on far"), locks.only_writer(path, is_file=False):
        pytest.fail("the other wrote last")


def test_a_clock_that_jumps_back_harms_no_data(clock, tmp_path, monkeypatch):
    """Another writer may take over; the first one, whose lease seems to be of the future, stops."""
    monkeypatch.setattr(leases, "_ASKED_AGAIN", 0)
    path = tmp_path / "out"

    def first_writer() -> None:
        with locks.only_writer(path, is_file=False) as check:
            clock[0] -= 3600
            check()
            second = threading.Thread(target=write, args=(path,))
            second.start()
            second.join()
            files.save(path / "shard-00000.npy", [b"of the first writer"])

    with pytest.raises(CellprepError, match=r"written by another process.*took over because"):
        first_writer()
    write(tmp_path / "reference")
    assert tree(path) == tree(tmp_path / "reference")


@pytest.mark.parametrize("kind", ["page", "picture", "training", "comparison"])
def test_whatever_else_is_written_has_one_writer_too(kind, tmp_path):
    output = tmp_path / ("out.html" if kind in ("page", "picture") else "out")
    made = {
        "page": lambda: cp.report(cells(), output),
        "picture": lambda: contact_sheet(cells(), output),
        "training": lambda: cellmodels.fit(None, cells(), out=output),
        "comparison": lambda: cellmodels.compare(tmp_path / "table.toml", output),
    }[kind]
    with locking_process(output, "npz" if kind in ("page", "picture") else "shards") as process:
        with pytest.raises(CellprepError, match=rf"being written .*pid {process.pid} on "):
            made()
        process.kill()
    if kind in ("page", "picture"):
        made()
        assert [file.name for file in tmp_path.iterdir()] == ["out.html"]


@pytest.mark.parametrize(
    "place",
    ["a file/out.html", pytest.param("/proc/nowhere/out.html", marks=pytest.mark.unix("no /proc"))],
)
def test_a_page_that_cannot_be_written_is_one_line(place, tmp_path):
    (tmp_path / "a file").touch()
    for made in (cp.report, contact_sheet, lambda data, at: cp.DuplicateIndex.of(data).save(at)):
        with pytest.raises(CellprepError, match="cannot write") as caught:
            made(dataset(n=9), tmp_path / place)
        assert "\n" not in str(caught.value)
