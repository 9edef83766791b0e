"""One function over many runs of rows, on threads, processes or Ray, in order, bounded."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..errors import CellprepError, in_range, one_of
from . import ray_cluster

Result = TypeVar("Result")
Span = tuple[int, int]
"""Rows start to stop."""

EXECUTORS = ("threads", "processes", "ray")


@dataclass(frozen=True)
class _Settings:
    executor: str = "threads"
    workers: int | None = None
    progress: bool = False


_DEFAULT = _Settings()
_settings: ContextVar[_Settings] = ContextVar("executor settings", default=_DEFAULT)


@contextmanager
def using(
    executor: str = "threads",
    workers: int | None = None,
    progress: bool = False,
    address: str | None = None,
) -> Iterator[None]:
    """Let every `run` inside the block work in this way; `address` is of a Ray cluster."""
    one_of("executor", executor, EXECUTORS)
    if workers is not None:
        in_range("workers", workers, 1, 1024, whole=True)
    if address is not None and executor != "ray":
        raise CellprepError(
            f"`address` is of a Ray cluster, got {address!r} with executor={executor!r}; "
            "choose executor='ray', or leave it out"
        )
    work: AbstractContextManager[int | None] = nullcontext(workers)
    if executor == "ray":
        work = ray_cluster.connected(address, workers, usable_cores())
    with work as most:
        token = _settings.set(_Settings(executor, most, progress))
        try:
            yield
        finally:
            _settings.reset(token)


@contextmanager
def alone() -> Iterator[None]:
    """Let every `run` inside the block work in this thread, unless there are other machines."""
    settings = _settings.get()
    if settings.executor != "ray":
        settings = replace(settings, executor="threads", workers=1)
    token = _settings.set(settings)
    try:
        yield
    finally:
        _settings.reset(token)


def run(
    function: Callable[[Span], Result],
    spans: Sequence[Span],
    stage: str = "",
    *,
    image_bytes: int = 0,
    done: int = 0,
) -> Generator[Result, None, None]:
    """Yield `function(span)` for every span, in order, with a progress bar named `stage`.

    The bar counts images, of `image_bytes` each; `done` were there before, and took no time. At
    most two spans a worker are under way or waiting to be taken, so memory is bounded by the
    workers. With processes the function travels to each worker once, by pickle; with Ray to each
    machine once.
    """
    settings = _settings.get()
    if settings.executor == "ray":
        results = ray_cluster.results(function, spans, settings.workers)
    else:
        results = _results(function, spans, settings.executor, settings.workers or usable_cores())
    if not (settings.progress and spans):
        yield from results
        return
    from tqdm import tqdm

    rows = done + sum(stop - start for start, stop in spans)
    shown: dict[str, Any] = {"total": rows, "initial": done, "unit": " images", "unit_scale": True}
    # disable=None: no bar where the output is not a terminal.
    with tqdm(desc=stage, disable=None, **shown) as bar:
        for (start, stop), result in zip(spans, results, strict=True):
            yield result
            if image_bytes:
                made = (bar.n + stop - start) * image_bytes / 1e6
                bar.set_postfix_str(f"{made:,.1f} MB", refresh=False)
            bar.update(stop - start)


def share_memory() -> bool:
    """Whether what `run` calls can write into arrays of this process."""
    return _settings.get().executor == "threads"


def cores() -> int:
    """The cores of this machine that `run` can keep busy."""
    return min(_settings.get().workers or usable_cores(), usable_cores())


def usable_cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _results(
    function: Callable[[Span], Result], spans: Sequence[Span], executor: str, workers: int
) -> Iterator[Result]:
    workers, ended = min(workers, len(spans)), threading.Event()
    pool: Executor
    call: Callable[[Any], Any] = function
    if executor == "processes":
        from loky import ProcessPoolExecutor  # works in notebooks and unguarded scripts too

        pool = ProcessPoolExecutor(
            max(workers, 1), initializer=_receive, initargs=(function, os.getpid())
        )
        call = _call
    elif workers <= 1:
        yield from map(function, spans)
        return
    else:
        pool = ThreadPoolExecutor(workers, initializer=_watch, initargs=(ended,))
    waiting: deque[Future[Result]] = deque()
    try:
        for span in spans:
            waiting.append(_submitted(pool, call, span))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenExecutor as error:
        raise CellprepError(
            "a worker process died, most likely for want of memory; ask for fewer workers="
        ) from error
    finally:
        ended.set()
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True)


def _submitted(pool: Executor, call: Callable[[Any], Any], span: Span) -> Future[Any]:
    try:
        return pool.submit(call, span)  # the first one starts the workers and pickles the function
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise CellprepError(
            f"the data set cannot be sent to other processes ({error}); choose executor='threads'"
        ) from error


class EndedError(Exception):
    """Raised in a thread whose run is over: Ctrl-C, or an error elsewhere."""


_thread = threading.local()


def _watch(ended: threading.Event) -> None:
    _thread.ended = ended


def go_on() -> None:
    """For long work to call now and then: ends it where its run is over."""
    ended: threading.Event | None = getattr(_thread, "ended", None)
    if ended is not None and ended.is_set():
        raise EndedError


_function: Callable[[Any], Any] | None = None


def _receive(function: Callable[[Any], Any], parent: int) -> None:
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches them too; the parent ends them
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _function = function


def _end_with(parent: int) -> None:
    """End this worker when the process that started it is gone: loky's own would wait forever."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _call(span: Span) -> Any:
    assert _function is not None
    return _function(span)


def cut(n: int, size: int) -> list[Span]:
    """The rows 0 to n as spans of at most `size` rows.

    >>> cut(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(start, min(start + size, n)) for start in range(0, n, size)]
