"""Reading and writing in one pass: nothing gets its final name before every image has been read.

With `on_error="raise"` a bad image must stop a write before anything is written. So the shards of
images that were not read before are written below `.cellprep`, as are their records, and moved to
their final names once all are there. An interrupted write continues with what it finds there.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..arrays import Images, Masks, Positions
from ..dataset.dataset import Dataset
from ..formats import FORMATS
from ..formats.written import PENDING, PLAN
from ..plan.fingerprint import Fingerprint
from ..plan.plan import Plan
from ..plan.source import Source
from ..system import executors
from ..system.executors import Span
from ..system.paths import WORK, atomic_write, make_folder, move, read_bytes, remove_tree, unlink
from .file_state import files_of_shard
from .records import load_intact, record_path
from .shards import ShardTask, intact_shards


def needs_no_pixels(dataset: Dataset) -> bool:
    """Whether the rows of a data set are known without reading any image.

    Dedupe, for example, reads all of them.
    """
    source = dataset.source
    if source.trusted or dataset.chain[0].skips_bad:
        return False
    if "plan" in vars(dataset):
        return True
    closed: Any = _Closed(source)
    with suppress(_NeedsPixelsError), executors.in_this_thread():
        dataset.replanned(Plan.of(closed))
        return True
    return False


class _NeedsPixelsError(Exception):
    pass


@dataclass(frozen=True)
class _Closed:
    """A source whose images must not be read."""

    source: Source

    def __getattr__(self, name: str) -> Any:
        if name == "source" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.source, name)

    def images(self, at: Positions) -> Images:
        raise _NeedsPixelsError

    def masks(self, at: Positions) -> Masks:
        raise _NeedsPixelsError


def write_pending(
    task: ShardTask,
    spans: list[Span],
    done: int,
    *,
    path: Path,
    fingerprint: Fingerprint,
) -> None:
    """Write shards below `.cellprep`, then give all of them their final names."""
    format, folder = FORMATS[fingerprint.format], path / PENDING
    make_folder(folder / WORK)
    with atomic_write(folder / PLAN) as temporary:
        temporary.write_bytes(read_bytes(path / PLAN))
    task.writer.begin(folder)
    there, _ = intact_shards(folder, folder, fingerprint, spans)
    missing = [span for span in spans if span not in there]
    done += sum(stop - start for start, stop in there)
    size, pending = math.prod(task.plan.shape), replace(task, folder=folder)
    for _ in executors.run(pending, missing, "writing", image_bytes=size, done=done):
        pass
    task.writer.begin(path)
    for span in spans:
        number = span[0] // fingerprint.rows_per_shard
        (record,) = load_intact([record_path(folder, number)])
        assert record is not None
        table, entry = record
        for name, _, _ in files_of_shard(entry, table, format.digests):
            make_folder((path / name).parent)
            move(folder / name, path / name)
        move(record_path(folder, number), record_path(path, number))


def withdraw(path: Path) -> None:
    """Delete what was written below `.cellprep` of a set with a bad image, if that is all."""
    work = path / WORK
    if work.is_dir() and not any(file.suffix == ".arrow" for file in work.iterdir()):
        if (path / PENDING).is_dir():
            remove_tree(path / PENDING)
        unlink([path / PLAN, *work.glob("files.parquet")])
