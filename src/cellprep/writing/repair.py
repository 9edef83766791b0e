"""Repair of a finished data set: damaged shards are written again, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CellprepError
from ..formats import FORMATS
from ..formats.index import load_index
from ..formats.manifest import CARDS, INDEX, MANIFEST
from ..formats.written import PLAN, load_manifest
from ..plan.fingerprint import Fingerprint
from ..plan.plan import Plan
from ..plan.profile import Measuring
from ..system import executors
from ..system.locks import StillWriter
from ..system.paths import WORK, make_folder, move, unlink
from .cards import write_cards
from .check import Checked, ExpectedShards
from .file_state import INTACT, file_state, files_of_shard
from .manifest import contents_of, finish, save_manifest, write_index
from .records import load_records, record_path
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
    match their recorded digests. If the index is damaged all shards are computed again, since it
    contains what was measured in the images.
    """
    format, manifest = FORMATS[fingerprint.format], load_manifest(path)
    folder = path / _REPAIR
    assert format.writer is not None
    contents = contents_of(plan, fingerprint)
    writer = format.writer(contents)
    make_folder(folder / WORK)
    save_manifest(folder / PLAN, manifest)
    _replace_damaged(folder, path, writer.begin(folder), manifest["files"])
    index = load_index(path, manifest) if format.digests and not checked.index_is_damaged else None
    expected = ExpectedShards(manifest["shards"], index, format.digests)
    spans = list(expected.numbers)
    damaged = [spans[number] for number in sorted(checked.shards)]
    if checked.index_is_damaged:
        damaged = spans
    intact, _ = intact_shards(path, folder, fingerprint, damaged)
    missing = [span for span in damaged if span not in intact]
    measuring = Measuring.of(plan)
    task = ShardTask(replace(plan, changes=()), folder, writer, contents, measuring, still_writer)
    repaired = executors.run(task, missing, "repairing")
    for span, (table, entry) in zip(missing, repaired, strict=True):
        new = {name: found for name, _, found in files_of_shard(entry, table, format.digests)}
        recorded = {name: known for name, _, known in expected.files(span)}
        _replace_damaged(folder, path, new, recorded)
    if any(found.file in CARDS for found in checked.damaged):
        _replace_damaged(folder, path, write_cards(folder, manifest), manifest["files"])
    if checked.index_is_damaged:
        records = load_records(record_path(folder, number) for number in range(len(spans)))
        index = write_index(path, records)
        if index.stamp != manifest["files"][INDEX]:  # another version of pyarrow
            finish(path, manifest, index)
    return sum(stop - start for start, stop in damaged)


def _replace_damaged(
    folder: Path, path: Path, new: Mapping[str, Any], recorded: Mapping[str, Any]
) -> None:
    """Move rewritten files to where files are missing or damaged."""
    other = [name for name in new if recorded.get(name, new[name]) != new[name]]
    if other:
        raise CellprepError(
            f"{other[0]!r}, written again, does not match its digest recorded in "
            f"{str(path / MANIFEST)!r}, so it was not repaired; overwrite=True rewrites the whole "
            "data set"
        )
    for name, expected in new.items():
        if file_state(path, name, expected) != INTACT:
            make_folder((path / name).parent)
            move(folder / name, path / name)
        else:
            unlink([folder / name])
