"""A file locked by the operating system, which frees it however the process ends."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import platform
from . import owner

_PATIENCE = 0.5
"""Seconds to wait for the lock: longer than `refuse_if_locked` of another process keeps it."""
_RETRY = 0.025
"""Seconds between two attempts."""


class NoLocksError(Exception):
    """This file system has no locks."""


@contextmanager
def system_lock(lock: Path, path: Path) -> Iterator[None]:
    """Hold the lock file of the data set at `path`; it cannot be lost.

    Raises
    ------
    CellprepError
        Another process holds it.
    NoLocksError
    """
    file = _acquire(lock, path)
    try:
        os.ftruncate(file, 0)
        os.write(file, json.dumps(owner.this_process()).encode())
        yield
    finally:
        if _is_at(file, lock):
            platform.delete_locked(file, lock)
        else:
            os.close(file)


def refuse_if_locked(lock: Path, path: Path) -> None:
    """Raise if another process holds the lock; nothing is written.

    Raises
    ------
    CellprepError
        Another process holds it.
    NoLocksError
    """
    try:
        file = platform.open_to_lock(lock, create=False)
    except OSError:
        return
    limit = time.monotonic() + _PATIENCE
    try:
        while not _free(file):
            if time.monotonic() > limit:
                raise owner.refusal(path, owner.parse(os.read(file, 1000)))
            time.sleep(_RETRY)
    except OSError:
        raise NoLocksError from None
    finally:
        os.close(file)


def _free(file: int) -> bool:
    """Whether no writer has locked the file; where no lock is shared, nobody else who looks."""
    try:
        platform.lock(file, exclusive=False)
    except BlockingIOError:
        return False
    return True


def _acquire(lock: Path, path: Path) -> int:
    """A descriptor of the lock file, locked, and still the file at that path."""
    limit = time.monotonic() + _PATIENCE
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = platform.open_to_lock(lock, create=True)
        except (FileNotFoundError, FileExistsError):
            if time.monotonic() > limit:
                raise
            continue  # the previous writer has just deleted the folder
        try:
            platform.lock(file, exclusive=True)
            if _is_at(file, lock):
                return file
        except BlockingIOError:
            if time.monotonic() > limit:
                holder = owner.parse(os.read(file, 1000))
                os.close(file)
                raise owner.refusal(path, holder) from None
            time.sleep(_RETRY)
        except OSError:
            os.close(file)
            platform.unlink(lock)
            raise NoLocksError from None
        os.close(file)


def _is_at(file: int, lock: Path) -> bool:
    """Whether the open file is still the one at this path: another writer may have deleted it."""
    try:
        return os.path.samestat(os.fstat(file), lock.lstat())
    except OSError:
        return False
