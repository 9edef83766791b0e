"""Manifests that a test changes on purpose; their digests match, so that other checks run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cellprep.formats.manifest import INDEX, MANIFEST, manifest_bytes
from cellprep.formats.pieces import piece_files
from cellprep.formats.stamps import stamp


def load(path: Path) -> dict[str, Any]:
    """The manifest of a data set folder."""
    saved: dict[str, Any] = json.loads((path / MANIFEST).read_text())
    return saved


def save(path: Path, saved: dict[str, Any]) -> None:
    """Save a changed manifest of a data set folder, with its digest."""
    (path / MANIFEST).write_bytes(manifest_bytes(saved))


def save_with_index(path: Path, saved: dict[str, Any]) -> None:
    """The same, with the digest of the index as it is now, or of the files of all pieces."""
    if "pieces" not in saved:
        save(path, {**saved, "files": {**saved["files"], INDEX: stamp(path / INDEX)}})
        return
    for number, piece in enumerate(saved["pieces"]):
        index, entries = piece_files(number)
        piece |= {"index": stamp(path / index), "entries": stamp(path / entries)}
    save(path, saved)
