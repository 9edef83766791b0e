"""The manifest and the index of a data set that is being written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..formats import FORMATS
from ..formats.format import Contents
from ..formats.manifest import INDEX, MANIFEST, manifest_bytes
from ..formats.stamps import Files, Stamp, stamp
from ..plan.fingerprint import Fingerprint
from ..plan.plan import Plan
from ..plan.profile import Measured, Profile
from ..system.paths import atomic_write
from .cards import write_cards
from .records import ShardRecord

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_SHARDS_PER_GROUP = 64
"""Shards whose rows form one row group of the index."""


def contents_of(plan: Plan, fingerprint: Fingerprint) -> Contents:
    """What a plan writes, as a format needs to know it."""
    return Contents(
        plan.table, plan.class_names, plan.shape, fingerprint.rows_per_shard, fingerprint.masks
    )


def manifest_of(
    plan: Plan,
    fingerprint: Fingerprint,
    shards: list[dict[str, Any]],
    files: Files,
    quarantined: Files,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """The manifest, with the entries of the shards and the stamps of all other files."""
    names = plan.class_names
    counts = plan.table.counts(len(names)).tolist()
    known_masks = {"known_masks": True} if plan.pixels.has_masks else {}
    profile = {"profile": Profile.of(measured, plan.shape).to_dict()} if measured else {}
    return {
        "format": fingerprint.format,
        "masks": fingerprint.masks,
        **({"about": dict(fingerprint.about)} if fingerprint.about else {}),
        "rows": len(plan),
        "shape": list(plan.shape),
        "class_names": list(names),
        "held": dict(zip(names, plan.source_counts.tolist(), strict=True)),
        "counts": dict(zip(names, counts, strict=True)),
        "recipe": fingerprint.steps,
        "stages": [
            *plan.source.history.stages,
            *({"name": name, **step.to_dict(), **known_masks} for name, step in plan.stages),
        ],
        "multiplied_by": plan.multiplied_by,
        "changes": [
            {"step": c.step, "rows_in": c.rows_in, "rows_out": c.rows_out, "why": c.why}
            for c in plan.changes
        ],
        "bad": dict(plan.bad),
        **({"unread": dict(plan.source.unread)} if plan.source.unread else {}),
        **profile,
        **({"blank": _named_rows(plan, measured.blank)} if measured and measured.blank else {}),
        **({"quarantined": quarantined} if quarantined else {}),
        "shards": shards,
        "files": files,
        "made_of": fingerprint.to_dict(),
        **FORMATS[fingerprint.format].describe(contents_of(plan, fingerprint)),
    }


def _named_rows(plan: Plan, at: list[int]) -> list[list[Any]]:
    """The id and the copy number of rows."""
    rows = plan.table.take(np.array(at))
    return [[id.item(), int(copy)] for id, copy in zip(rows.ids, rows.copies, strict=True)]


def finish(path: Path, manifest: Mapping[str, Any], index: WrittenIndex) -> None:
    """Complete a data set: write what describes it to others, and the manifest last."""
    files = {**manifest["files"], INDEX: index.stamp}
    known = {**manifest, "files": files, "sha256": {INDEX: index.sha256}, "shards": index.entries}
    save_manifest(path / MANIFEST, {**known, "files": {**files, **write_cards(path, known)}})


def save_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary, temporary.open("xb") as file:
        file.write(manifest_bytes(manifest))
        file.flush()
        os.fsync(file.fileno())  # a power cut may damage the files it names, but not itself


class WrittenIndex(NamedTuple):
    """The index of a data set.

    Attributes
    ----------
    entries : list of dict
        Of the shards, in the manifest.
    measured : Measured
        For the profile.
    stamp : Stamp
    sha256 : str
        Of the file, by which the Croissant description identifies it.
    """

    entries: list[dict[str, Any]]
    measured: Measured
    stamp: Stamp
    sha256: str


def write_index(path: Path, records: Iterable[ShardRecord]) -> WrittenIndex:
    """Write the index from the records of all shards."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = iter(records)
    entries: list[dict[str, Any]] = []
    with atomic_write(path / INDEX) as temporary:
        with ExitStack() as opened:
            index: pq.ParquetWriter | None = None
            while some := list(islice(records, _SHARDS_PER_GROUP)):
                tables, of_these = zip(*some, strict=True)
                table = pa.concat_tables(tables).unify_dictionaries()
                index = index or opened.enter_context(pq.ParquetWriter(temporary, table.schema))
                index.write_table(table)
                entries += of_these
        # Of what this process wrote, whatever is at its path later.
        written = stamp(temporary)
        with temporary.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    measured = Measured.total(Measured(**entry.pop("measured")) for entry in entries)
    return WrittenIndex(entries, measured, written, sha256)
