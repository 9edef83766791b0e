"""Checking a data set that is one zip archive, by the checksums of its members."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import CellprepError
from ..formats import FORMATS
from ..formats.manifest import INDEX, MANIFEST
from ..formats.untrusted import DAMAGED_ZIP
from ..formats.written import load_manifest
from ..system import executors
from ..system.paths import open_binary
from .file_state import INTACT


def damaged_members(path: Path) -> tuple[int, int, dict[str, str]]:
    """Rows and members of a data set, and the state of each member that is not intact."""
    try:
        with open_binary(path) as stream, zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
    except (*DAMAGED_ZIP, ValueError) as error:
        with open_binary(path) as file:
            if file.read(4) != b"PK\x03\x04":
                raise CellprepError(f"{str(path)!r} is not a data set: {error}") from None
        return 0, 1, {path.name: "cut short"}
    if MANIFEST not in names:
        raise CellprepError(f"{str(path)!r} was not written by cellprep: it has no {MANIFEST}")
    task = _ReadTask(path, tuple(names))
    states = dict(
        zip(names, executors.run(task, executors.cut(len(names), 1), "verifying"), strict=True)
    )
    if states[MANIFEST] != INTACT:
        return 0, len(names), {MANIFEST: states[MANIFEST]}
    manifest = load_manifest(path)
    kind = manifest["format"]
    members = FORMATS[kind].members if kind in FORMATS else ()
    arrays = (*members, "ids", "copies", "class_names", *(["masks"] * bool(manifest.get("masks"))))
    expected = {INDEX, *(f"{name}.npy" for name in arrays)}
    damaged = dict.fromkeys(sorted(expected - set(names)), "missing")
    damaged |= {name: state for name, state in states.items() if state != INTACT}
    return manifest["rows"], len(expected | set(names)), damaged


@dataclass(frozen=True)
class _ReadTask:
    """Reads one member to its end, where zipfile compares its checksum."""

    path: Path
    names: tuple[str, ...]

    def __call__(self, span: executors.Span) -> str:
        try:
            with (
                open_binary(self.path) as stream,
                zipfile.ZipFile(stream) as archive,
                archive.open(self.names[span[0]]) as file,
            ):
                while file.read(1 << 20):
                    pass
        except DAMAGED_ZIP:
            return "wrong bytes"
        except OSError as error:
            return f"unreadable: {error.strerror or error}"
        return INTACT
