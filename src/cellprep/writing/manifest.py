"""The manifest and the index of a data set that is being written."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..formats import FORMATS
from ..formats.format import Contents
from ..formats.manifest import INDEX, MANIFEST, manifest_bytes
from ..formats.pieces import FOLDER, Shards, cut_into_pieces, entries_bytes, piece_files
from ..formats.stamps import Files, Stamp, save, stamp
from ..plan.fingerprint import Fingerprint
from ..plan.plan import Plan
from ..plan.profile import Measured, Profile
from ..system.paths import atomic_write, make_folder
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
    files: Files,
    quarantined: Files,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """The manifest, without shards, and with the stamps of the files outside them."""
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
        "shards": [],
        "files": files,
        "made_of": fingerprint.to_dict(),
        **FORMATS[fingerprint.format].describe(contents_of(plan, fingerprint)),
    }


def _named_rows(plan: Plan, at: list[int]) -> list[list[Any]]:
    """The id and the copy number of rows."""
    rows = plan.table.take(np.array(at))
    return [[id.item(), int(copy)] for id, copy in zip(rows.ids, rows.copies, strict=True)]


def finish(
    path: Path, manifest: Mapping[str, Any], listed: Mapping[str, Any], index: Files
) -> None:
    """Complete a data set: write what describes it to others, and the manifest last.

    See `WrittenIndex` for what is `listed`, and the files of the index.
    """
    known = {name: value for name, value in manifest.items() if name != "shards"} | dict(listed)
    known["files"] = {**manifest["files"], **index}
    cards = write_cards(path, known, Shards(path, known))
    save_manifest(path / MANIFEST, {**known, "files": {**known["files"], **cards}})


def save_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary, temporary.open("xb") as file:
        file.write(manifest_bytes(manifest))
        file.flush()
        os.fsync(file.fileno())  # a power cut may damage the files it names, but not itself


class WrittenIndex(NamedTuple):
    """The index of a data set, and the entries of its shards.

    Attributes
    ----------
    listed : dict
        The entries of the shards or pieces, as the manifest has them.
    files : dict
        The stamp of the index; those of pieces are among their entries.
    measured : Measured
        For the profile.
    """

    listed: dict[str, Any]
    files: Files
    measured: Measured


def write_index(path: Path, records: Iterable[ShardRecord], shards: int) -> WrittenIndex:
    """Write the index from the records of all shards: in pieces if these are many."""
    records, spans = iter(records), cut_into_pieces(shards)
    if len(spans) == 1:
        written = write_rows(path / INDEX, records)
        listed = {"shards": written.entries, "sha256": {INDEX: written.sha256}}
        return WrittenIndex(listed, {INDEX: written.stamp}, written.measured)
    make_folder(path / FOLDER)
    pieces, measured = [], Measured.total(())
    for number, (start, stop) in enumerate(spans):
        index, entries = piece_files(number)
        written = write_rows(path / index, islice(records, stop - start))
        size = {"rows": sum(entry["rows"] for entry in written.entries), "shards": stop - start}
        saved = save(path / entries, [entries_bytes(written.entries)])
        pieces.append({**size, "index": written.stamp, "entries": saved})
        measured = Measured.total((measured, written.measured))
    deque(records, maxlen=0)  # lets the progress bar end
    return WrittenIndex({"pieces": pieces}, {}, measured)


class WrittenRows(NamedTuple):
    """A file with rows of the index.

    Attributes
    ----------
    entries : list of dict
        Of their shards.
    measured : Measured
    stamp : Stamp
    sha256 : str
        Of the file, by which the Croissant description identifies it.
    """

    entries: list[dict[str, Any]]
    measured: Measured
    stamp: Stamp
    sha256: str


def write_rows(file: Path, records: Iterator[ShardRecord]) -> WrittenRows:
    """Write rows of the index from the records of their shards."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    entries: list[dict[str, Any]] = []
    with atomic_write(file) as temporary:
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
        with temporary.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    measured = Measured.total(Measured(**entry.pop("measured")) for entry in entries)
    return WrittenRows(entries, measured, written, sha256)
