"""Everything that differs between operating systems, each with its portable fallback."""

from __future__ import annotations

import ctypes
import importlib
import mmap
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

if sys.platform != "win32":
    import fcntl

WINDOWS: bool = sys.platform == "win32"

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: the file ends where it was written to
_BUSY = 1.0
"""Seconds for which Windows may refuse to change a file that a virus scanner has just opened."""
_RETRY = 0.02
"""Seconds between two attempts."""
_NO_PROCESS = 87  # ERROR_INVALID_PARAMETER
_LOCKED_BYTE = 1 << 30
"""Position of the byte that is locked on Windows, where nobody can read what is locked."""
_LONG = 100
"""Length of a path above which Windows may refuse files below it."""
_PORTS = {f"{port}{digit}" for port in ("com", "lpt") for digit in "123456789¹²³"}
_DEVICES = {"con", "prn", "aux", "nul", *_PORTS}


# -- processors and processes -------------------------------------------------------------------


def usable_cores() -> int:
    """The cores that this process may use; all cores where the system has no affinity."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def has_ended(pid: int) -> bool:
    """Whether no process has this number."""
    if WINDOWS:  # where `os.kill` with signal 0 ends it
        try:
            return _ended_within(0, pid)
        except OSError as error:
            return getattr(error, "winerror", None) == _NO_PROCESS
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def wait_for_end_of_parent(pid: int) -> None:
    """Return when the parent process, which has this number, has ended."""
    if WINDOWS:  # where `os.getppid` is still its number afterwards
        with suppress(OSError):  # it has ended already
            _ended_within(None, pid)
        return
    while os.getppid() == pid:
        time.sleep(0.2)


def _ended_within(milliseconds: int | None, pid: int) -> bool:
    """Whether a process of Windows ends within this time; None for no limit."""
    api: Any = importlib.import_module("_winapi")
    handle = api.OpenProcess(api.SYNCHRONIZE, False, pid)
    try:
        limit = api.INFINITE if milliseconds is None else milliseconds
        return bool(api.WaitForSingleObject(handle, limit) == api.WAIT_OBJECT_0)
    finally:
        api.CloseHandle(handle)


def since_boot() -> float:
    """Seconds since the system started, those in which it slept included where it counts them.

    No change of the clock affects them.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None:  # on macOS this one runs on in sleep, and `time.monotonic` does not
        clock = getattr(time, "CLOCK_MONOTONIC", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


# -- files --------------------------------------------------------------------------------------


def replace(source: Path, target: Path) -> None:
    """Rename a file, replacing the one at the target; on Windows neither may be open or mapped."""
    _patiently(lambda: os.replace(source, target))


def unlink(path: Path) -> None:
    """Delete a file, also one that may not be written to; one that does not exist is ignored."""
    with suppress(FileNotFoundError):
        try:
            os.unlink(path)
        except PermissionError:
            if not WINDOWS:
                raise
            os.chmod(path, stat.S_IREAD | stat.S_IWRITE)
            _patiently(lambda: os.unlink(path))


def remove_tree(path: Path) -> None:
    """Delete a folder and everything below it."""
    _patiently(lambda: shutil.rmtree(path))


def _patiently(change: Callable[[], None]) -> None:
    """Change something; on Windows again until the file is no longer in use, for a second."""
    limit = time.monotonic() + _BUSY * WINDOWS
    while True:
        try:
            return change()
        except PermissionError:
            if time.monotonic() >= limit:
                raise
            time.sleep(_RETRY)


def in_use(error: OSError) -> bool:
    """Whether an error of Windows can mean that some program has the file open."""
    return WINDOWS and isinstance(error, PermissionError)


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


# -- names --------------------------------------------------------------------------------------


def file_name(name: str) -> str:
    """The name of a file or folder without what Windows reserves; most names stay as they are.

    >>> [file_name(name) for name in ("blast", "con", "Aux.png", "blast.", "blast ")]
    ['blast', 'con_', 'Aux_.png', 'blast%2E', 'blast%20']
    """
    stem, dot, rest = name.partition(".")
    if stem.rstrip(" ").casefold() in _DEVICES:
        name = f"{stem}_{dot}{rest}"
    return f"{name[:-1]}%{ord(name[-1]):02X}" if name.endswith((".", " ")) else name


def extended(path: Path) -> Path:
    """The path in the form in which Windows does not limit its length, if it is a long one."""
    absolute = os.path.abspath(path)
    longer = _extended(absolute) if WINDOWS else absolute
    return path if longer == absolute else Path(longer)


def _extended(path: str) -> str:
    r"""An absolute path of Windows; those below `_LONG` characters stay as they are.

    >>> print(_extended(r"C:\cells"), _extended("C:\\" + 100 * "x")[:9])
    C:\cells \\?\C:\xx
    >>> print(_extended("\\\\server\\" + 100 * "x")[:16])
    \\?\UNC\server\x
    """
    if len(path) < _LONG or path.startswith("\\\\?\\"):
        return path
    return f"\\\\?\\UNC{path[1:]}" if path.startswith("\\\\") else f"\\\\?\\{path}"


def plain(path: str) -> str:
    r"""The inverse of `extended`, for comparisons and messages.

    >>> print(plain(r"\\?\C:\cells"), plain(r"\\?\UNC\server\cells"), plain("/cells"))
    C:\cells \\server\cells /cells
    """
    if path.startswith("\\\\?\\UNC\\"):
        return "\\" + path[7:]
    return path.removeprefix("\\\\?\\")


def is_below(name: str) -> bool:
    r"""Whether a file name that was read from data stays in its folder, on this system.

    >>> [is_below(name) for name in ("a/1.png", "../1.png", "/1.png")]
    [True, False, False]
    """
    path = PureWindowsPath(name) if WINDOWS else PurePosixPath(name)
    return bool(path.parts) and not path.anchor and ".." not in path.parts


# -- text ---------------------------------------------------------------------------------------


def escape_what_the_terminal_cannot_show() -> None:
    """Let output that is not in the encoding of the terminal, or of a pipe, be escaped.

    Windows gives pipes an encoding of a few hundred letters, in which other names cannot be.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


# -- locks of the system ------------------------------------------------------------------------


def has_system_locks(path: Path) -> bool:
    """Whether the system may lock this path: not a URL. The file system may still refuse."""
    return isinstance(path, Path)


def open_to_lock(path: Path, *, create: bool) -> int:
    """A descriptor of the lock file; a symbolic link is not followed."""
    how = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    return os.open(path, how | getattr(os, "O_NOFOLLOW", 0), 0o666)


def lock(file: int, *, exclusive: bool) -> None:
    """Lock an open file until it is closed; on Windows always exclusively.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    OSError
        The file system has no locks.
    """
    if WINDOWS:
        return _lock_byte(file)
    how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    fcntl.flock(file, how | fcntl.LOCK_NB)


def _lock_byte(file: int) -> None:
    system: Any = importlib.import_module("msvcrt")
    os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
    try:
        system.locking(file, system.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError(*error.args) from None
    finally:
        os.lseek(file, 0, os.SEEK_SET)


def delete_locked(file: int, path: Path) -> None:
    """Close a file that this process has locked, and delete it unless another one opened it.

    It is deleted first where that is possible: afterwards another process may own the lock. Windows
    deletes no open file, so what is deleted there after closing it belongs to nobody.
    """
    if WINDOWS:
        os.close(file)
    with suppress(OSError):  # it is open elsewhere, or somebody removed the permission meanwhile
        os.unlink(path)
    if not WINDOWS:
        os.close(file)
