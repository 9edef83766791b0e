"""One function over many spans of rows, on threads, processes or Ray; ordered results."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from ..errors import CellprepError, in_range, one_of
from . import interrupts, ray_cluster
from .platform import usable_cores as usable_cores
from .platform import wait_for_end_of_parent
from .ray_cluster import Span as Span

Item = TypeVar("Item")
Result = TypeVar("Result")

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
    """Set how every `run` inside the block works; `address` is that of a Ray cluster."""
    one_of("executor", executor, EXECUTORS)
    if workers is not None:
        in_range("workers", workers, 1, 1024, whole=True)
    if address is not None and executor != "ray":
        raise CellprepError(
            f"`address` is for executor='ray', got {address!r} with executor={executor!r}; "
            "choose executor='ray' or leave `address` out"
        )
    if executor == "processes" and multiprocessing.current_process().daemon:
        raise CellprepError(
            "executor='processes' starts processes, which this one may not: it is daemonic, as "
            "are workers of multiprocessing.Pool and DataLoader; choose executor='threads'"
        )
    connection: AbstractContextManager[int | None] = nullcontext(workers)
    if executor == "ray":
        connection = ray_cluster.connected(address, workers, usable_cores())
    with connection as limit:
        token = _settings.set(_Settings(executor, limit, progress))
        try:
            yield
        finally:
            _settings.reset(token)


@contextmanager
def in_this_thread() -> Iterator[None]:
    """Let every `run` inside the block use this thread only, except with Ray."""
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

    The bar counts images, of `image_bytes` each, starting at the `done` images of an earlier run.
    At most two spans per worker are in progress or waiting to be consumed, so the number of workers
    bounds memory. With processes the function is pickled once per worker, with Ray once per
    machine.
    """
    settings = _settings.get()
    if settings.executor == "ray":
        results = ray_cluster.results(function, spans, settings.workers)
    else:
        results = _results(function, spans, settings.executor, settings.workers or usable_cores())
    yield from _counted(results, spans, stage, image_bytes, done)


def keep(
    function: Callable[[Span], tuple[Any, Result]],
    spans: Sequence[Span],
    stage: str = "",
    *,
    image_bytes: int = 0,
) -> Iterator[tuple[Any, Result]]:
    """Like `run`, on a cluster: the first half of each result stays there, to be shuffled."""
    results = ray_cluster.kept(function, spans, _settings.get().workers)
    yield from _counted(results, spans, stage, image_bytes)


def shuffle(
    pieces: Sequence[Sequence[Any]],
    split: Callable[..., Sequence[Any]],
    combine: Callable[..., Result],
    buckets: int,
) -> Iterator[Result]:
    """Yield `combine` of the first block of every piece, of the second block, and so on.

    A piece is a group of what was kept on the cluster, and `split` makes that many blocks of it.
    """
    return ray_cluster.shuffled(pieces, split, combine, buckets, _settings.get().workers)


def on_cluster() -> bool:
    """Whether `run` uses Ray."""
    return _settings.get().executor == "ray"


def _counted(
    results: Iterator[Result],
    spans: Sequence[Span],
    stage: str,
    image_bytes: int = 0,
    done: int = 0,
) -> Iterator[Result]:
    """The results, with a progress bar if one was asked for."""
    if not (_settings.get().progress and spans):
        yield from results
        return
    from tqdm import tqdm

    total = done + sum(stop - start for start, stop in spans)
    counter: dict[str, Any] = {"total": total, "initial": done, "unit_scale": True}
    # disable=None: no bar if the output is not a terminal.
    with tqdm(desc=stage, disable=None, unit=" images", **counter) as bar:
        for (start, stop), result in zip(spans, results, strict=True):
            yield result
            if image_bytes:
                made = (bar.n + stop - start) * image_bytes / 1e6
                bar.set_postfix_str(f"{made:,.1f} MB", refresh=False)
            bar.update(stop - start)


def share_memory() -> bool:
    """Whether the function of `run` can write into arrays of this process."""
    return _settings.get().executor == "threads"


def cores() -> int:
    """The number of cores of this machine that `run` uses."""
    return min(_settings.get().workers or usable_cores(), usable_cores())


def _results(
    function: Callable[[Span], Result], spans: Sequence[Span], executor: str, workers: int
) -> Iterator[Result]:
    workers, stopped = min(workers, len(spans)), threading.Event()
    pool: Executor
    call: Callable[[Any], Any] = function
    if executor == "processes":
        from loky import ProcessPoolExecutor  # works in notebooks and unguarded scripts too

        pool = ProcessPoolExecutor(
            max(workers, 1), initializer=_init_process, initargs=(function, os.getpid())
        )
        call = _call
    elif workers <= 1:
        yield from map(function, spans)
        return
    else:
        pool = ThreadPoolExecutor(workers, initializer=_init_thread, initargs=(stopped,))
        call = partial(_call_in_thread, pool, workers - 1, function)
    waiting: deque[Future[Result]] = deque()
    interrupted = True
    try:
        for span in spans:
            waiting.append(_submit(pool, call, span))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        interrupted = False
    except BrokenExecutor as error:
        raise CellprepError(
            "a worker process died, probably because memory ran out; choose fewer workers="
        ) from error
    except Exception:
        interrupted = False
        raise
    finally:
        try:
            _end(pool, stopped, waiting, at_once=interrupted)
        except KeyboardInterrupt:  # before or while it ended
            _end(pool, stopped, waiting, at_once=True)
            raise


def _end(
    pool: Executor,
    stopped: threading.Event,
    waiting: Iterable[Future[Any]],
    *,
    at_once: bool = False,
) -> None:
    """End the workers; with `at_once`, as after Ctrl-C, processes are not waited for but killed."""
    with interrupts.held(before=int(at_once)):
        stopped.set()
        for future in waiting:
            future.cancel()
        if at_once and not isinstance(pool, ThreadPoolExecutor):
            kill: Any = pool.shutdown  # of loky
            kill(wait=True, kill_workers=True)
        pool.shutdown(wait=True)


def _submit(pool: Executor, call: Callable[[Any], Any], span: Span) -> Future[Any]:
    try:
        return pool.submit(call, span)  # the first call starts the workers and pickles the function
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise CellprepError(
            f"the data set cannot be sent to other processes ({error}); choose executor='threads'"
        ) from error


class StoppedError(Exception):
    """Raised in a thread whose run has ended: Ctrl-C, or an error elsewhere."""


_thread = threading.local()


def _init_thread(stopped: threading.Event) -> None:
    _thread.stopped = stopped


def _call_in_thread(
    pool: ThreadPoolExecutor, others: int, function: Callable[[Span], Result], span: Span
) -> Result:
    _thread.pool, _thread.others = pool, others
    return function(span)


def spread(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of every item, in order, with the help of threads of this run that are idle.

    For use in functions that `run` calls: with fewer spans than threads, the others help.
    """
    results: dict[int, Result] = {}
    rest = iter(range(len(items)))  # whoever is ready takes the next item

    def work() -> None:
        for number in rest:
            results[number] = function(items[number])

    # Where no thread is idle, these wait behind the spans, and are withdrawn.
    helpers = [_thread.pool.submit(work) for _ in range(getattr(_thread, "others", 0))]
    try:
        work()
    finally:
        started = [helper for helper in helpers if not helper.cancel()]
    for helper in started:
        helper.result()
    return [results[number] for number in range(len(items))]


def check_running() -> None:
    """To be called now and then during long work: raises if the run has ended.

    Raises
    ------
    StoppedError
    """
    stopped: threading.Event | None = getattr(_thread, "stopped", None)
    if stopped is not None and stopped.is_set():
        raise StoppedError


_function: Callable[[Any], Any] | None = None


def _init_process(function: Callable[[Any], Any], parent: int) -> None:
    global _function
    # Ctrl-C reaches the workers too, but the parent ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    _function = function


def _exit_with(parent: int) -> None:
    """Exit when the parent process has died; loky's workers would wait forever."""
    wait_for_end_of_parent(parent)
    os._exit(1)


def _call(span: Span) -> Any:
    assert _function is not None
    return _function(span)


def cut(n: int, size: int) -> list[Span]:
    """Spans of at most `size` rows that cover 0 to n.

    >>> cut(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(start, min(start + size, n)) for start in range(0, n, size)]
