"""What a folder contains: the files that a format reads, and everything else with the reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..plan.source import Unread
from ..system.paths import is_remote, list_url
from .codec import is_image_name
from .splits import OTHER, chosen, split_of_file

_OF_THE_SYSTEM = {
    *("__macosx", "@eadir", "lost+found", "$recycle.bin", "recycler", "system volume information"),
    *("#recycle", "@recycle", "@recently-snapshot", "#snapshot", "@tmp", "found.000"),
    *("thumbnails", "thumbnail", "thumbs", "__pycache__"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}
"""Folders and files that systems, network drives and viewers put between those of the user."""


@dataclass(frozen=True)
class Listing:
    """The files of a folder.

    Attributes
    ----------
    files : list of str
        Those that a format reads, as paths relative to the folder, sorted.
    unread : dict of str to str
        Everything else, and why it is not read.
    folders : list of str
        The folders of the first level, except those of the system.
    """

    files: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    def left(self) -> Unread:
        """What is not read, sorted by name."""
        return tuple(sorted(self.unread.items()))


def list_files(path: Path, wanted: Callable[[str], bool]) -> Listing:
    """The files below a folder or URL whose names are `wanted`, and everything else."""
    found = Listing()
    if is_remote(path):
        _list_url(path, wanted, found)
    else:
        _list_folder(path, "", wanted, found, frozenset())
    found.files.sort()
    found.folders.sort()
    return found


def data_files(
    path: Path, wanted: Callable[[str], bool], part: str | None
) -> tuple[list[Path], Unread]:
    """The files of the requested split, or of a folder without splits, and what is not read there.

    A path to a file is that file, whatever its name.
    """
    if not path.is_dir():
        chosen(path, part, data_splits(path, wanted))
        return [path], ()
    listing = list_files(path, wanted)
    splits = _by_split(listing.files)
    part = chosen(path, part, splits)
    names = listing.files if part is None else splits[part]
    return [path / name for name in names], listing.left()


def data_splits(path: Path, wanted: Callable[[str], bool]) -> dict[str, list[str]]:
    """The files of each split; none, if no name is that of a split."""
    return _by_split(list_files(path, wanted).files if path.is_dir() else [path.name])


def _by_split(files: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in files:
        found.setdefault(split_of_file(name), []).append(name)
    return found if {*found} != {OTHER} else {}


def holds_data_files(path: Path, wanted: Callable[[str], bool]) -> bool:
    """Whether a path is such a file, or a folder of some without images beside them.

    They may be in the folders of a folder, but no deeper.
    """
    if not path.is_dir():
        return path.is_file() and wanted(path.name)
    names = [entry.name for entry in path.iterdir()]
    for entry in path.iterdir():
        if not is_of_the_system(entry.name) and entry.is_dir():
            names += [inside.name for inside in entry.iterdir()]
    data = any(wanted(name) and not name.startswith(".") for name in names)
    return data and not any(is_image_name(name) for name in names)


def is_of_the_system(name: str) -> bool:
    """Whether a file or folder was put there by the system, or is hidden.

    >>> [is_of_the_system(name) for name in ("basophil", "__MACOSX", ".ipynb_checkpoints")]
    [False, True, True]
    """
    hidden = name.startswith(".") and name not in (".", "..")
    return hidden or name.casefold() in _OF_THE_SYSTEM


def why_not_read(name: str) -> str:
    """The reason why a file is not read, from its name.

    >>> why_not_read("a/notes.txt"), why_not_read("a/0001")
    ('has the extension .txt', 'has no extension')
    """
    if is_of_the_system(PurePosixPath(name).name):
        return _SYSTEM
    suffix = PurePosixPath(name).suffix
    return f"has the extension {suffix.lower()}" if suffix else "has no extension"


_SYSTEM = "is hidden or belongs to the operating system"


def _list_folder(
    folder: Path,
    prefix: str,
    wanted: Callable[[str], bool],
    found: Listing,
    above: frozenset[str],
) -> None:
    here = os.path.realpath(folder)
    if here in above:
        found.unread[prefix.rstrip("/")] = "is a link to a folder above it"
        return
    for entry in os.scandir(folder):
        name = prefix + entry.name
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
            if is_of_the_system(entry.name):
                found.unread[f"{name}/"] = f"{_SYSTEM}{_size(entry.path)}"
                continue
            if not prefix:
                found.folders.append(entry.name)
            _list_folder(folder / entry.name, f"{name}/", wanted, found, above | {here})
        elif wanted(entry.name) and not is_of_the_system(entry.name):
            found.files.append(name)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            found.unread[name] = "is a link to nothing"
        else:
            found.unread[name] = why_not_read(name)


def _size(folder: str) -> str:
    """How many files a folder has, for people."""
    count = sum(len(files) for _, _, files in os.walk(folder))
    return f" ({count:,} file{'s' * (count != 1)})" if count else ""


def _list_url(path: Path, wanted: Callable[[str], bool], found: Listing) -> None:
    folders: dict[str, None] = {}
    for name in list_url(path):
        *above, file = name.split("/")
        hidden = next((n for n, part in enumerate(above) if is_of_the_system(part)), None)
        if hidden is not None:
            found.unread["/".join(above[: hidden + 1]) + "/"] = _SYSTEM
            continue
        if above:
            folders[above[0]] = None
        if wanted(file) and not is_of_the_system(file):
            found.files.append(name)
        else:
            found.unread[name] = why_not_read(name)
    found.folders.extend(folders)
