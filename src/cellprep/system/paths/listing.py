"""What exists below a folder: names, sizes, versions of files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import xxhash

from .urls import as_os_errors, is_remote


def list_url(folder: Path) -> dict[str, dict[str, Any]]:
    """The metadata of every file below a URL, by relative name, from a single request."""
    url: Any = folder
    with as_os_errors(folder):
        start = url.fs._strip_protocol(url.path).rstrip("/") + "/"
        files = url.fs.find(url.path, detail=True)
    return {
        name.removeprefix(start): info
        for name, info in files.items()
        if name.startswith(start) and not name.endswith("/")
    }


def names(folder: Path) -> list[str]:
    """The relative name of every file below a folder, sorted, with "/" on all systems."""
    if is_remote(folder):
        return sorted(list_url(folder))
    found = (Path(parent, name) for parent, _, files in os.walk(folder) for name in files)
    return sorted(file.relative_to(folder).as_posix() for file in found)


def entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the files directly in a folder; of a URL, from a single request."""
    if not is_remote(folder):
        found = sorted(folder.iterdir())
        return [path for path in found if path.is_dir()], [p for p in found if not p.is_dir()]
    url: Any = folder
    start = url.fs._strip_protocol(url.path).rstrip("/") + "/"
    with as_os_errors(folder):
        listed = url.fs.ls(url.path, detail=True)
    folders, files = list[Path](), list[Path]()
    for info in listed:
        name = info["name"].rstrip("/")
        if name.startswith(start):  # a store may list the folder itself, too
            kind = folders if info["type"] == "directory" else files
            kind.append(folder / name.removeprefix(start))
    return folders, files


def linked_folders(folder: Path) -> list[Path]:
    """Links to folders at any depth below a local folder; nothing behind them is looked at."""
    if is_remote(folder):
        return []
    found = (Path(parent, name) for parent, inner, _ in os.walk(folder) for name in inner)
    return [path for path in found if path.is_symlink()]


def sizes(folder: Path) -> Callable[[str], int | None]:
    """A function from the relative name of a file to its size, or None if it does not exist."""
    if is_remote(folder):
        known = {name: int(info["size"]) for name, info in list_url(folder).items()}
        return known.get

    def size(name: str) -> int | None:
        file = folder / name
        return file.stat().st_size if file.is_file() else None

    return size


def file_version(path: Path) -> str:
    """A text that changes when the file or folder changes."""
    if not is_remote(path):
        status = path.stat()
        return f"{status.st_size}\0{status.st_mtime_ns}"
    url: Any = path
    with as_os_errors(path):
        return _listed_version(url.fs.info(url.path))


def file_versions(folder: Path) -> Callable[[str], str]:
    """`file_version` of a file in a folder, by its relative name."""
    if is_remote(folder):
        known = {name: _listed_version(info) for name, info in list_url(folder).items()}
        return lambda name: known.get(name, "unreadable")
    return lambda name: file_version(folder / name)


def digest_of_versions(versions: Iterable[tuple[str, str]]) -> str:
    r"""A text for files by name and version; their times are in its last word alone.

    >>> a, b = (digest_of_versions([("1.png", f"912\0{time}")]) for time in (1, 2))
    >>> a == b, without_times(a) == without_times(b)
    (False, True)
    """
    contents, times = xxhash.xxh3_128(), xxhash.xxh3_128()
    for name, version in versions:
        size, _, time = version.partition("\0")
        contents.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
        times.update(f"{time}\n".encode())
    return f"{contents.hexdigest()} times-{times.hexdigest()}"


def without_times(identity: str) -> str:
    """What `digest_of_versions` gave, or a text that contains it, apart from the times."""
    return re.sub(r"times-[0-9a-f]{32}", "", identity)


def _listed_version(info: Mapping[str, Any]) -> str:
    """The version of a file from its metadata.

    >>> _listed_version({"size": 3, "ETag": '"49f68a5c8493ec2c0bf489821c21fc3b"'})
    '3 "49f68a5c8493ec2c0bf489821c21fc3b"'
    """
    keys = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
    return f"{info.get('size')} {next((info[key] for key in keys if info.get(key)), '')}"
