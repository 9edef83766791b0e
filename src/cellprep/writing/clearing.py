"""Clearing a target path: an overwritten data set, and what killed runs left behind."""

from __future__ import annotations

from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from ..errors import CellprepError
from ..formats import FORMATS
from ..formats.manifest import MANIFEST
from ..formats.pieces import FOLDER, index_files
from ..formats.written import PENDING, PLAN, look_at
from ..plan.fingerprint import Fingerprint
from ..system.locks import lock_beside
from ..system.paths import (
    LOCK,
    WORK,
    entries,
    is_remote,
    leftovers,
    linked_folders,
    list_url,
    make_folder,
    move,
    remove_folder,
    remove_tree,
    unlink,
)
from .cards import cards_to_delete
from .file_state import INTACT, file_state
from .target import TargetState, fingerprint_of


def check_links(path: Path) -> None:
    """Refuse to change a folder that contains links to folders, whose files lie elsewhere."""
    links = linked_folders(path)
    if links:
        raise CellprepError(
            f"{str(links[0])!r} is a link to another folder, in which nothing is deleted or "
            "replaced; move the link away, or choose another output"
        )


def make_way(path: Path, fingerprint: Fingerprint, state: TargetState) -> None:
    """Make a path ready to be written to."""
    to_file = FORMATS[fingerprint.format].is_file
    if state is TargetState.ABSENT:
        make_folder(path.parent)
        if to_file and path.is_dir():
            _remove_work(path)
    elif state is TargetState.OTHER and path.is_dir():
        _remove_data_set(path, for_a_file=to_file)
    elif state is TargetState.OTHER and not to_file:  # a new file replaces the old one at the end
        unlink([path])


def _remove_data_set(path: Path, *, for_a_file: bool) -> None:
    """Delete what cellprep wrote in a folder, and nothing else.

    The manifest is deleted last, so that a run that is killed in here can be repeated.
    """
    found = look_at(path)
    there = fingerprint_of(found)
    assert there is not None
    files = FORMATS[there.format].files(path) + _copies_of_bad_files(path)
    files += cards_to_delete(path, found)
    if for_a_file:
        _check_only_ours(path, files)
    make_folder(path / WORK)
    if (path / MANIFEST).is_file():
        move(path / MANIFEST, path / PLAN)  # first: from here on the data set is unfinished
    work = list((path / WORK).iterdir())
    if (path / PENDING).is_dir():
        remove_tree(path / PENDING)
    unlink(file for file in work if file.suffix == ".arrow")
    unlink([*files, *leftovers(path)])
    above = {folder for file in files for folder in takewhile(path.__ne__, file.parents)}
    for folder in sorted(above, key=str, reverse=True):
        with suppress(OSError):  # it contains files of the user, or does not exist
            remove_folder(folder)
    unlink([*index_files(path), *(file for file in work if file.suffix == ".parquet")])
    if (path / FOLDER).is_dir():
        with suppress(OSError):
            remove_folder(path / FOLDER)
    if for_a_file:
        _remove_work(path)


def _check_only_ours(path: Path, files: list[Path]) -> None:
    """Refuse to replace a folder by a file if it contains files of the user."""
    ours = {*files, path / MANIFEST, *index_files(path)}
    for file in (path / name for name in list_url(path)) if is_remote(path) else path.rglob("*"):
        if not (file.is_dir() or file in ours or path / WORK in file.parents):
            raise CellprepError(
                f"{str(path)!r} contains a file of yours, {file.name!r}; move it away, so that one "
                "file can replace the folder"
            )


def _copies_of_bad_files(path: Path) -> list[Path]:
    """The copies in quarantine, except those that somebody has changed since."""
    manifest = look_at(path).manifest or {}
    copies = manifest.get("quarantined", {}).items()
    return [path / name for name, stamp in copies if file_state(path, name, stamp) == INTACT]


def _remove_work(path: Path) -> None:
    """Delete a folder that contains at most the work of an unfinished write."""
    if (path / WORK).is_dir():
        remove_tree(path / WORK)
    remove_folder(path)


def sweep(path: Path) -> None:
    """Delete what killed runs left beside a file or in a folder, except the lock of this one."""
    unlink(leftovers(path.parent, of=path.name))
    if (path / WORK).is_dir():
        unlink(leftovers(path))
        folders, files = entries(path / WORK)
        for folder in folders:
            remove_tree(folder)
        unlink(file for file in files if file.name != LOCK)


def needs_sweep(path: Path) -> bool:
    """Whether killed runs left anything."""
    beside = lock_beside(path).exists() or bool(leftovers(path.parent, of=path.name))
    return beside or (path / WORK).is_dir()
