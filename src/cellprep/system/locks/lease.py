"""A lease: a file that names the writer and is renewed as long as it writes.

For URLs, and file systems without locks. A process that dies stops renewing its lease, which then
expires.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .. import platform
from ..paths import atomic_write, make_folder, read_bytes, unlink
from . import owner

_RENEWED = 15.0
"""Seconds between two renewals."""
_EXPIRED = 60.0
"""Seconds after which a lease is void; clocks must agree to within half of it."""
_SETTLED = 0.2
"""Seconds after which each of two simultaneous writers can see what the other one wrote."""

_now = time.time
_sleep = time.sleep


@contextmanager
def lease(file: Path, path: Path) -> Iterator[Callable[[], None]]:
    """Hold a lease on the data set at `path`; yields a check that raises once it is lost.

    Raises
    ------
    CellprepError
        Another process holds it.
    """
    refuse_if_leased(file, path)
    mine = {**owner.this_process(), "token": secrets.token_hex(8)}
    done, lost = threading.Event(), threading.Event()

    def renew() -> None:
        make_folder(file.parent)
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps({**mine, "time": _now()}), "utf-8")

    def is_mine() -> bool:
        return bool(holder(file).get("token") == mine["token"])

    def keep() -> None:
        while not done.wait(_RENEWED):
            with suppress(OSError):  # the network may return before the lease expires
                if not is_mine():
                    lost.set()
                    return
                renew()

    def check() -> None:
        if lost.is_set():
            raise owner.refusal(path, holder(file))

    renew()
    _sleep(_SETTLED)
    if not is_mine():
        raise owner.refusal(path, holder(file))  # two began at once, and the other wrote last
    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield check
    finally:
        done.set()
        keeper.join()
        with suppress(OSError):
            if is_mine():
                unlink([file])


def refuse_if_leased(file: Path, path: Path) -> None:
    """Raise if another process holds a valid lease; nothing is written."""
    other = holder(file)
    renewed = other.get("time")
    if not isinstance(renewed, int | float) or abs(_now() - renewed) > _EXPIRED:
        return
    me = owner.this_process()
    on_this_machine = all(other.get(key) == me[key] for key in ("host", "machine"))
    pid = other.get("pid")
    if not (on_this_machine and isinstance(pid, int) and platform.has_ended(pid)):
        raise owner.refusal(path, other)


def holder(file: Path) -> dict[str, Any]:
    """Who holds the lease; empty if nobody does."""
    try:
        return owner.parse(read_bytes(file))
    except OSError:
        return {}
