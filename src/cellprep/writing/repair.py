"""Repair of a finished data set: damaged shards are written again, and no others."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CellprepError
from ..formats import FORMATS
from ..formats.manifest import CARDS, INDEX, MANIFEST
from ..formats.pieces import Piece, Shards, entries_bytes
from ..formats.stamps import Files, Stamp, save, stamp_of
from ..formats.written import PLAN, load_manifest
from ..plan.fingerprint import Fingerprint
from ..plan.plan import Plan
from ..plan.profile import Measuring
from ..system import executors
from ..system.locks import StillWriter
from ..system.paths import WORK, make_folder, move, unlink
from .cards import write_cards
from .check import Checked, ExpectedFiles
from .file_state import INTACT, file_state, files_of_shard
from .manifest import WrittenRows, contents_of, finish, save_manifest, write_rows
from .records import ShardRecord, load_records, record_path
from .shards import ShardTask, intact_shards

_REPAIR = f"{WORK}/again"
"""Where shards are rewritten before they replace damaged ones."""


def repair(
    plan: Plan,
    path: Path,
    fingerprint: Fingerprint,
    checked: Checked,
    still_writer: StillWriter,
) -> int:
    """Rewrite damaged shards and replace their damaged files; returns the number of their rows.

    They are written to a separate folder, so that nothing in the data set changes if they do not
    match their recorded digests. If the index of a piece is damaged, or the entries of its shards,
    all its shards are computed again: both contain what was measured in the images.
    """
    format, manifest = FORMATS[fingerprint.format], load_manifest(path)
    folder, shards = path / _REPAIR, Shards(path, manifest)
    assert format.writer is not None
    contents = contents_of(plan, fingerprint)
    writer = format.writer(contents)
    make_folder(folder / WORK)
    save_manifest(folder / PLAN, manifest)
    _replace_damaged(folder, path, writer.begin(folder), manifest["files"])
    damaged = [shards.span(number) for number in checked.to_compute(shards)]
    intact, _ = intact_shards(path, folder, fingerprint, damaged)
    missing = [span for span in damaged if span not in intact]
    measuring = Measuring.of(plan)
    task = ShardTask(replace(plan, changes=()), folder, writer, contents, measuring, still_writer)
    without_index = {p.number for p in shards.pieces if p.index in checked.names}
    expected = ExpectedFiles(shards, format.digests, without_index)

    def replace_files(number: int, record: ShardRecord) -> None:
        table, entry = record
        new = {name: found for name, _, found in files_of_shard(entry, table, format.digests)}
        recorded = {name: known for name, _, known in expected.of_shard(number)}
        _replace_damaged(folder, path, new, recorded)

    without_entries = [p for p in shards.pieces if p.entries in checked.names]
    later = {number for piece in without_entries for number in range(*piece.shards)}
    for span, record in zip(missing, executors.run(task, missing, "repairing"), strict=True):
        number = span[0] // shards.rows_per_shard
        if number not in later:
            replace_files(number, record)
    for piece in without_entries:
        _restore_entries(folder, path, piece)
        for number in range(*piece.shards):  # whose files are known only now
            (record,) = load_records([record_path(folder, number)])
            replace_files(number, record)
    changed = dict[int, WrittenRows]()
    for number in sorted(without_index):
        piece = shards.pieces[number]
        make_folder((path / piece.index).parent)
        written = write_rows(path / piece.index, _records(folder, piece))
        if written.stamp != piece.files[piece.index]:  # another version of pyarrow
            changed[number] = written
    if changed:
        finish(path, manifest, *_with_index(manifest, changed))
    elif not checked.names.isdisjoint(CARDS):
        _replace_damaged(folder, path, write_cards(folder, manifest, shards), manifest["files"])
    return sum(stop - start for start, stop in damaged)


def _records(folder: Path, piece: Piece) -> Iterator[ShardRecord]:
    return load_records(record_path(folder, number) for number in range(*piece.shards))


def _restore_entries(folder: Path, path: Path, piece: Piece) -> None:
    """Write the entries of a piece, from the records of its shards."""
    assert piece.entries is not None
    entries = [entry for _, entry in _records(folder, piece)]
    data = entries_bytes({name: entry[name] for name in ("rows", "files")} for entry in entries)
    _check_recorded(path, piece.entries, stamp_of(io.BytesIO(data)), piece.files)
    make_folder((path / piece.entries).parent)
    save(path / piece.entries, [data])


def _with_index(
    manifest: Mapping[str, Any], changed: Mapping[int, WrittenRows]
) -> tuple[dict[str, Any], Files]:
    """The shards or pieces of a manifest, and its files, with another index."""
    if "pieces" not in manifest:
        index = changed[0]
        listed = {"shards": manifest["shards"], "sha256": {INDEX: index.sha256}}
        return listed, {INDEX: index.stamp}
    pieces = [
        {**piece, "index": changed[number].stamp} if number in changed else piece
        for number, piece in enumerate(manifest["pieces"])
    ]
    return {"pieces": pieces}, {}


def _check_recorded(path: Path, name: str, new: Stamp, recorded: Mapping[str, Any]) -> None:
    """Refuse a rewritten file that is not as recorded."""
    if recorded.get(name, new) != new:
        raise CellprepError(
            f"{name!r}, written again, does not match its digest recorded in "
            f"{str(path / MANIFEST)!r}, so it was not repaired; overwrite=True rewrites the whole "
            "data set"
        )


def _replace_damaged(
    folder: Path, path: Path, new: Mapping[str, Any], recorded: Mapping[str, Any]
) -> None:
    """Move rewritten files to where files are missing or damaged."""
    for name, found in new.items():
        _check_recorded(path, name, found, recorded)
    for name, expected in new.items():
        if file_state(path, name, expected) != INTACT:
            make_folder((path / name).parent)
            move(folder / name, path / name)
        else:
            unlink([folder / name])
