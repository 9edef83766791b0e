"""A lease: a file that names the writer and is renewed as long as it writes.

For URLs, and file systems without locks. A process that dies stops renewing its lease, which then
expires. One that was only suspended must not write any more once another has taken over: `Lease` is
what `paths.fenced` asks, in whichever process or thread a file is written.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import CellprepError
from .. import platform
from ..paths import atomic_write, fence, is_remote, make_folder, read_bytes, unlink
from ..paths.temporary import temporary_file
from . import owner

_RENEWED = 15.0
"""Seconds between two renewals."""
_EXPIRED = 60.0
"""Seconds after which a lease is void; clocks must agree to within half of it."""
_SETTLED = 0.2
"""Seconds after which each of two simultaneous writers can see what the other one wrote."""
_VISIBLE = 50
"""Times that many seconds are waited for a store to show the lease that was just written."""
_ASKED_AGAIN = 1 / 60
"""Share of a lease's validity for which one look at it suffices."""

_now = time.time
_sleep = time.sleep
_seen: dict[str, float] = {}
"""By token, when this process last saw a fresh lease."""


@dataclass(frozen=True)
class Lease:
    """The lease of this writer; calling it raises once it is lost.

    Attributes
    ----------
    file : Path
    path : Path
        Of the data set.
    token : str
        Names this writer, which may have several processes.
    validity : float
        Seconds without a renewal after which another writer may take over.
    """

    file: Path
    path: Path
    token: str
    validity: float

    def __call__(self) -> None:
        """Look whether the lease is this writer's; at most once a second.

        Raises
        ------
        CellprepError
            Another writer has taken over.
        """
        clock = platform.since_boot()
        if 0 <= clock - _seen.get(self.token, -self.validity) < self.validity * _ASKED_AGAIN:
            return
        now = _read(self.file)
        if now.get("token") != self.token:
            raise self.lost(now)
        # Nobody takes over a fresh lease within the second.
        if abs(_now() - now["time"]) < self.validity / 2:
            _seen[self.token] = clock

    def forget(self) -> None:
        """Look again when it is called next."""
        _seen.pop(self.token, None)

    def lost(self, other: dict[str, Any]) -> CellprepError:
        """The error for a writer whose lease was taken over."""
        who = f" ({owner.name_of(other)})" if other else ""
        return CellprepError(
            f"{str(self.path)!r} {'is being' if other else 'was'} written by another process{who}, "
            f"which took over because this one, suspended or cut off, did not renew its lease for "
            f"{self.validity:.0f} s; this one changes nothing more, run the same write again"
        )

    def write(self, seen: str | None) -> bool:
        """Renew the lease if the file is still as it was `seen`; False if it is another one."""
        text = json.dumps({**owner.this_process(), "token": self.token, "time": _now()})
        make_folder(self.file.parent)
        if not is_remote(self.file):
            with atomic_write(self.file) as temporary:
                temporary.write_text(text, "utf-8", newline="\n")
            return True
        with temporary_file() as local:
            local.write_text(text, "utf-8", newline="\n")
            return fence.put(local, self.file, seen)

    def is_held(self) -> bool:
        """Whether the file names this writer."""
        return bool(_read(self.file).get("token") == self.token)

    def renew(self) -> bool:
        """Renew the lease; False if another writer has it."""
        seen = fence.version(self.file) if is_remote(self.file) else None
        return self.is_held() and self.write(seen)

    def release(self) -> None:
        """Delete the file, unless another writer has it."""
        seen = fence.version(self.file) if is_remote(self.file) else None
        if not self.is_held():
            return
        if not is_remote(self.file):
            unlink([self.file])
        elif seen is not None:
            fence.delete(self.file, seen)


@contextmanager
def lease(file: Path, path: Path) -> Iterator[Lease]:
    """Hold a lease on the data set at `path`.

    Raises
    ------
    CellprepError
        Another process holds it.
    """
    seen = fence.version(file) if is_remote(file) else None
    refuse_if_leased(file, path)
    mine = Lease(file, path, secrets.token_hex(8), _EXPIRED)
    if not mine.write(seen):
        raise owner.refusal(path, holder(file))  # another began at once
    _wait_until_visible(mine)
    done = threading.Event()

    def keep() -> None:
        while not done.wait(_RENEWED):
            with suppress(OSError):  # the network may return before the lease expires
                if not mine.renew():
                    return  # whatever asks the lease finds out by itself

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield mine
    finally:
        done.set()
        keeper.join()
        mine.forget()
        with suppress(OSError):
            mine.release()


def _wait_until_visible(mine: Lease) -> None:
    """Wait until everybody can see the lease; refuse if that of another writer is seen instead."""
    began = platform.since_boot()
    for _ in range(_VISIBLE):
        _sleep(_SETTLED)
        seen = holder(mine.file)
        if seen.get("token") == mine.token:
            return
        if seen:
            raise owner.refusal(mine.path, seen)  # two began at once, and the other wrote last
        if platform.since_boot() - began > mine.validity:
            raise mine.lost({})
    raise CellprepError(
        f"{str(mine.file)!r} was written but is not shown, so that nobody can know who is writing; "
        "choose a store that shows new files"
    )


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
    """Who holds the lease; empty if nobody does, or it cannot be read."""
    try:
        return _read(file)
    except OSError:
        return {}


def _read(file: Path) -> dict[str, Any]:
    try:
        return owner.parse(read_bytes(file))
    except FileNotFoundError:
        return {}
