"""`dataset.json`, the manifest of a written data set: its format, files and recipe.

It ends in its own digest, so that a change of any bit is detected. Those of version 0.1 have none,
and no `layout` either: a manifest that merely lost its digest is not taken for one of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from ..errors import CellprepError
from .untrusted import MOST_PIXELS, inside, is_text

MANIFEST = "dataset.json"
INDEX = "index.parquet"
README = "README.md"
CROISSANT = "croissant.json"
CARDS = (README, CROISSANT)
"""Files that describe a data set to others; no image depends on them."""
DIGEST = "digest"
"""The entry with the digest of the manifest itself: which data set this is."""
_LAYOUT, _LAYOUT_OF_PIECES = {"layout": 2}, {"layout": 3}

_REQUIRED: dict[str, Any] = {
    **{"format": str, "rows": int, "shape": [int], "class_names": [str], "recipe": [{"step": str}]},
    **{"made_of": dict, "stages": [{"name": str, "step": str}]},
}
"""The entries without which a data set cannot be read, and their types."""
_SHARDS = [{"rows": int, "files": dict}]
_STAMP = {"bytes": int, "xxh3_128": str}
_PIECES = [{"rows": int, "shards": int, "index": _STAMP, "entries": _STAMP}]
_LEAST_ENTRY = len('{"files":{},"rows":1}')
"""Bytes of the shortest entry of a shard."""

_NESTED = ("made_of", "recipe", "stages")
"""The entries that may contain settings of any form."""


def read_manifest(data: bytes, where: Path) -> dict[str, Any]:
    """Parse and check a manifest; `where` it was found is named in errors.

    Its digest is always among the entries: one of version 0.1 is digested here.
    """
    try:
        manifest = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise CellprepError(f"{str(where)!r} is not a manifest that cellprep wrote") from None
    saved = manifest if isinstance(manifest, dict) else {}
    if not saved.keys().isdisjoint({DIGEST, *_LAYOUT}) and not is_sealed(data):
        raise CellprepError(
            f"{str(where)!r} does not match its own digest: it was damaged or edited; restore it, "
            "or move the data set away and write it again"
        )
    wrong = [name for name, kind in _REQUIRED.items() if not _fits(saved.get(name), kind)]
    if not wrong:
        shape, names = saved["shape"], saved["class_names"]
        if len(shape) != 3 or shape[2] != 3 or not 0 < math.prod(shape[:2]) <= MOST_PIXELS:
            wrong.append("shape")
        if not names or len(set(names)) != len(names):
            wrong.append("class_names")
        wrong += [name for name in _NESTED if not _is_shallow(saved[name])]
        if saved.get("multiplied_by") is not None and not _fits(saved["multiplied_by"], str):
            wrong.append("multiplied_by")
        if "pieces" in saved:
            wrong += [] if _are_pieces(saved["pieces"], saved["rows"]) else ["pieces"]
        elif not are_shards(saved.get("shards")):
            wrong.append("shards")
        if not _are_stamps(saved.get("files", {})):
            wrong.append("files")
        about = saved.get("about", {})
        if not isinstance(about, dict) or not all(_fits(text, str) for text in about.values()):
            wrong.append("about")
    if wrong:
        raise CellprepError(
            f"{str(where)!r} has no usable {', '.join(wrong)}; it is damaged or not from cellprep"
        )
    return {DIGEST: xxhash.xxh3_128_hexdigest(data), **saved}


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """A manifest as it is saved, ending in its digest."""
    saved = {name: value for name, value in manifest.items() if name != DIGEST}
    layout = _LAYOUT_OF_PIECES if "pieces" in saved else _LAYOUT
    return sealed(to_json({**saved, **layout}).encode())


def sealed(text: bytes) -> bytes:
    """A JSON object with the digest of its text as last entry."""
    return text.removesuffix(b"\n}") + _seal(text)


def _seal(text: bytes) -> bytes:
    return f',\n "{DIGEST}": "{xxhash.xxh3_128_hexdigest(text)}"\n}}'.encode()


def is_sealed(data: bytes) -> bool:
    """Whether a JSON object ends in the digest of its text."""
    return data == sealed(data[: -len(_seal(b""))] + b"\n}")


def _fits(value: object, kind: Any) -> bool:
    if isinstance(kind, list):
        return isinstance(value, list) and all(_fits(item, kind[0]) for item in value)
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(_fits(value.get(k), kind[k]) for k in kind)
    if kind is int:
        return type(value) is int and 0 <= value < 2**63
    if kind is str:
        return isinstance(value, str) and is_text(value)
    return isinstance(value, kind)


def _is_shallow(value: object) -> bool:
    """Whether a value has at most 50 levels; Python cannot compare or print very deep ones."""
    level = [value]
    for _ in range(50):
        inner = [
            v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)
        ]
        level = [v for values in inner for v in values]
    return not level


def _are_stamps(files: object) -> bool:
    return isinstance(files, dict) and all(_fits(found, _STAMP) for found in files.values())


def are_shards(entries: object) -> bool:
    """Whether these are entries of shards, whose files are in the folder of the data set."""
    return _fits(entries, _SHARDS) and all(
        _are_stamps(entry["files"]) and all(map(inside, entry["files"]))
        for entry in entries  # type: ignore[attr-defined]  # a list
    )


def _are_pieces(pieces: Any, rows: int) -> bool:
    """Whether these are pieces with so many rows: all but the last one alike."""
    if not _fits(pieces, _PIECES) or len(pieces) < 2:
        return False
    first, last = pieces[0], pieces[-1]
    if not first["shards"] or not first["rows"] or first["rows"] % first["shards"]:
        return False
    each = first["rows"] // first["shards"]
    return (
        all(first[n] == piece[n] for piece in pieces[:-1] for n in ("rows", "shards"))
        and 0 < last["shards"] <= first["shards"]
        and (last["shards"] - 1) * each < last["rows"] <= last["shards"] * each
        and sum(piece["rows"] for piece in pieces) == rows
        and all(piece["shards"] * _LEAST_ENTRY <= piece["entries"]["bytes"] for piece in pieces)
    )


def to_json(value: object) -> str:
    """Canonical JSON: equal values give equal text."""
    return json.dumps(value, indent=1, sort_keys=True)
