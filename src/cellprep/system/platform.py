"""Everything that differs between operating systems, each with its portable fallback."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path, PosixPath
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: the file ends where it was written to


# -- processors and processes -------------------------------------------------------------------


def usable_cores() -> int:
    """The cores that this process may use; all cores where the system has no affinity."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def has_ended(pid: int) -> bool:
    """Whether no process has this number; False where the system does not report it (Windows)."""
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def since_boot() -> float:
    """Seconds since the system started, those in which it slept included where it counts them.

    No change of the clock affects them.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


# -- files --------------------------------------------------------------------------------------


def reserve(file: BinaryIO, size: int) -> None:
    """Ask the file system to allocate a whole file in advance: writing is a fifth faster.

    Does nothing where the system (other than Linux) or file system cannot; `os.posix_fallocate`
    would write to every block there. A full disk is reported when the file is written.
    """
    if fallocate := _fallocate():
        fallocate(file.fileno(), _KEEP_SIZE, 0, size)


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    function = getattr(ctypes.CDLL(None), "fallocate", None) if sys.platform == "linux" else None
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


def can_release(mapped: mmap.mmap) -> bool:
    """Whether `release` works on this map (not on Windows)."""
    return hasattr(mapped, "madvise")


def release(mapped: mmap.mmap) -> None:
    """Return the pages of a map to the system; they are read again on the next access."""
    mapped.madvise(mmap.MADV_DONTNEED)


CAN_READ_INTO = hasattr(os, "preadv")
"""Whether `os.preadv` reads straight into an array (not on Windows)."""


# -- locks of the system ------------------------------------------------------------------------


def has_system_locks(path: Path) -> bool:
    """Whether the system may lock this path: not on Windows, and not a URL.

    The file system may still refuse.
    """
    return sys.platform != "win32" and isinstance(path, PosixPath)


def open_to_lock(path: Path, *, create: bool) -> int:
    """A descriptor of the lock file; a symbolic link is not followed."""
    how = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    return os.open(path, how | getattr(os, "O_NOFOLLOW", 0), 0o666)


def lock(file: int, *, exclusive: bool) -> None:
    """Lock an open file until it is closed.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    OSError
        The file system has no locks.
    """
    assert sys.platform != "win32"
    how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    fcntl.flock(file, how | fcntl.LOCK_NB)
