"""Ray: one function over many spans of rows, on the workers of a cluster."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import chdir, closing, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from ..errors import CellprepError

Result = TypeVar("Result")
Span = tuple[int, int]
"""The rows from start to stop."""

_RETRIES = 3
"""How often a task is retried after its worker or machine died."""

_PATIENCE = 30.0
"""Seconds to wait for running tasks to end, after an error or Ctrl-C."""

_connected: set[str] = set()
"""Addresses this process was connected to. Ray keeps the first cluster's token until the process
ends, and machines of a second cluster refuse it (seen with 2.60: OwnerDiedError). A local Ray needs
no token."""

_SHARED = "every machine needs access to the input and output: use a shared file system or a URL"


@contextmanager
def connected(address: str | None, workers: int | None, cores: int) -> Iterator[int | None]:
    """Connect this process to Ray; yields the `workers` to pass to `results`.

    Uses an existing connection if there is one; otherwise the cluster at `address`; otherwise a
    local Ray with `workers` (default: `cores`) processes, which is shut down after the block.
    """
    ray = _ray()
    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", here):
            raise CellprepError(
                f"this process is already connected to the Ray cluster at {here}, got address="
                f"{address!r}; call ray.shutdown() first, or leave `address` out"
            )
        yield workers
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        local = {"num_cpus": workers or cores, "include_dashboard": False}
        before = os.environ.get("RAY_USAGE_STATS_ENABLED")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics are sent
        try:
            ray.init(address="local", **local, **quiet)
        finally:
            if before is None:
                del os.environ["RAY_USAGE_STATS_ENABLED"]
    else:
        try:
            _check_listening(address)
            ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise CellprepError(
                f"no Ray cluster answers at address={address!r} ({reason}); start one with "
                "`ray start --head`, or leave `address` out to use this machine"
            ) from error
    try:
        here = ray.get_runtime_context().gcs_address
        if address is not None and _connected - {here}:
            raise CellprepError(
                f"this process was connected to another Ray before, so the cluster at {here} "
                "refuses it; restart Python"
            )
        _connected.add(here)
        yield None if address is None else workers
    finally:
        ray.shutdown()


def results(
    function: Callable[[Span], Result], spans: Sequence[Span], workers: int | None
) -> Iterator[Result]:
    """Yield `function(span)` for every span, in order.

    At most two spans per processor of the cluster, or `workers` spans, are in progress, and as many
    results wait to be consumed. A task is retried if its machine died, also if only its result was
    lost. The function is sent to each machine once; its arrays are shared by the workers there.
    """
    ray = _ray()
    arguments = ((span,) for span in spans)
    with _readable_errors(), closing(_tasks(function, arguments, workers)) as tasks:
        for (result,) in tasks:
            yield ray.get(result)


def kept(
    function: Callable[[Span], tuple[Any, Result]], spans: Sequence[Span], workers: int | None
) -> Iterator[tuple[Any, Result]]:
    """Like `results`, but the first half of each result stays on the cluster, to be `shuffled`.

    A reference is yielded in its place. What dies with its machine is computed again when needed.
    """
    ray = _ray()
    arguments = ((span,) for span in spans)
    with _readable_errors(), closing(_tasks(function, arguments, workers, 2)) as tasks:
        for stays, returned in tasks:
            yield stays, ray.get(returned)


def shuffled(
    pieces: Sequence[Sequence[Any]],
    split: Callable[..., Sequence[Any]],
    combine: Callable[..., Result],
    buckets: int,
    workers: int | None,
) -> Iterator[Result]:
    """Yield `combine` of the first block of every piece, of the second block, and so on.

    `split` makes that many blocks, at least two, of each group of references to what was `kept`.
    Blocks stay on the cluster if they have more than 100 KB; Ray keeps smaller ones in the caller.
    """
    ray = _ray()
    with _readable_errors():
        with closing(_tasks(split, pieces, workers, buckets)) as tasks:
            blocks = [*tasks]
        by_bucket = ([each[bucket] for each in blocks] for bucket in range(buckets))
        with closing(_tasks(combine, by_bucket, workers)) as tasks:
            for (result,) in tasks:
                yield ray.get(result)


def _tasks(
    function: Callable[..., Any],
    arguments: Iterable[Sequence[Any]],
    workers: int | None,
    returns: int = 1,
) -> Generator[list[Any], None, None]:
    """References to the `returns` values of `function(*each)`, for each of the arguments in order.

    Those of the last tasks may still be in progress.
    """
    ray = _ray()
    try:
        # In a tuple, so that a worker unpickles it once instead of for every task.
        sent = ray.put(function), _versions(), getattr(function, "required_paths", ())
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise CellprepError(
            f"the data set cannot be sent to other machines ({error}); choose executor='threads'"
        ) from error
    retried = [ray.exceptions.ObjectLostError]  # the function did not arrive
    options = {"max_retries": _RETRIES, "retry_exceptions": retried, "num_returns": returns}
    call = ray.remote(num_cpus=1, **options)(_call)
    waiting: deque[list[Any]] = deque()
    try:
        for number, each in enumerate(arguments):
            if number % 64 == 0:  # machines join and leave
                cores = max(int(ray.cluster_resources().get("CPU", 0)), 1)
                limit = workers or 2 * cores
            while len(waiting) >= 2 * limit:
                yield waiting.popleft()
            if len(waiting) >= limit:
                _wait(waiting, len(waiting) - limit + 1)
            values = call.remote(sent, os.getcwd(), *each)
            waiting.append([values] if returns == 1 else values)
        while waiting:
            yield waiting.popleft()
    finally:
        # Nothing may be written after this returns. ray.cancel would be faster, but crashes this
        # process if a task ends at that moment (ray-project/ray#54798; seen with 2.60).
        if waiting:
            _wait(waiting, len(waiting), timeout=_PATIENCE)


def _wait(tasks: Iterable[list[Any]], number: int, timeout: float | None = None) -> None:
    """Wait until this number of tasks have ended."""
    first = [values[0] for values in tasks]
    _ray().wait(first, num_returns=number, timeout=timeout, fetch_local=False)


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Raise a task's own error as it was, and those of Ray as one line."""
    ray = _ray()
    try:
        yield
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", error)
        if not isinstance(cause, ray.exceptions.RayError):
            raise cause from error  # the task's own error
        raise CellprepError(
            f"Ray lost a task after {_RETRIES + 1} attempts ({type(cause).__name__}): machines or "
            "workers died, probably because memory ran out; choose fewer workers="
        ) from error


def _call(sent: tuple[Any, Any, Any], folder: str, *arguments: Any) -> Any:
    """The task, in the caller's working directory, so that relative paths mean the same."""
    with chdir(folder) if os.path.isdir(folder) else nullcontext():
        return _receive(*sent)(*arguments)


@lru_cache(maxsize=1)
def _receive(
    function: Any, versions: tuple[str, ...], required_paths: tuple[Path, ...]
) -> Callable[..., Any]:
    """The function, in a worker; refused if the worker could not give the caller's result."""
    ray, host = _ray(), socket.gethostname()
    if _versions() != versions:
        raise CellprepError(
            f"Ray's worker on {host} has {', '.join(_versions())}, this process "
            f"{', '.join(versions)}; install the same versions on every machine, as the bytes "
            "may differ"
        )
    for path in required_paths:
        if not path.exists():
            raise CellprepError(f"Ray's worker on {host} cannot see {str(path)!r}; {_SHARED}")
    try:
        return cast(Callable[..., Any], ray.get(function))
    except ray.exceptions.RaySystemError as error:  # raised while it was unpickled
        reason = str(error).strip().splitlines()[-1]
        raise CellprepError(
            f"Ray's worker on {host} cannot open the data set ({reason}); {_SHARED}"
        ) from error


def _versions() -> tuple[str, ...]:
    """The versions of the packages that determine pixels."""
    import numpy
    import PIL

    from .._version import __version__

    return f"cellprep {__version__}", f"numpy {numpy.__version__}", f"pillow {PIL.__version__}"


def _check_listening(address: str) -> None:
    """Raise if nothing listens at `host:port`; Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.rpartition("/")[2], int(port)), timeout=10).close()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise CellprepError(
            f"executor='ray' needs ray: pip install 'cellprep[ray]' ({error})"
        ) from error
    return ray
