"""What a path contains: a data set of cellprep, complete or unfinished, or anything else.

Reading, writing and verifying all ask here.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CellprepError
from ..plan.source import Unread
from ..system.paths import LOCK, TEMPORARY, WORK, names, open_binary, read_bytes
from .manifest import CARDS, INDEX, MANIFEST, read_manifest
from .pieces import piece_files
from .untrusted import DAMAGED_ZIP, check_expansion

QUARANTINE = "quarantine"
"""The folder for copies of bad files."""
PENDING = f"{WORK}/pending"
"""The folder for the shards of an unfinished data set until all its images have been read."""
PLAN = f"{WORK}/plan.json"
"""The manifest of an unfinished data set, without its shards."""


@dataclass(frozen=True)
class Found:
    """What a path contains.

    Attributes
    ----------
    manifest : dict, optional
        Of the data set that cellprep wrote there; without it the path contains none.
    complete : bool
        Whether the data set was written to the end.
    begun : bool
        Whether the folder contains the work of an unfinished write.
    damage : CellprepError, optional
        Why there is a manifest that cannot be used.
    """

    manifest: dict[str, Any] | None = None
    complete: bool = False
    begun: bool = False
    damage: CellprepError | None = None


def look_at(path: Path) -> Found:
    """Find out what an existing file or folder contains, by its manifest alone."""
    if path.is_file():
        return _look_at_archive(path)
    if (path / MANIFEST).is_file():
        return _look_at_folder(path, MANIFEST, complete=True)
    if (path / PLAN).is_file():
        return _look_at_folder(path, PLAN, complete=False)
    return Found(begun=(path / WORK).is_dir())


def _look_at_folder(path: Path, name: str, *, complete: bool) -> Found:
    try:
        manifest = read_manifest(read_bytes(path / name), path / name)
    except CellprepError as error:
        return Found(begun=not complete, damage=error)
    return Found(manifest, complete, begun=not complete)


def _look_at_archive(path: Path) -> Found:
    try:
        return Found(read_manifest(read_entry(path, MANIFEST), path), complete=True)
    except CellprepError as error:
        return Found(damage=error)
    except (OSError, KeyError, *DAMAGED_ZIP):
        return Found()


def read_entry(path: Path, name: str) -> bytes:
    """A file of a data set folder, or a member of an npz file."""
    if not path.is_file():  # in an object store a name may be both a file and a folder
        return read_bytes(path / name)
    with open_binary(path) as file, zipfile.ZipFile(file) as archive:
        check_expansion(archive.getinfo(name), path)
        return archive.read(name)


def unknown_files(folder: Path, manifest: Mapping[str, Any], known: Iterable[Path]) -> Unread:
    """The files in the folder of a written data set that its index does not know."""
    pieces = range(len(manifest.get("pieces", ())))
    index = [name for number in pieces for name in piece_files(number)] or [INDEX]
    ours = {*known, *(folder / name for name in (MANIFEST, *index, *CARDS))}
    apart = (f"{WORK}/", f"{QUARANTINE}/")
    found = (name for name in names(folder) if not name.startswith(apart))
    return tuple(
        (name, "is not in the index of this data set")
        for name in found
        if folder / name not in ours
    )


def is_empty(folder: Path) -> bool:
    """Whether a folder has no files, or only those of a write that was killed as it began."""
    if any(entry.name != WORK for entry in folder.iterdir()):
        return False
    work = folder / WORK
    return not work.is_dir() or all(
        entry.name.endswith(TEMPORARY) or entry.name == LOCK for entry in work.iterdir()
    )


def written_format(path: Path) -> str | None:
    """The format of a folder that `write` has finished; None for a folder of another origin."""
    manifest = finished_manifest(path)
    return None if manifest is None else str(manifest["format"])


def manifest_of_format(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder that `write(format=kind)` has finished."""
    manifest = finished_manifest(folder)
    if manifest is None or manifest["format"] != kind:
        written_as = f"was written as {manifest['format']}" if manifest else None
        raise CellprepError(
            f"{str(folder)!r} {written_as or 'was not written by cellprep'}, and cannot be read "
            f"as {kind}"
        )
    return manifest


def finished_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder that `write` has finished; None for a folder of another origin."""
    found = look_at(folder)
    if found.begun:
        raise CellprepError(
            f"{str(folder)!r} was not written to the end; run the same write again, which "
            "continues where it stopped"
        )
    if found.damage is not None:
        raise found.damage
    return found.manifest


def load_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a folder or npz file that `write` has finished."""
    try:
        found = look_at(path)
    except OSError:
        found = Found()
    if found.damage is not None and not found.begun:
        raise found.damage
    if found.manifest is None or not found.complete:
        raise CellprepError(f"{str(path)!r} is not a folder or npz file that `write` has finished")
    return found.manifest
