"""A Croissant description of a written data set, for search engines and loaders [1]_.

It is computed from the manifest and its shards alone, so that every write of a data set has the
same.

References
----------
.. [1] https://docs.mlcommons.org/croissant/docs/croissant-spec.html, version 1.0
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from ..formats import FORMATS
from ..formats.manifest import CARDS, INDEX
from ..formats.pieces import FOLDER, Shards

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        term: f"cr:{term}"
        for term in (
            *("citeAs", "column", "equivalentProperty", "excludes", "extract", "field"),
            *("fileObject", "fileProperty", "fileSet", "format", "includes", "isLiveDataset"),
            *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references"),
            *("regex", "repeated", "replace", "samplingRate", "separator", "source"),
            *("subField", "transform"),
        )
    },
}
"""The names of version 1.0."""
_STATED = {
    "name": "name",
    "description": "description",
    "license": "license",
    "source": "isBasedOn",
    "citation": "citeAs",
    "url": "url",
}
"""The property for each statement of `about`."""
_KINDS = {
    ".png": "image/png",
    ".parquet": "application/x-parquet",
    ".tar": "application/x-tar",
    ".json": "application/json",
}
_PARQUET = _KINDS[".parquet"]
_ROWS = "One row per image: id, label, location, and what was done to it."


def croissant(manifest: Mapping[str, Any], shards: Shards) -> str:
    """The description of the data set with this manifest, as JSON-LD."""
    height, width, _ = manifest["shape"]
    stated = {
        "name": "Labelled images",
        "description": f"{manifest['rows']:,} RGB images of {width}x{height} pixels in "
        f"{len(manifest['class_names'])} classes, written by cellprep.",
        **manifest.get("about", {}),
    }
    sets = [_file_set(pattern) for pattern in _patterns(manifest, shards)]
    index = _index_pieces() if "pieces" in manifest else _index_file(manifest["sha256"][INDEX])
    return _json(
        {
            "@context": _CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": "http://mlcommons.org/croissant/1.0",
            **{_STATED[name]: text for name, text in sorted(stated.items()) if name in _STATED},
            "distribution": [index, *sets],
            "recordSet": [_classes(manifest["class_names"]), _rows(index), *_pictures(sets)],
        }
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _index_file(sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": INDEX,
        "name": INDEX,
        "description": _ROWS,
        "contentUrl": INDEX,
        "encodingFormat": _PARQUET,
        "sha256": sha256,
    }


def _index_pieces() -> dict[str, Any]:
    return {**_file_set(f"{FOLDER}/*.parquet"), "description": _ROWS}


def _patterns(manifest: Mapping[str, Any], shards: Shards) -> list[str]:
    """Patterns that match the files of the data set, except the index and those about it."""
    named = {*shards[0]["files"], *manifest["files"]} - {INDEX, *CARDS}
    format = FORMATS[manifest["format"]]
    of_rows = [f"{prefix}*/*.png" for prefix in format.digests.values()]  # images, masks
    if not manifest["masks"]:
        of_rows = of_rows[:1]
    return sorted({re.sub(r"\d+", "*", name) for name in named}.union(of_rows))


def _file_set(pattern: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": pattern,
        "name": pattern,
        "encodingFormat": _KINDS.get(PurePosixPath(pattern).suffix, "application/octet-stream"),
        "includes": pattern,
        **({"excludes": "masks/*"} if pattern.startswith("*") else {}),
    }


def _classes(class_names: list[str]) -> dict[str, Any]:
    """The names of the labels."""
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [
            {"@type": "cr:Field", "@id": "classes/label", "dataType": "sc:Integer"},
            {"@type": "cr:Field", "@id": "classes/name", "dataType": "sc:Text"},
        ],
        "data": [
            {"classes/label": label, "classes/name": name} for label, name in enumerate(class_names)
        ],
    }


def _rows(index: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of the index: the copies of one image have one id."""
    kinds = {"id": "sc:Text", "copy": "sc:Integer", "label": "sc:Integer", "class_name": "sc:Text"}
    source = "fileSet" if index["@type"] == "cr:FileSet" else "fileObject"
    file = {source: {"@id": index["@id"]}}
    columns = {n: (kind, {**file, "extract": {"column": n}}) for n, kind in kinds.items()}
    return _record_set("rows", columns)


def _pictures(sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The images themselves, where they are files or columns that Croissant can name."""
    for each in sets:
        encoding, fields = each["encodingFormat"], dict[str, tuple[str, dict[str, Any]]]()
        if encoding == _KINDS[".png"]:
            fields = {
                "file": ("sc:Text", {"extract": {"fileProperty": "fullpath"}}),
                "image": ("sc:ImageObject", {"extract": {"fileProperty": "content"}}),
            }
        elif encoding == _PARQUET:
            bytes_of = {"extract": {"column": "image"}, "transform": {"jsonPath": "bytes"}}
            fields = {
                "id": ("sc:Text", {"extract": {"column": "id"}}),
                "label": ("sc:Integer", {"extract": {"column": "label"}}),
                "image": ("sc:ImageObject", bytes_of),
            }
        if fields:
            source = {"fileSet": {"@id": each["@id"]}}
            columns = {name: (kind, {**source, **how}) for name, (kind, how) in fields.items()}
            return [_record_set("images", columns)]
    return []


def _record_set(name: str, fields: Mapping[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """A table: the type of each column, and where it is found."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{field}", "dataType": kind, "source": source}
            for field, (kind, source) in fields.items()
        ],
    }
