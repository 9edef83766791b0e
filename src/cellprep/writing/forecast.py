"""The size and duration of a write, estimated from a sample written to a temporary folder."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..formats import FORMATS
from ..formats.pieces import Shards
from ..formats.written import PENDING, load_manifest
from ..plan.fingerprint import Fingerprint
from ..plan.plan import Plan
from ..system import executors
from ..system.locks import StillWriter
from .check import check
from .clearing import sweep
from .file_state import reads_fast
from .job import Job
from .shards import intact_shards, write_shards
from .single_file import write_file
from .target import TargetState

_ROWS = 256
"""Rows of a sample for each core: as many as it computes at a time."""
_BYTES = 64 << 20
"""Of the images of a sample."""
_RUN = 8
"""Consecutive rows in a sample: the copies of one image are computed together."""


@dataclass(frozen=True)
class Forecast:
    """What a `Job` would do.

    Attributes
    ----------
    path : Path
    format : str
    target : TargetState
        Of the path.
    rows : int
        Images in the data set.
    resumed : int
        Of these, images that an earlier run has written, and that are intact.
    shards : int
        1 for a single file.
    bytes : int
        Of the whole data set.
    encoded : bool
        Whether images are compressed, so that `bytes` is an estimate.
    seconds : float
        To compute and write what is missing.
    cores : int
    sampled : int
        Images from which bytes and seconds were estimated.
    """

    path: Path
    format: str
    target: TargetState
    rows: int
    resumed: int
    shards: int
    bytes: int
    encoded: bool
    seconds: float
    cores: int
    sampled: int


def forecast(job: Job) -> Forecast:
    """What a job would do; only a sample is written, to a temporary folder.

    Two samples of different size separate the cost per image from what occurs once, such as
    headers.
    """
    plan, kind = job.plan, FORMATS[job.fingerprint.format]
    done, shards = _done(job)
    todo = len(plan) - done
    cores = max(min(executors.cores(), len(plan.spans(todo)) if kind.is_file else shards), 1)
    most = min(len(plan), _ROWS * cores, max(_BYTES // plan.pixels.largest, 1))
    large, small = _sample(plan, most), _sample(plan, -(-most // 4))
    fingerprint = job.fingerprint.with_source("")
    _trial(small, fingerprint, cores)  # compiles, opens files
    some, many = (_trial(sample, fingerprint, cores) for sample in (small, large))
    grown = max(len(large) - len(small), 1)
    row_bytes = (many.bytes - some.bytes) / grown
    row_seconds = max(many.seconds - some.seconds, 0.0) / grown or many.seconds / len(large)
    once = max(some.seconds - row_seconds * len(small), 0.0)
    return Forecast(
        path=job.path,
        format=job.fingerprint.format,
        target=job.target,
        rows=len(plan),
        resumed=done,
        shards=1 if kind.is_file else -(-len(plan) // job.fingerprint.rows_per_shard),
        bytes=round(many.bytes + row_bytes * (len(plan) - len(large)))
        + sum(stamp["bytes"] for stamp in job.quarantined.values()),
        encoded=kind.encoded,
        seconds=once + todo * row_seconds if todo else 0.0,
        cores=cores,
        sampled=len(large),
    )


def _done(job: Job) -> tuple[int, int]:
    """The rows that need not be written, and the number of shards that must be."""
    plan, is_file = job.plan, FORMATS[job.fingerprint.format].is_file
    spans = executors.cut(len(plan), job.fingerprint.rows_per_shard)
    missing = spans
    if job.target is TargetState.COMPLETE:
        checked = check(job.path, deep=reads_fast(job.path))
        if is_file:
            return (0, 1) if checked.damaged else (len(plan), 0)
        shards = Shards(job.path, load_manifest(job.path))
        missing = [spans[number] for number in checked.to_compute(shards)]
    elif job.target is TargetState.UNFINISHED:
        intact, _ = intact_shards(job.path, job.path, job.fingerprint, spans)
        if (pending := job.path / PENDING).is_dir():
            intact |= intact_shards(pending, pending, job.fingerprint, spans)[0]
        missing = [span for span in spans if span not in intact]
    return len(plan) - sum(stop - start for start, stop in missing), len(missing)


def _sample(plan: Plan, most: int) -> Plan:
    """Short runs of rows, evenly spread."""
    n = len(plan)
    if n <= most:
        return plan
    starts = np.linspace(0, max(n - _RUN, 0), -(-most // _RUN)).astype(np.int64)
    return plan.keep(np.unique(starts[:, None] + np.arange(min(_RUN, most))))


class _Trial(NamedTuple):
    """The size and duration of a small write."""

    bytes: int
    seconds: float


def _trial(plan: Plan, fingerprint: Fingerprint, cores: int) -> _Trial:
    """Write some rows on all cores, and measure."""
    each = min(fingerprint.rows_per_shard, -(-len(plan) // cores))
    with tempfile.TemporaryDirectory() as folder, executors.using("threads", cores):
        path = Path(folder) / "sample"
        began = time.perf_counter()
        if FORMATS[fingerprint.format].is_file:
            write_file(plan, path, fingerprint)
        else:
            small = replace(fingerprint, rows_per_shard=each)
            write_shards(plan, path, small, {}, StillWriter())
            sweep(path)
        seconds = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return _Trial(size, seconds)
