"""One writer at a time: a lock of the system, or a lease that is kept fresh where it has none."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PosixPath
from typing import Any

from ..errors import CellprepError
from .paths import LOCK, WORK, make_folder, read_bytes, remove_folder, replacing, unlink

if sys.platform != "win32":
    import fcntl

_PATIENCE = 0.5
"""Seconds: longer than somebody needs who only looks whether a path is free."""
_REFRESHED = 15.0
"""Seconds from one sign of life of a lease to the next."""
_STALE = 60.0
"""Seconds after which a lease counts for nothing; clocks must agree to within half of it."""
_SETTLED = 0.2
"""Seconds until what two writers wrote at once can be read by both."""

_now = time.time
_pause = time.sleep


@contextmanager
def only_writer(path: Path, *, is_file: bool) -> Iterator[Callable[[], None]]:
    """Be the only writer of a data set; gives a function that raises when that has ended.

    A local path is locked by the system, which frees it when the process ends, however that comes
    about. Elsewhere a lease says who writes, on which machine, and when that was last true.

    Raises
    ------
    CellprepError
        Naming the process that writes there now.
    """
    beside, inside = _places(path)
    with ExitStack() as held:
        checks = []
        # A folder may come to lie where a file was, and the other way round.
        if is_file or path.is_file() or beside.exists():
            checks.append(held.enter_context(_held(beside, path)))
        if path.is_dir() or not (is_file or path.is_file()):
            checks.append(held.enter_context(_held(inside, path)))

        def check() -> None:
            for one in checks:
                one()

        yield check


def check_free(path: Path) -> None:
    """Refuse a path that somebody writes to now; nothing is touched."""
    for place in _places(path):
        if not _by_system(place):
            _refuse_if_fresh(place, path)
            continue
        try:
            file = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refusal(path, _parsed(os.read(file, 1000))) from None
        except OSError:
            _refuse_if_fresh(place, path)
        finally:
            os.close(file)


def _places(path: Path) -> tuple[Path, Path]:
    """Where the lock lies for one file, and for a folder, of which the parent may be read-only."""
    return lock_beside(path), path / WORK / LOCK


def lock_beside(path: Path) -> Path:
    """The lock of one file."""
    return path.with_name(f".{path.name}.cellprep.{LOCK}")


def _by_system(place: Path) -> bool:
    return sys.platform != "win32" and isinstance(place, PosixPath)


@contextmanager
def _held(place: Path, path: Path) -> Iterator[Callable[[], None]]:
    made = [folder for folder in place.parents if folder.name == WORK or not folder.exists()]
    with ExitStack() as stack:
        stack.callback(_remove_empty, made)
        try:
            if not _by_system(place):
                raise _NoLocksError
            check = stack.enter_context(_system_lock(place, path))
        except _NoLocksError:
            check = stack.enter_context(_lease(place, path))
        yield check


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it holds a data set now
            remove_folder(folder)


class _NoLocksError(Exception):
    """The system or the file system knows none."""


@contextmanager
def _system_lock(place: Path, path: Path) -> Iterator[Callable[[], None]]:
    file = _locked(place, path)
    try:
        os.ftruncate(file, 0)
        os.write(file, json.dumps(_me()).encode())
        yield lambda: None
    finally:
        if _lies_at(file, place):
            place.unlink()  # before it is given up: it may be another's afterwards
        os.close(file)


def _locked(place: Path, path: Path) -> int:
    """A descriptor of the locked file, which is still the one that lies there."""
    limit = time.monotonic() + _PATIENCE
    while True:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except (FileNotFoundError, FileExistsError):
            if time.monotonic() > limit:
                raise
            continue  # the last writer has just taken the folder away
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _lies_at(file, place):
                return file
        except BlockingIOError:
            if time.monotonic() > limit:
                owner = _parsed(os.read(file, 1000))
                os.close(file)
                raise _refusal(path, owner) from None
            _pause(_PATIENCE / 20)
        except OSError:
            os.close(file)
            place.unlink()
            raise _NoLocksError from None
        os.close(file)


def _lies_at(file: int, place: Path) -> bool:
    """Whether nobody has taken the locked file away."""
    try:
        return os.path.samestat(os.fstat(file), place.lstat())
    except OSError:
        return False


@contextmanager
def _lease(place: Path, path: Path) -> Iterator[Callable[[], None]]:
    _refuse_if_fresh(place, path)
    me, over, lost = {**_me(), "token": secrets.token_hex(8)}, threading.Event(), threading.Event()

    def sign() -> None:
        make_folder(place.parent)
        with replacing(place) as temporary:
            temporary.write_text(json.dumps({**me, "time": _now()}), "utf-8")

    def is_mine() -> bool:
        return bool(_owner(place).get("token") == me["token"])

    def refresh() -> None:
        while not over.wait(_REFRESHED):
            with suppress(OSError):  # a network that is away comes back, or the lease runs out
                if not is_mine():
                    lost.set()
                    return
                sign()

    def check() -> None:
        if lost.is_set():
            raise _refusal(path, _owner(place))

    sign()
    _pause(_SETTLED)
    if not is_mine():
        raise _refusal(path, _owner(place))  # two began at once, and the other was the last
    keeper = threading.Thread(target=refresh, daemon=True)
    keeper.start()
    try:
        yield check
    finally:
        over.set()
        keeper.join()
        with suppress(OSError):
            if is_mine():
                unlink([place])


def _refuse_if_fresh(place: Path, path: Path) -> None:
    owner = _owner(place)
    signed = owner.get("time")
    if not isinstance(signed, int | float) or abs(_now() - signed) > _STALE:
        return
    here = all(owner.get(key) == _me()[key] for key in ("host", "machine"))
    if not (here and _is_gone(owner.get("pid"))):
        raise _refusal(path, owner)


def _is_gone(pid: object) -> bool:
    if sys.platform == "win32" or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _owner(place: Path) -> dict[str, Any]:
    try:
        return _parsed(read_bytes(place))
    except OSError:
        return {}


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        owner = json.loads(text)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _me() -> dict[str, Any]:
    # Containers may share a name, hardly an address of their network card.
    return {"host": socket.gethostname(), "machine": f"{uuid.getnode():x}", "pid": os.getpid()}


def _refusal(path: Path, owner: dict[str, Any]) -> CellprepError:
    who = f"pid {owner.get('pid', '?')} on {owner.get('host', 'another machine')}"
    return CellprepError(
        f"{str(path)!r} is being written by another process ({who}); wait until it is done or "
        "stop it, then run the same write again"
    )
