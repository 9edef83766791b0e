"""Atomic writing: a temporary file, renamed once it is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import platform
from . import fence
from .deleting import unlink
from .reading import read_bytes
from .temporary import temporary_file, temporary_name
from .urls import as_os_errors, has_folders, is_remote

_ATTEMPTS = 5


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """The path of a temporary file, which replaces `path` when the block ends without an error.

    For a local path it is in the same folder. For a URL it is local and uploaded as a whole; object
    stores show an object only once it is complete. A writer that has lost its lease replaces
    nothing (see `fence`).
    """
    if is_remote(path):
        with temporary_file() as temporary:
            yield temporary
            with as_os_errors(path):
                _upload(temporary, path)
        return
    temporary = path.with_name(temporary_name(path))
    try:
        yield temporary
        fence.ask()
        platform.replace(temporary, path)
    except BaseException:
        platform.unlink(temporary)
        raise


def _upload(local: Path, path: Any) -> None:
    if has_folders(path):
        temporary = path.with_name(temporary_name(path))
        path.fs.put_file(str(local), temporary.path)
        fence.ask()
        path.fs.mv(temporary.path, path.path)
    elif fence.CHECK.get() is not None:
        _upload_fenced(local, path)
    elif path.protocol == "memory":
        path.fs.pipe_file(path.path, local.read_bytes())
    else:
        path.fs.put_file(str(local), path.path)


def _upload_fenced(local: Path, path: Any) -> None:
    fence.ask()
    if fence.put(local, path, None):
        return  # the usual case, in one request
    for _ in range(_ATTEMPTS):
        seen = fence.version(path)
        fence.ask()
        if fence.put(local, path, seen):
            return
    raise OSError(f"{path.name!r} was replaced by another process {_ATTEMPTS} times")


def copy(source: Path, target: Path) -> bool:
    """Copy a file; False if it cannot be read."""
    try:
        if not (is_remote(source) or is_remote(target)):
            with atomic_write(target) as temporary:  # replaces a link at the target
                shutil.copy2(source, temporary)
            return True
        data = read_bytes(source)
    except OSError:
        return False
    with atomic_write(target) as temporary:
        temporary.write_bytes(data)
    return True


def move(source: Path, target: Path) -> None:
    """Rename a small file. Of a URL, both may exist, complete, if the process is killed."""
    if not is_remote(source):
        fence.ask()
        platform.replace(source, target)
        return
    with atomic_write(target) as temporary:
        temporary.write_bytes(read_bytes(source))
    unlink([source])
