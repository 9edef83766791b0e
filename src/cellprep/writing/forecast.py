"""What a write would come to, by a sample of it that is written to a temporary folder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..formats import FORMATS
from ..plan.plan import Plan
from ..system import executors
from .shards import standing_parts, write_file, write_parts
from .verify import check, reads_quickly
from .write import Job

_ROWS = 256
"""Of a sample, for each core: what one makes at a time."""
_BYTES = 64 << 20
_RUN = 8
"""Neighbours in a sample: the copies of one image are made together."""


@dataclass(frozen=True)
class Forecast:
    """What a `Job` would do.

    Attributes
    ----------
    path : Path
    format : str
    stands : str
        At the path: "nothing", this data set "unfinished" or "finished", or "another".
    rows : int
        Images in the data set.
    resumed : int
        Of these, images that an earlier run has written, and that are whole.
    parts : int
        What appears piece by piece; 1 for a single file.
    bytes : int
        Of the whole data set.
    encoded : bool
        Whether images are compressed, so that `bytes` is an estimate.
    seconds : float
        Of making and writing what is not there yet.
    cores : int
    sampled : int
        Images by which bytes and seconds were measured.
    """

    path: Path
    format: str
    stands: str
    rows: int
    resumed: int
    parts: int
    bytes: int
    encoded: bool
    seconds: float
    cores: int
    sampled: int


def forecast(job: Job) -> Forecast:
    """What a job would do; nothing is written but a sample, to a folder for temporary files.

    The sample is written in two sizes: what both have alike, such as headers, is not multiplied.
    """
    plan, kind = job.plan, FORMATS[job.made_of["format"]]
    there, parts = _there(job)
    todo = len(plan) - there
    cores = max(min(executors.cores(), len(plan.spans(todo)) if kind.is_file else parts), 1)
    most = min(len(plan), _ROWS * cores, max(_BYTES // plan.pixels.largest, 1))
    large, small = _sample(plan, most), _sample(plan, -(-most // 4))
    origin = {**job.made_of, "source": ""}
    _trial(small, origin, cores)  # compiles, opens files
    some, many = (_trial(sample, origin, cores) for sample in (small, large))
    grown = max(len(large) - len(small), 1)
    row_bytes = (many.bytes - some.bytes) / grown
    row_seconds = max(many.seconds - some.seconds, 0.0) / grown or many.seconds / len(large)
    once = max(some.seconds - row_seconds * len(small), 0.0)
    return Forecast(
        path=job.path,
        format=job.made_of["format"],
        stands=job.stands,
        rows=len(plan),
        resumed=there,
        parts=1 if kind.is_file else -(-len(plan) // job.made_of["rows_per_shard"]),
        bytes=round(many.bytes + row_bytes * (len(plan) - len(large)))
        + sum(held["bytes"] for held in job.quarantined.values()),
        encoded=kind.encoded,
        seconds=once + todo * row_seconds if todo else 0.0,
        cores=cores,
        sampled=len(large),
    )


def _there(job: Job) -> tuple[int, int]:
    """Rows that need not be made, and the parts that must be."""
    plan, is_file = job.plan, FORMATS[job.made_of["format"]].is_file
    spans = executors.cut(len(plan), job.made_of["rows_per_shard"])
    missing = spans
    if job.stands == "finished":
        found = check(job.path, deep=reads_quickly(job.path))
        if is_file:
            return (0, 1) if found.damaged else (len(plan), 0)
        missing = [spans[number] for number in found.parts]
    elif job.stands == "unfinished":
        whole, _ = standing_parts(job.path, job.path, job.made_of, spans)
        missing = [span for span in spans if span not in whole]
    return len(plan) - sum(stop - start for start, stop in missing), len(missing)


def _sample(plan: Plan, most: int) -> Plan:
    """Rows from everywhere, in runs of neighbours."""
    n = len(plan)
    if n <= most:
        return plan
    starts = np.linspace(0, max(n - _RUN, 0), -(-most // _RUN)).astype(np.int64)
    return plan.keep(np.unique(starts[:, None] + np.arange(min(_RUN, most))))


class _Trial(NamedTuple):
    """What a small write came to."""

    bytes: int
    seconds: float


def _trial(plan: Plan, made_of: Mapping[str, Any], cores: int) -> _Trial:
    """Write some rows with all cores at work, and look."""
    each = min(made_of["rows_per_shard"], -(-len(plan) // cores))
    with tempfile.TemporaryDirectory() as room, executors.using("threads", cores):
        path = Path(room) / "sample"
        began = time.perf_counter()
        if FORMATS[made_of["format"]].is_file:
            write_file(plan, path, made_of)
        else:
            write_parts(plan, path, {**made_of, "rows_per_shard": each}, {}, lambda: None)
        seconds = time.perf_counter() - began
        held = sum(file.stat().st_size for file in Path(room).rglob("*") if file.is_file())
    return _Trial(held, seconds)
