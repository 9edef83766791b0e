"""Writing a folder of shards, each of which is complete or absent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..formats import FORMATS
from ..formats.format import Block, Contents, ShardWriter
from ..formats.index import index_of
from ..formats.pieces import Shards
from ..formats.stamps import Files
from ..formats.written import PLAN
from ..plan.fingerprint import Fingerprint
from ..plan.nodes import Record
from ..plan.plan import Plan
from ..plan.profile import Measured, Measuring
from ..system import executors
from ..system.executors import Span
from ..system.locks import StillWriter
from ..system.paths import WORK, fenced, make_folder, sizes
from .file_state import INTACT, file_state, files_of_shard, reads_fast
from .identity import identified_by_files, identity_by_shards
from .manifest import contents_of, finish, manifest_of, save_manifest, write_index
from .records import ShardRecord, load_intact, load_records, record_path, save_record


@dataclass(frozen=True)
class ShardTask:
    """Computes and writes one shard: the task of a worker."""

    plan: Plan
    folder: Path
    writer: ShardWriter
    contents: Contents
    measuring: Measuring
    still_writer: StillWriter

    @property
    def required_paths(self) -> tuple[Path, ...]:
        """What a worker must be able to see: the folder, and the source."""
        source = self.plan.source.path
        return (self.folder / PLAN, *([] if source is None else [source]))

    def __call__(self, span: Span) -> ShardRecord:
        """Write the shard and its record; returns the record."""
        number = span[0] // self.contents.rows_per_shard
        record: list[Record] = []
        measured: list[Measured] = []
        blocks = self._blocks(span, record, measured)
        with fenced(self.still_writer):
            written = self.writer.write_shard(self.folder, number, blocks)
            table = index_of(self.plan, span, dict(written.columns), record)
            # The record is saved after the images: where it exists, the shard is complete.
            entry = {
                "rows": span[1] - span[0],
                "files": written.files,
                "measured": asdict(Measured.total(measured)),
            }
            save_record(record_path(self.folder, number), table, entry)
        return table, entry

    def _blocks(
        self, span: Span, record: list[Record], measured: list[Measured]
    ) -> Iterator[Block]:
        """The images of a span and their masks, block by block.

        Their parameters are added to `record`, and what a profile needs to `measured`. A block is
        valid until the next one is requested: allocating new memory would cost as much as some of
        the steps.
        """
        start, stop = span
        spans = self.plan.spans(stop - start)
        buffer = np.empty((spans[0][1], *self.plan.shape), np.uint8)
        for first, last in spans:
            executors.check_running()
            at = np.arange(start + first, start + last)
            masks = None
            if self.contents.masks:
                images, parameters, masks = self.plan.evaluate_masked(at, buffer[: last - first])
            else:
                images, parameters = self.plan.evaluate(at, buffer[: last - first])
            record.append(parameters)
            measured.append(self.measuring(at, images, masks))
            yield images, masks


@dataclass(frozen=True)
class _IsIntact:
    """Whether the files of a shard match its record; after a power cut they may not."""

    folder: Path
    records: Path
    rows_per_shard: int
    digests: Mapping[str, str]

    def __call__(self, span: Span) -> bool:
        (record,) = load_intact([record_path(self.records, span[0] // self.rows_per_shard)])
        if record is None:
            return False
        table, entry = record
        deep = reads_fast(self.folder)
        return all(
            file_state(self.folder, name, expected, deep) == INTACT
            for name, _, expected in files_of_shard(entry, table, self.digests)
        )


def intact_shards(
    path: Path, records: Path, fingerprint: Fingerprint, spans: list[Span]
) -> tuple[set[Span], int]:
    """The shards that need not be written again, and the number of rows in damaged ones.

    Records are looked for in the folder `records`, the files that they name in `path`.
    """
    rows = fingerprint.rows_per_shard
    size_of = sizes(records / WORK)
    recorded = [
        span for span in spans if size_of(record_path(records, span[0] // rows).name) is not None
    ]
    is_intact = _IsIntact(path, records, rows, FORMATS[fingerprint.format].digests)
    results = zip(recorded, executors.run(is_intact, recorded, "checking"), strict=True)
    intact = {span for span, passed in results if passed}
    return intact, sum(stop - start for start, stop in set(recorded) - intact)


def write_shards(
    plan: Plan,
    path: Path,
    fingerprint: Fingerprint,
    quarantined: Files,
    still_writer: StillWriter,
    before: Callable[[ShardTask, list[Span], int], None] | None = None,
) -> tuple[int, int, Mapping[str, Any]]:
    """Write the missing shards, then index and manifest.

    `before` may write them instead, given how many rows exist already (see `single_pass`).

    Returns the number of rows that an earlier run had written, and of those that were damaged; and
    the manifest.
    Where the fingerprint has no source yet (see `writing.identity`), it is known at the end.
    """
    make_writer = FORMATS[fingerprint.format].writer
    assert make_writer is not None
    contents = contents_of(plan, fingerprint)
    writer = make_writer(contents)
    make_folder(path / WORK)
    save_manifest(path / PLAN, manifest_of(plan, fingerprint, {}, quarantined))
    spans = executors.cut(len(plan), contents.rows_per_shard)
    intact, damaged = intact_shards(path, path, fingerprint, spans)
    missing = [span for span in spans if span not in intact]
    done = len(plan) - sum(stop - start for start, stop in missing)
    measuring = Measuring.of(plan)
    task = ShardTask(replace(plan, changes=()), path, writer, contents, measuring, still_writer)
    if before is not None and missing:
        before(task, missing, done)
        intact, missing = {*spans}, []
    files = writer.begin(path)
    size = math.prod(plan.shape)
    new = executors.run(task, missing, "writing", image_bytes=size, done=done)
    numbers = (number for number, span in enumerate(spans) if span in intact)
    old = load_records(record_path(path, number) for number in numbers)

    def records() -> Iterator[ShardRecord]:
        for span in spans:
            if span in intact:
                yield next(old)
                continue
            yield next(new)
        next(new, None)  # lets the progress bar end

    with closing(new):
        index = write_index(path, records(), len(spans))
    if fingerprint.source is None:
        source = identified_by_files(plan, fingerprint.format)
        assert source is not None
        written = Shards(path, {"rows": len(plan), **index.listed})
        fingerprint = fingerprint.with_source(identity_by_shards(source, written))
    manifest = manifest_of(plan, fingerprint, files, quarantined, index.measured)
    finish(path, manifest, index.listed, index.files)
    return done, damaged, manifest
