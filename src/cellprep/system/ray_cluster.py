"""Ray: one function over many runs of rows, on the workers of a cluster."""

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

_RETRIES = 3
"""How often a task is run again whose worker or machine died under it."""

_PATIENCE = 30.0
"""Seconds for the tasks under way to end, after an error or Ctrl-C."""

_joined: set[str] = set()
"""Where this process was connected: Ray keeps the first token for life, and a second cluster's
machines refuse it (seen with 2.60: OwnerDiedError). A local Ray needs none."""

_SHARED = "every machine must see the same input and output, on a shared file system or by URL"


@contextmanager
def connected(address: str | None, workers: int | None, cores: int) -> Iterator[int | None]:
    """Inside the block this process works on Ray; gives the `workers` that `results` is to take.

    On the one that it is connected to; else on the cluster at `address`; else on a local one of
    `workers` processes, or of `cores`, which ends with the block.
    """
    ray = _ray()
    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", here):
            raise CellprepError(
                f"this process works on the Ray cluster at {here} already, got address="
                f"{address!r}; call ray.shutdown() first, or leave the address out"
            )
        yield workers
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        local = {"num_cpus": workers or cores, "include_dashboard": False}
        before = os.environ.get("RAY_USAGE_STATS_ENABLED")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
        try:
            ray.init(address="local", **local, **quiet)
        finally:
            if before is None:
                del os.environ["RAY_USAGE_STATS_ENABLED"]
    else:
        try:
            _knock(address)
            ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            why = str(error).partition("\n")[0]
            raise CellprepError(
                f"no Ray cluster answers at address={address!r} ({why}); start one with "
                "`ray start --head`, or leave the address out to work on this machine"
            ) from error
    try:
        here = ray.get_runtime_context().gcs_address
        if address is not None and _joined - {here}:
            raise CellprepError(
                f"this process has worked on another Ray than the cluster at {here}, and its "
                "machines will not talk to it for that; start Python anew"
            )
        _joined.add(here)
        yield None if address is None else workers
    finally:
        ray.shutdown()


def results(
    function: Callable[[Span], Result], spans: Sequence[Span], workers: int | None
) -> Iterator[Result]:
    """Yield `function(span)` for every span, in order.

    At most two spans a processor of the cluster, or `workers` spans, are under way, and as many
    again wait to be taken. A task whose machine died is run again, and so is a task whose result
    died with a machine. The function travels to each machine once; its arrays are shared by the
    workers there.
    """
    ray = _ray()
    try:
        # in a tuple: a worker unpacks it once, and not for every task
        held = ray.put(function), _versions(), getattr(function, "reaches", ())
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise CellprepError(
            f"the data set cannot be sent to other machines ({error}); choose executor='threads'"
        ) from error
    again = [ray.exceptions.ObjectLostError]  # the function did not get there
    call = ray.remote(num_cpus=1, max_retries=_RETRIES, retry_exceptions=again)(_call)
    waiting: deque[Any] = deque()
    try:
        for number, span in enumerate(spans):
            if number % 64 == 0:  # machines come and go
                cores = max(int(ray.cluster_resources().get("CPU", 0)), 1)
                most = workers or 2 * cores
            while len(waiting) >= 2 * most:
                yield ray.get(waiting.popleft())
            if len(waiting) >= most:
                ray.wait([*waiting], num_returns=len(waiting) - most + 1, fetch_local=False)
            waiting.append(call.remote(held, os.getcwd(), span))
        while waiting:
            yield ray.get(waiting.popleft())
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", error)
        if not isinstance(cause, ray.exceptions.RayError):
            raise cause from error  # what went wrong in the task
        raise CellprepError(
            f"Ray lost a task, tried {_RETRIES + 1} times ({type(cause).__name__}): machines or "
            "workers die, most likely for want of memory; ask for fewer workers="
        ) from error
    finally:
        # Nothing is to be written when this has ended. ray.cancel would be quicker, but a task
        # that ends at that moment kills this process (ray-project/ray#54798; seen with 2.60).
        if waiting:
            ray.wait([*waiting], num_returns=len(waiting), timeout=_PATIENCE, fetch_local=False)


def _call(held: tuple[Any, Any, Any], home: str, span: Span) -> Any:
    """The task; relative paths mean there what they mean at home."""
    with chdir(home) if os.path.isdir(home) else nullcontext():
        return _received(*held)(span)


@lru_cache(maxsize=1)
def _received(
    sent: Any, versions: tuple[str, ...], reaches: tuple[Path, ...]
) -> Callable[[Span], Any]:
    """The function, in a worker; refused where it would do something else than at home."""
    ray, host = _ray(), socket.gethostname()
    if _versions() != versions:
        raise CellprepError(
            f"Ray's worker on {host} has {', '.join(_versions())}, and the task comes from "
            f"{', '.join(versions)}: it might make other bytes; install the same on every machine"
        )
    for path in reaches:
        if not path.exists():
            raise CellprepError(f"Ray's worker on {host} does not see {str(path)!r}; {_SHARED}")
    try:
        return cast(Callable[[Span], Any], ray.get(sent))
    except ray.exceptions.RaySystemError as error:  # what was raised while it was unpacked
        why = str(error).strip().splitlines()[-1]
        raise CellprepError(
            f"Ray's worker on {host} cannot open the data set ({why}); {_SHARED}"
        ) from error


def _versions() -> tuple[str, ...]:
    """Of what makes pixels."""
    import numpy
    import PIL

    from .._version import __version__

    return f"cellprep {__version__}", f"numpy {numpy.__version__}", f"pillow {PIL.__version__}"


def _knock(address: str) -> None:
    """Refuse `host:port` where nobody listens: Ray itself would wait for minutes."""
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
