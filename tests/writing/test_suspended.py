"""A writer that was suspended until its lease expired, and another that took over meanwhile."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.synthetic import CLASS_NAMES
from cellprep.system import paths
from cellprep.system.locks import lease as leases
from cellprep.writing import job

from .helpers import TIMEOUT, below, dataset, tree, write

pytest.importorskip("upath")

NAMES = ("shards", "folder", "npz", "zarr", "parquet")
EXPIRED = 1.0
ROUNDS = int(os.environ.get("CELLPREP_SUSPENSIONS", "10"))
TAKEN_OVER = "written by another process.* took over because this one"


def first() -> cp.Dataset:
    return cp.Recipe([cp.Jitter()], seed=1)(dataset(n=8, class_names=CLASS_NAMES))


def second() -> cp.Dataset:
    return cp.Recipe([cp.Jitter()], seed=2)(dataset(n=7, class_names=CLASS_NAMES))


def options(format: str) -> dict[str, Any]:
    return {"format": format, "rows_per_shard": 2, "overwrite": True, "workers": 1}


def published(url: str) -> dict[str, bytes]:
    """The files of a data set, without what is left of the work of others."""
    return {name: data for name, data in below(url).items() if not name.startswith(".cellprep/")}


def pausing(monkeypatch: pytest.MonkeyPatch, fs: Any, moment: int) -> tuple[Any, Any]:
    """Let the nth change of a store wait; two events: it waits, and it may go on."""
    waits, may_go_on, counted = threading.Event(), threading.Event(), iter(range(10**6))

    def late(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*given: Any, **named: Any) -> Any:
            if not waits.is_set() and next(counted) == moment:
                waits.set()
                may_go_on.wait(TIMEOUT)
            return change(*given, **named)

        return changed

    for name in ("put_file", "pipe_file", "rm_file", "call_s3"):
        if hasattr(fs, name):
            monkeypatch.setattr(fs, name, late(getattr(fs, name)))
    return waits, may_go_on


EVERY = pytest.mark.slow


@pytest.mark.parametrize(
    ("format", "before", "moments"),
    [
        ("shards", "nothing", (5, 8)),
        pytest.param("shards", "nothing", itertools.count(), marks=EVERY),
        pytest.param("shards", "another set", itertools.count(), marks=EVERY),
        pytest.param("npz", "another set", itertools.count(), marks=EVERY),
    ],
)
def test_a_request_that_arrives_late_changes_nothing(
    format, before, moments, s3, tmp_path, monkeypatch
) -> None:
    """A request that changes the store arrives only once the next writer is done."""
    monkeypatch.setattr(leases, "_SETTLED", 0.0)
    # A writer that was delayed looks at its lease again; here the delay may be shorter.
    monkeypatch.setattr(leases, "_ASKED_AGAIN", 0.0)
    for name, made in (("first", first), ("second", second)):
        write(made(), tmp_path / name, **options(format))
    expected, outcomes = tree(tmp_path / "second"), []
    for moment in moments:
        url = f"{s3}/{moment}"
        if before == "another set":
            write(dataset(n=9), url, format="shards", rows_per_shard=4)
        refused: list[CellprepError] = []

        def write_first(url: str = url, refused: list[CellprepError] = refused) -> None:
            try:
                write(first(), url, **options(format))
            except CellprepError as error:
                refused.append(error)

        with monkeypatch.context() as patch:
            waits, may_go_on = pausing(patch, paths.as_path(url).fs, moment)
            writer = threading.Thread(target=write_first)
            writer.start()
            while writer.is_alive() and not waits.wait(0.01):
                pass
            if not waits.is_set():
                break  # fewer changes than that
            with monkeypatch.context() as sooner:
                sooner.setattr(leases, "_EXPIRED", -1.0)
                write(second(), url, **options(format))
            may_go_on.set()
            writer.join()
        if refused:
            assert re.search(TAKEN_OVER, str(refused[0])), refused[0]
            left = published(url)
            assert {name: left.get(name) for name in expected} == expected
        else:  # it waited before it was the writer, or after it was done
            assert published(url) in (expected, tree(tmp_path / "first"))
        assert cp.verify(url, progress=False).empty
        outcomes.append(bool(refused))
    assert outcomes.count(True) >= min(len(outcomes), 5)


# -- real processes ----------------------------------------------------------------------------


def write_on_request(executor: str) -> None:
    """Write to each URL on standard input; print what came of it."""
    leases._EXPIRED, leases._RENEWED, leases._SETTLED = EXPIRED, EXPIRED / 8, 0.0
    make_way = job.make_way

    def begin(*given: Any) -> None:
        print("begins", flush=True)
        make_way(*given)

    job.make_way = begin
    print("ready", flush=True)
    for line in sys.stdin:
        format, url = line.rstrip().split(" ", 1)
        try:
            write(first(), url, **{**options(format), "executor": executor})
            print("written", flush=True)
        except CellprepError as error:
            print(error, flush=True)


@pytest.fixture
def writer(request: Any, server: str) -> Iterator[subprocess.Popen[str]]:
    """A process that writes on request, with this executor."""
    if os.name == "nt":
        pytest.skip("not on Windows: no SIGSTOP")
    code = f"import sys; from {__name__} import write_on_request as f; f(sys.argv[1])"
    roots = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-c", code, request.param],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()


def take_over(url: str, format: str) -> None:
    """Write as soon as the lease of the suspended writer has expired."""
    limit = time.monotonic() + TIMEOUT
    while time.monotonic() < limit:
        try:
            write(second(), url, **options(format))
            return
        except CellprepError as error:
            if "being written by another process" not in str(error):
                raise
        time.sleep(EXPIRED / 10)
    pytest.fail("the lease never expired")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("writer", "rounds"), [("threads", ROUNDS), ("processes", ROUNDS // 2)], indirect=["writer"]
)
def test_a_suspended_process_changes_nothing_after_another_took_over(
    writer, rounds, s3, tmp_path, monkeypatch
) -> None:
    """Suspended at random moments; its worker processes, if it has any, go on meanwhile."""
    rng, refused, longest = random.Random(rounds), 0, 2.0
    monkeypatch.setattr(leases, "_EXPIRED", EXPIRED)
    monkeypatch.setattr(leases, "_RENEWED", EXPIRED / 8)
    for format in NAMES:
        write(second(), tmp_path / format, **options(format))
    assert writer.stdin is not None
    assert writer.stdout is not None
    for number in range(4 * rounds):
        if number >= rounds and refused >= rounds / 3:
            break
        format, url = NAMES[number % len(NAMES)], f"{s3}/{number}"
        if number % 3 == 0:
            write(dataset(n=9), url, format="shards", rows_per_shard=4)
        print(format, url, file=writer.stdin, flush=True)
        assert writer.stdout.readline() == "begins\n"
        began = time.monotonic()
        time.sleep(rng.uniform(0, longest))
        suspended = time.monotonic()
        writer.send_signal(signal.SIGSTOP)
        take_over(url, format)
        writer.send_signal(signal.SIGCONT)
        outcome = writer.stdout.readline().strip()
        expected = tree(tmp_path / format)
        if outcome != "written":
            assert re.search(TAKEN_OVER, outcome), outcome
            refused, longest = refused + 1, longest * 1.2
            left = published(url)
            assert {name: left.get(name) for name in expected} == expected
        else:  # it was done before
            longest /= 2
            assert published(url) == expected
        assert cp.verify(url, progress=False).empty
        print(f"{number} {format}: {suspended - began:.2f} s, {outcome[-120:]}")
    print(f"{refused} of {number} were suspended while they wrote")
    assert refused >= rounds / 3
