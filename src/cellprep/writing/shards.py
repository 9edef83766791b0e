"""A plan made and written: in parts, each complete or absent, or into one file."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Images, Masks
from ..formats import FORMATS
from ..formats.format import Block, Contents, Files, PartWriter
from ..formats.manifest import INDEX, MANIFEST, digests_of, index_of, stamp, to_json
from ..plan.nodes import Record
from ..plan.plan import Plan
from ..system import executors
from ..system.paths import WORK, atomic_write, make_folder, sizes
from .records import Saved, load_records, load_whole, record_path, save_record
from .target import PLAN, sweep, telling
from .verify import WHOLE, files_of, reads_quickly, state

if TYPE_CHECKING:
    import pyarrow as pa

_IN_A_GROUP = 64
"""Parts whose rows are one row group of the index."""


@dataclass(frozen=True)
class Part:
    """Makes and writes one part: the task of a worker."""

    plan: Plan
    folder: Path
    writer: PartWriter
    contents: Contents

    @property
    def required_paths(self) -> tuple[Path, ...]:
        """What a worker must see: the work begun in the folder, and the source."""
        source = self.plan.source.path
        return (self.folder / PLAN, *([] if source is None else [source]))

    def __call__(self, span: executors.Span) -> Saved:
        """The record, as it is saved."""
        number = span[0] // self.contents.rows_per_part
        record: list[Record] = []
        written = self.writer.write_part(self.folder, number, self._blocks(span, record))
        table = index_of(self.plan, span, dict(written.columns), record)
        # The record after the images: where it stands, the part is complete.
        entry = {"rows": span[1] - span[0], "files": written.files}
        save_record(record_path(self.folder, number), table, entry)
        return table, entry

    def _blocks(self, span: executors.Span, record: list[Record]) -> Iterator[Block]:
        """The images of a span, block by block, and their masks; what made them goes to `record`.

        A block is gone when the next one is asked for: fresh memory costs as much as some of the
        steps.
        """
        start, stop = span
        spans = self.plan.spans(stop - start)
        room = np.empty((spans[0][1], *self.plan.shape), np.uint8)
        for first, last in spans:
            executors.check_running()
            at = np.arange(start + first, start + last)
            masks = None
            if self.contents.masks:
                images, made_by, masks = self.plan.evaluate_masked(at, room[: last - first])
            else:
                images, made_by = self.plan.evaluate(at, room[: last - first])
            record.append(made_by)
            yield images, masks


@dataclass(frozen=True)
class _Standing:
    """Whether a part is as its record says: a power cut may leave the one without the other."""

    folder: Path
    records: Path
    rows_per_part: int
    digests: Mapping[str, str]

    def __call__(self, span: executors.Span) -> bool:
        (record,) = load_whole([record_path(self.records, span[0] // self.rows_per_part)])
        if record is None:
            return False
        table, entry = record
        deep = reads_quickly(self.folder)
        return all(
            state(self.folder, name, wanted, deep) == WHOLE
            for name, _, wanted in files_of(entry, table, self.digests)
        )


def standing_parts(
    path: Path, records: Path, origin: Mapping[str, Any], spans: list[executors.Span]
) -> tuple[set[executors.Span], int]:
    """The parts that need not be made, and the rows of those that are damaged."""
    size = origin["rows_per_shard"]
    held = sizes(records / WORK)
    recorded = [
        span for span in spans if held(record_path(records, span[0] // size).name) is not None
    ]
    look = _Standing(path, records, size, FORMATS[origin["format"]].digests)
    looks = zip(recorded, executors.run(look, recorded, "checking"), strict=True)
    whole = {span for span, is_whole in looks if is_whole}
    return whole, sum(stop - start for start, stop in set(recorded) - whole)


def write_parts(
    plan: Plan,
    path: Path,
    origin: Mapping[str, Any],
    quarantined: Files,
    still_alone: Callable[[], None],
) -> tuple[int, int]:
    """Write the parts that are missing, then index and manifest.

    How many rows were there, and how many were damaged. Without a source in `origin` (see
    `destination.telling`) no part is there yet, and the files of all of them tell what it holds.
    """
    make_writer = FORMATS[origin["format"]].writer
    assert make_writer is not None
    contents = contents_of(plan, origin)
    writer = make_writer(contents)
    make_folder(path / WORK)
    save_manifest(path / PLAN, manifest_of(plan, origin, [], {}, quarantined))
    files = writer.begin(path)
    spans = executors.cut(len(plan), contents.rows_per_part)
    whole, damaged = standing_parts(path, path, origin, spans)
    missing = [span for span in spans if span not in whole]
    source = telling(plan, origin["format"]) if origin["source"] is None else None
    part = Part(replace(plan, changes=()), path, writer, contents)
    there = len(plan) - sum(stop - start for start, stop in missing)
    size = math.prod(plan.shape)
    made = executors.run(part, missing, "writing", image_bytes=size, done=there)
    numbers = (number for number, span in enumerate(spans) if span in whole)
    held = load_records(record_path(path, number) for number in numbers)

    def records() -> Iterator[Saved]:
        for span in spans:
            if span in whole:
                yield next(held)
                continue
            record = next(made)
            still_alone()
            yield record
        next(made, None)  # it ends its bar

    with closing(made):
        entries = write_index(path, records())
    files[INDEX] = stamp(path / INDEX)
    still_alone()
    if source:
        origin = {**origin, "source": source.identity_of([digests_of({"shards": entries})])}
    save_manifest(path / MANIFEST, manifest_of(plan, origin, entries, files, quarantined))
    sweep(path)
    return there, damaged


def write_index(path: Path, records: Iterable[Saved]) -> list[dict[str, Any]]:
    """The index from the records of the parts, as these come; their entries in the manifest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = iter(records)
    entries: list[dict[str, Any]] = []
    with atomic_write(path / INDEX) as temporary, ExitStack() as opened:
        index: pq.ParquetWriter | None = None
        while some := list(islice(records, _IN_A_GROUP)):
            tables, of_these = zip(*some, strict=True)
            table = pa.concat_tables(tables).unify_dictionaries()
            index = index or opened.enter_context(pq.ParquetWriter(temporary, table.schema))
            index.write_table(table)
            entries += of_these
    return entries


def save_manifest(path: Path, saved: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary, temporary.open("x", encoding="utf-8") as file:
        file.write(to_json(saved))
        file.flush()
        os.fsync(file.fileno())  # a power cut may take what it tells of, but not itself


def write_file(plan: Plan, path: Path, origin: Mapping[str, Any]) -> None:
    """Blocks are made in parallel and streamed into the one file in order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_file = FORMATS[origin["format"]].write_file
    assert write_file is not None
    contents = contents_of(plan, origin)
    index: list[pa.Table] = []

    def blocks() -> Iterator[Block]:
        block, size = _Block(plan, contents.masks), math.prod(plan.shape)
        made = executors.run(block, plan.spans(), "writing", image_bytes=size)
        for images, masks, table in made:
            index.append(table)
            yield images, masks

    def finish() -> tuple[dict[str, Any], bytes]:
        buffer = io.BytesIO()
        pq.write_table(pa.concat_tables(index).unify_dictionaries(), buffer)
        return manifest_of(plan, origin, [], {}, {}), buffer.getvalue()

    write_file(path, contents, blocks(), finish)
    sweep(path)


@dataclass(frozen=True)
class _Block:
    """Makes the images of a block, and their rows of the index."""

    plan: Plan
    masks: bool

    def __call__(self, span: executors.Span) -> tuple[Images, Masks | None, Any]:
        found = None
        if self.masks:
            images, made_by, found = self.plan.evaluate_masked(np.arange(*span))
        else:
            images, made_by = self.plan.evaluate(np.arange(*span))
        return images, found, index_of(self.plan, span, {}, [made_by])


def contents_of(plan: Plan, origin: Mapping[str, Any]) -> Contents:
    return Contents(
        *(plan.rows, plan.class_names, plan.shape, origin["rows_per_shard"], "masks" in origin)
    )


def manifest_of(
    plan: Plan,
    origin: Mapping[str, Any],
    entries: list[dict[str, Any]],
    files: Files,
    quarantined: Files,
) -> dict[str, Any]:
    counts = np.bincount(plan.rows.labels, minlength=len(plan.class_names)).tolist()
    names = plan.class_names
    drawn = plan.pixels.has_masks
    return {
        "format": origin["format"],
        "masks": "masks" in origin,
        "rows": len(plan),
        "shape": list(plan.shape),
        "class_names": list(names),
        "held": dict(zip(names, plan.source_counts.tolist(), strict=True)),
        "counts": dict(zip(names, counts, strict=True)),
        "recipe": origin["steps"],
        "stages": [
            *plan.source.history.stages,
            *(
                {"name": name, **step.to_dict(), **({"known_masks": True} if drawn else {})}
                for name, step in plan.stages
            ),
        ],
        "multiplied_by": plan.multiplied_by,
        "changes": [
            {"step": c.step, "rows_in": c.rows_in, "rows_out": c.rows_out, "why": c.why}
            for c in plan.changes
        ],
        "bad": dict(plan.bad),
        **({"quarantined": quarantined} if quarantined else {}),
        "shards": entries,
        "files": files,
        "made_of": dict(origin),
        **FORMATS[origin["format"]].describe(contents_of(plan, origin)),
    }
