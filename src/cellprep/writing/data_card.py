"""The data card of a written data set: what is in it, where it comes from and how it was made.

It is computed from the manifest and its shards alone, so that every write of a data set has the
same.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice
from typing import Any

from ..errors import counted
from ..formats.manifest import MANIFEST
from ..formats.pieces import FOLDER, Shards
from .markdown import bullets, plain, steps, table

_MOST = 20
"""Rows of a list; the manifest has all of them."""


def data_card(manifest: Mapping[str, Any], shards: Shards) -> str:
    """The card of the data set with this manifest, as Markdown."""
    about, versions = manifest.get("about", {}), manifest["made_of"].get("versions") or {}
    height, width, _ = manifest["shape"]
    masks = " with masks" if manifest["masks"] else ""
    names, counts, held = manifest["class_names"], manifest["counts"], manifest["held"]
    parts = [
        f"# {plain(about.get('name', 'Labelled images'))}",
        *([plain(about["description"])] if "description" in about else []),
        f"{counted(manifest['rows'], 'image')} of {width}x{height} pixels{masks}, RGB with 8 bits "
        f"per channel, in {counted(len(names), 'class', 'classes')}. Written as "
        f"{manifest['format']} by cellprep {versions.get('cellprep', '')}; `cellprep.read` of this "
        "folder reads it.",
        "## Source and licence",
        bullets(
            {
                "Source": about.get("source", "not stated"),
                "Licence": about.get("license", "not stated"),
                **({"Citation": about["citation"]} if "citation" in about else {}),
                **({"Page": about["url"]} if "url" in about else {}),
            }
        ),
        "## Classes",
        table(
            ("label", "class", "images in the source", "images here"),
            [(label, n, held.get(n, 0), counts.get(n, 0)) for label, n in enumerate(names)],
        ),
        "## What was removed and added",
        _changes(manifest),
        *_listed("could not be read and were left out", manifest["bad"]),
        *_listed("of the input were not read", manifest.get("unread", {})),
        "## Recipe",
        steps(manifest["recipe"]) or "None: the images are those of the source.",
        "## Files and digests",
        *_files(shards),
        f"`cellprep verify` compares all files with the digests in {_named(shards)}. The images "
        "were made with "
        f"{', '.join(f'{plain(n)} {plain(v)}' for n, v in sorted(versions.items()))}.",
        "What this page states about source and licence comes from `about=` of `cellprep.write` "
        "(`--about` on the command line). A repair of the data set undoes changes to this file.",
    ]
    return "\n\n".join(parts) + "\n"


def _files(shards: Shards) -> list[str]:
    """The digests of the first files; all shards have the same number of files."""
    of_pieces = (item for piece in shards.pieces for item in piece.files.items())
    of_shards = (item for shard in shards for item in sorted(shard["files"].items()))
    shown = [
        (name, stamp["bytes"], stamp["xxh3_128"])
        for name, stamp in islice(chain(of_pieces, of_shards), _MOST)
    ]
    known = sum(len(piece.files) for piece in shards.pieces)
    left = known + len(shards) * len(shards[0]["files"]) - len(shown)
    more = [f"And {left:,} more, in {_named(shards)}."] if left else []
    return [table(("file", "bytes", "XXH3-128"), shown), *more]


def _named(shards: Shards) -> str:
    """The files that contain the digests."""
    pieces = [f"`{FOLDER}/*.json`"] if len(shards.pieces) > 1 else []
    return " and ".join([f"`{MANIFEST}`", *pieces])


def _changes(manifest: Mapping[str, Any]) -> str:
    changes = manifest["changes"]
    if not changes:
        return "Nothing: no step of this write removed or added images."
    return table(
        ("step", "images before", "images after", "what it did"),
        [(c["step"], c["rows_in"], c["rows_out"], c["why"]) for c in changes],
    )


def _listed(what: str, causes: Mapping[str, str]) -> list[str]:
    """The first of the files that were left out, each with the reason."""
    if not causes:
        return []
    shown = bullets(dict(islice(sorted(causes.items()), _MOST)))
    more = f"\n- and {len(causes) - _MOST:,} more, in `{MANIFEST}`" * (len(causes) > _MOST)
    return [f"{counted(len(causes), 'file')} {what}:", shown + more]
