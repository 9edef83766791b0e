"""What other operating systems do with files, simulated on this one."""

from __future__ import annotations

import builtins
import errno
import io
import os
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cellprep.system import platform


def lock_like_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the locks be those of Windows: of one byte, always exclusive, by `msvcrt`."""
    import fcntl

    def locking(file: int, how: int, count: int) -> None:
        assert (how, count) == (2, 1)
        assert os.lseek(file, 0, os.SEEK_CUR) > 10_000  # what is locked cannot be read
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    fake = SimpleNamespace(locking=locking, LK_NBLCK=2)
    monkeypatch.setattr(platform, "WINDOWS", True)
    monkeypatch.setattr(platform, "_LONG", 10_000)  # its form of long paths exists there only
    monkeypatch.setattr(platform, "importlib", SimpleNamespace(import_module={"msvcrt": fake}.get))


def open_files() -> set[str]:
    """The files that this process has open or mapped."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # another thread has just closed it
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    lines = Path("/proc/self/maps").read_text().splitlines()
    return found | {line.split(maxsplit=5)[5] for line in lines if line.count(" /")}


def refuse_changes_of_open_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse, as Windows does, to rename, replace or delete a file that this process has open.

    Returns the list of what was refused. Mapped files count as open.
    """
    refused: list[str] = []

    def checked(change: Callable[..., Any], names: int) -> Callable[..., Any]:
        def guarded(*paths: Any, **options: Any) -> Any:
            files = {os.path.realpath(os.fspath(path)) for path in paths[:names]}
            for file in files & open_files():
                refused.append(file)
                raise PermissionError(errno.EACCES, "is being used by another process", file)
            return change(*paths, **options)

        return guarded

    for name, names in (("replace", 2), ("rename", 2), ("unlink", 1), ("remove", 1)):
        monkeypatch.setattr(os, name, checked(getattr(os, name), names))
    return refused


def fold_names(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Let names below a folder be the same if they differ only in case or Unicode form."""
    listed, real = os.listdir, str(root)

    def folded(name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold()

    def existing(path: Any) -> Any:
        text = os.fspath(path) if not isinstance(path, int) else ""
        if not isinstance(text, str) or not text.startswith(real + os.sep):
            return path
        found = real
        for part in text[len(real) + 1 :].split(os.sep):
            try:
                same = [name for name in listed(found) if folded(name) == folded(part)]
            except OSError:
                same = []
            found = os.path.join(found, same[0] if same else part)
        return found

    def translated(function: Callable[..., Any], names: int) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            return function(*map(existing, given[:names]), *given[names:], **options)

        return call

    for module, name, names in (
        *((os, name, 1) for name in ("stat", "lstat", "open", "mkdir", "rmdir", "unlink")),
        *((os, name, 1) for name in ("scandir", "listdir", "readlink")),
        *((os, name, 2) for name in ("replace", "rename")),
        (io, "open", 1),
        (builtins, "open", 1),
    ):
        monkeypatch.setattr(module, name, translated(getattr(module, name), names))
