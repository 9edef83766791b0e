"""Damaged parts of a finished data set made again, these and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CellprepError
from ..formats import FORMATS, manifest
from ..formats.manifest import INDEX, MANIFEST, stamp
from ..plan.plan import Plan
from ..system import executors
from ..system.paths import WORK, make_folder, move, unlink
from .records import load_records, record_path
from .shards import Part, contents_of, save_manifest, standing_parts, write_index
from .target import PLAN
from .verify import WHOLE, Checked, Parts, files_of, state

_AGAIN = f"{WORK}/again"
"""Where parts are made again, before they take their place."""


def repair(
    plan: Plan,
    path: Path,
    origin: Mapping[str, Any],
    checked: Checked,
    still_alone: Callable[[], None],
) -> int:
    """Make damaged parts again, and put in place what is missing there; how many rows that were.

    They are made in a folder of their own, so that nothing of the data set is touched if they come
    out otherwise than recorded. Of a damaged index all is made again, since it holds what was found
    in the pixels.
    """
    format, saved, again = FORMATS[origin["format"]], manifest.load_manifest(path), path / _AGAIN
    assert format.writer is not None
    contents = contents_of(plan, origin)
    writer = format.writer(contents)
    make_folder(again / WORK)
    save_manifest(again / PLAN, saved)
    _put_back(again, path, writer.begin(again), saved["files"])
    index = manifest.load_index(path) if format.digests and not checked.index else None
    recorded = Parts(saved["shards"], index, format.digests)
    spans = list(recorded.numbers)
    damaged = spans if checked.index else [spans[number] for number in sorted(checked.parts)]
    whole, _ = standing_parts(path, again, origin, damaged)
    missing = [span for span in damaged if span not in whole]
    part = Part(replace(plan, changes=()), again, writer, contents)
    repaired = executors.run(part, missing, "repairing")
    for span, (table, entry) in zip(missing, repaired, strict=True):
        still_alone()
        made = {name: wanted for name, _, wanted in files_of(entry, table, format.digests)}
        known = {name: wanted for name, _, wanted in recorded.files(span)}
        _put_back(again, path, made, known)
    if checked.index:
        records = load_records(record_path(again, number) for number in range(len(spans)))
        entries = write_index(path, records)
        files = {**saved["files"], INDEX: stamp(path / INDEX)}
        if files != saved["files"]:  # another version of pyarrow
            save_manifest(path / MANIFEST, {**saved, "shards": entries, "files": files})
    return sum(stop - start for start, stop in damaged)


def _put_back(
    again: Path, path: Path, made: Mapping[str, Any], recorded: Mapping[str, Any]
) -> None:
    """Give what was made again its place, where there is no such file."""
    other = [name for name in made if recorded.get(name, made[name]) != made[name]]
    if other:
        raise CellprepError(
            f"{other[0]!r} comes out otherwise than {str(path / MANIFEST)!r} records, so "
            "nothing was repaired with it; overwrite=True writes the whole data set anew"
        )
    for name, wanted in made.items():
        if state(path, name, wanted) != WHOLE:
            make_folder((path / name).parent)
            move(again / name, path / name)
        else:
            unlink([again / name])
