"""The files that describe a written data set to others: a data card and a Croissant description."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CellprepError
from ..formats.manifest import CARDS, CROISSANT, README
from ..formats.pieces import Shards
from ..formats.stamps import Files, save
from ..formats.written import Found
from .croissant import croissant
from .data_card import data_card
from .file_state import INTACT, file_state


def write_cards(folder: Path, manifest: Mapping[str, Any], shards: Shards) -> Files:
    """Write both files from a manifest that lacks only their own stamps, which are returned."""
    texts = {README: data_card(manifest, shards), CROISSANT: croissant(manifest, shards)}
    # Names of files may hold bytes that are not UTF-8.
    encoded = {name: text.encode(errors="backslashreplace") for name, text in texts.items()}
    return {name: save(folder / name, [data]) for name, data in encoded.items()}


def cards_to_delete(path: Path, found: Found) -> list[Path]:
    """The cards in a folder that is to be overwritten; refused if one is not as it was written."""
    if found.complete:
        stamps = (found.manifest or {}).get("files", {})
        for name in CARDS:
            there = (path / name).exists()
            if there and not (name in stamps and file_state(path, name, stamps[name]) == INTACT):
                raise CellprepError(
                    f"{str(path / name)!r} is yours or was edited, and would be replaced; move it "
                    "away first"
                )
    return [path / name for name in CARDS]
