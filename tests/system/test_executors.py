"""Executors: results in order, bounded work, errors at once, no workers left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cellprep.errors import CellprepError
from cellprep.system import executors

from ..writing.helpers import (
    TIMEOUT,
    outcome,
    start,
)


def slow_or_fast(span: executors.Span) -> int:
    time.sleep(0.02 if span[0] % 3 == 0 else 0)
    return span[0]


def _short_task(span: executors.Span) -> int:
    time.sleep(0.05 if span[0] < 40 else 2 * TIMEOUT)  # must neither be started nor waited for
    return span[0]


def fails_at_four(span: executors.Span) -> int:
    if span[0] == 4:
        raise ZeroDivisionError("the fourth")
    return _short_task(span)


def dies_at_four(span: executors.Span) -> int:
    return os._exit(3) if span[0] == 4 else _short_task(span)


def worker(span: executors.Span) -> int:
    time.sleep(0.2)
    return os.getpid()


@dataclass
class NotPicklable:
    """A task that cannot be pickled."""

    lock: Any = field(default_factory=threading.Lock)

    def __call__(self, span: executors.Span) -> int:
        return span[0]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_results_are_in_order(executor):
    with executors.using(executor, 3):
        assert list(executors.run(slow_or_fast, executors.cut(20, 2))) == list(range(0, 20, 2))
        assert list(executors.run(slow_or_fast, [])) == []


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_at_most_two_tasks_per_worker_are_in_progress(workers):
    begun = []
    with executors.using("threads", workers):
        for consumed, _ in enumerate(executors.run(begun.append, executors.cut(40, 1)), 1):
            time.sleep(0.005)  # a slow consumer: the tasks must wait for it
            assert len(begun) - consumed < 2 * workers


def print_error(executor: str, task: str) -> None:
    functions = {"fails": fails_at_four, "dies": dies_at_four, "locked": NotPicklable()}
    got = []
    try:
        with executors.using(executor, 2):
            for result in executors.run(functions[task], executors.cut(1000, 1)):
                got.append(result)
    except Exception as error:
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        print(got == list(range(len(got))), len(got) <= 4, message)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "task", "message"),
    [
        ("threads", "fails", "ZeroDivisionError: the fourth"),
        ("processes", "fails", "ZeroDivisionError: the fourth"),
        ("processes", "dies", "CellprepError: a worker process died"),
        ("processes", "locked", "CellprepError: the data set cannot be sent"),
    ],
)
def test_an_error_in_a_task_is_raised_at_once(executor, task, message):
    assert outcome(print_error, executor, task).startswith(f"True True {message}")


def print_workers() -> None:
    with executors.using("processes", 2):
        for pid in executors.run(worker, executors.cut(1000, 1)):
            print(pid, flush=True)


def interrupted_run(executor: str) -> None:
    """A run of long tasks; prints when it has begun, and what ended it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    print(os.getpid(), flush=True)
    try:
        with executors.using(executor, 2):
            for _ in executors.run(busy, executors.cut(400, 1)):
                print("begun", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)


def busy(span: executors.Span) -> int:
    """A task that can be stopped in between, longer than the test waits; the first is short."""
    for _ in range(1 if span[0] == 0 else 20 * TIMEOUT):
        executors.check_running()
        time.sleep(0.1)
    return span[0]


@pytest.mark.unix("no SIGINT for other processes")
@pytest.mark.parametrize("executor", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
@pytest.mark.parametrize("pauses", [(0.0,), (0.01,), (0.05,), (0.02, 0.0)])
def test_pressing_ctrl_c_again_ends_a_run_too(executor, pauses):
    process = start(interrupted_run, executor)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip().isdigit()
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        for pause in pauses:
            time.sleep(pause)
            process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=TIMEOUT)  # the tasks would take twice as long
    finally:
        process.kill()
    assert process.returncode in (0, 1, 130, -signal.SIGINT), printed


def test_ctrl_c_while_threads_are_told_to_stop_ends_them_too(monkeypatch):
    class Interrupted(threading.Event):
        times = 0

        def set(self) -> None:
            self.times += 1
            if self.times == 1:
                raise KeyboardInterrupt
            super().set()

    monkeypatch.setattr(
        executors, "threading", SimpleNamespace(**{**vars(threading), "Event": Interrupted})
    )
    with executors.using("threads", 2):
        results = executors.run(busy, executors.cut(400, 1))
        assert next(results) == 0
        with pytest.raises(KeyboardInterrupt):
            results.close()
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("ThreadPoolExecutor") for name in names), names


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_workers_end_with_their_parent_process():
    process = start(print_workers)
    assert process.stdout is not None
    pids = {int(process.stdout.readline()) for _ in range(4)}
    process.kill()
    process.wait()
    limit = time.monotonic() + TIMEOUT
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        if time.monotonic() > limit:
            break
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def test_processes_are_refused_in_a_daemonic_process(monkeypatch):
    """Such a process, for example a worker of multiprocessing.Pool, may not start others."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with (
        pytest.raises(CellprepError, match=r"daemonic.*choose executor='threads'"),
        executors.using("processes"),
    ):
        list(executors.run(worker, [(0, 1)]))
    with executors.using("threads", 2):
        assert list(executors.run(slow_or_fast, [(0, 1), (1, 2)])) == [0, 1]


@pytest.mark.parametrize(("spans", "workers"), [(1, 3), (2, 3), (7, 2), (9, 1)])
def test_items_of_a_span_are_shared_and_stay_in_order(spans, workers):
    def squares(span: executors.Span) -> list[int]:
        return executors.spread(lambda item: item * item, range(*span))

    each = executors.cut(spans * 50, 50)
    with executors.using(workers=workers):
        assert [*executors.run(squares, each)] == [[n * n for n in range(*span)] for span in each]


def test_idle_threads_help_with_the_items_of_the_last_span():
    together = threading.Barrier(2)

    def last_waits_for_another(span: executors.Span) -> list[int]:
        def item(number: int) -> int:
            if span[0] == 2:
                together.wait(TIMEOUT)
            return threading.get_ident()

        return executors.spread(item, range(2))

    with executors.using(workers=2):
        *_, last = executors.run(last_waits_for_another, executors.cut(3, 1))
    assert len(set(last)) == 2


def test_an_error_in_a_shared_item_is_raised():
    def fails(span: executors.Span) -> list[float]:
        return executors.spread(lambda item: 1 / (item - 17), range(50))

    with executors.using(workers=3), pytest.raises(ZeroDivisionError):
        [*executors.run(fails, executors.cut(2, 1))]
