"""Deleting files and folders, and finding what killed runs left behind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import platform
from . import fence
from .listing import list_url
from .temporary import TEMPORARY
from .urls import as_os_errors, has_folders, is_remote, map_files


def unlink(files: Iterable[Path]) -> None:
    """Delete files; those that do not exist are ignored."""
    map_files(_unlink, list(files))


def _unlink(path: Path) -> None:
    url: Any = path
    if not is_remote(path):
        fence.ask()
        platform.unlink(path)
    elif fence.CHECK.get() is None:
        with suppress(FileNotFoundError), as_os_errors(path):
            url.fs.rm_file(url.path)
    else:
        seen = fence.version(path)
        fence.ask()
        if seen is not None:
            fence.delete(path, seen)


def remove_folder(path: Path) -> None:
    """Delete an empty folder, where folders exist."""
    if not is_remote(path):
        path.rmdir()
    elif has_folders(path):
        url: Any = path
        with as_os_errors(path):
            url.fs.rmdir(url.path)


def remove_tree(path: Path) -> None:
    """Delete a folder and everything below it."""
    if is_remote(path):
        unlink([path / name for name in list_url(path)])
        remove_folder(path)
    else:
        fence.ask()
        platform.remove_tree(path)


def leftovers(folder: Path, of: str | None = None) -> list[Path]:
    """Temporary files that killed runs left below a folder; with `of`, only those of that file."""
    if is_remote(folder) and not has_folders(folder):
        return []
    if of is not None:
        files = list(folder.iterdir())
    elif is_remote(folder):
        files = [folder / name for name in list_url(folder)]
    else:
        files = list(folder.rglob(f".*{TEMPORARY}"))
    # The whole name, so that files whose name merely starts with `of` do not match.
    prefix = r"\..*" if of is None else rf"\.{re.escape(of)}\.[0-9a-f]{{8}}"
    pattern = re.compile(prefix + re.escape(TEMPORARY), re.DOTALL)
    return [file for file in files if pattern.fullmatch(file.name)]
