"""The data card of a written data set: what is in it, where it comes from and how it was made.

It is computed from the manifest alone, so that every write of a data set has the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from ..errors import counted
from ..formats.manifest import INDEX, MANIFEST
from .markdown import bullets, plain, steps, table

_MOST = 20
"""Rows of a list; the manifest has all of them."""


def data_card(manifest: Mapping[str, Any]) -> str:
    """The card of the data set with this manifest, as Markdown."""
    about, versions = manifest.get("about", {}), manifest["made_of"].get("versions") or {}
    height, width, _ = manifest["shape"]
    masks = " with masks" if manifest["masks"] else ""
    names, counts, held = manifest["class_names"], manifest["counts"], manifest["held"]
    files = [(INDEX, manifest["files"][INDEX])]
    files += [item for shard in manifest["shards"] for item in sorted(shard["files"].items())]
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
        table(
            ("file", "bytes", "XXH3-128"),
            [(n, s["bytes"], s["xxh3_128"]) for n, s in files[:_MOST]],
        ),
        *([f"And {len(files) - _MOST:,} more, in `{MANIFEST}`."] * (len(files) > _MOST)),
        f"`cellprep verify` compares all files with the digests in `{MANIFEST}`. The images were "
        f"made with {', '.join(f'{plain(n)} {plain(v)}' for n, v in sorted(versions.items()))}.",
        "What this page states about source and licence comes from `about=` of `cellprep.write` "
        "(`--about` on the command line). A repair of the data set undoes changes to this file.",
    ]
    return "\n\n".join(parts) + "\n"


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
