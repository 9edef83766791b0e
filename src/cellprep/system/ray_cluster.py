"""Ray: one function over many spans of rows, on the workers of a cluster."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
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
    try:
        # In a tuple, so that a worker unpickles it once instead of for every task.
        sent = ray.put(function), _versions(), getattr(function, "required_paths", ())
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise CellprepError(
            f"the data set cannot be sent to other machines ({error}); choose executor='threads'"
        ) from error
    retried = [ray.exceptions.ObjectLostError]  # the function did not arrive
    call = ray.remote(num_cpus=1, max_retries=_RETRIES, retry_exceptions=retried)(_call)
    waiting: deque[Any] = deque()
    try:
        for number, span in enumerate(spans):
            if number % 64 == 0:  # machines join and leave
                cores = max(int(ray.cluster_resources().get("CPU", 0)), 1)
                limit = workers or 2 * cores
            while len(waiting) >= 2 * limit:
                yield ray.get(waiting.popleft())
            if len(waiting) >= limit:
                ray.wait([*waiting], num_returns=len(waiting) - limit + 1, fetch_local=False)
            waiting.append(call.remote(sent, os.getcwd(), span))
        while waiting:
            yield ray.get(waiting.popleft())
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", error)
        if not isinstance(cause, ray.exceptions.RayError):
            raise cause from error  # the task's own error
        raise CellprepError(
            f"Ray lost a task after {_RETRIES + 1} attempts ({type(cause).__name__}): machines or "
            "workers died, probably because memory ran out; choose fewer workers="
        ) from error
    finally:
        # Nothing may be written after this returns. ray.cancel would be faster, but crashes this
        # process if a task ends at that moment (ray-project/ray#54798; seen with 2.60).
        if waiting:
            ray.wait([*waiting], num_returns=len(waiting), timeout=_PATIENCE, fetch_local=False)


def _call(sent: tuple[Any, Any, Any], folder: str, span: Span) -> Any:
    """The task, in the caller's working directory, so that relative paths mean the same."""
    with chdir(folder) if os.path.isdir(folder) else nullcontext():
        return _receive(*sent)(span)


@lru_cache(maxsize=1)
def _receive(
    function: Any, versions: tuple[str, ...], required_paths: tuple[Path, ...]
) -> Callable[[Span], Any]:
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
        return cast(Callable[[Span], Any], ray.get(function))
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
