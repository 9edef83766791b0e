"""A data set of a hundred million rows on one machine: memory of the caller, and time per row.

Its images are computed from the numbers of the rows. All rows go through Dedupe, Balance and
RandAugment; of the shards, some are written, evenly spread, and the others only planned:

    python -m benchmarks.large_table --rows 1000000 100000000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import cellprep as cp
from benchmarks.computed import Computed
from cellprep.arrays import Images, Labels, Positions
from cellprep.formats import FORMATS
from cellprep.kernels.splitmix import mix
from cellprep.plan.fingerprint import Fingerprint
from cellprep.plan.profile import Measuring
from cellprep.plan.source import Shape
from cellprep.system import executors
from cellprep.system.locks import StillWriter
from cellprep.writing.manifest import contents_of, manifest_of
from cellprep.writing.shards import ShardTask

SIDE, CLASSES = 8, 8
REPEATED = 1000
"""One image in so many equals the one before it; of these, half have another label."""


def pictures(ids: Positions) -> Positions:
    """The number of the picture on each image."""
    return np.where(ids % REPEATED == REPEATED - 1, ids - 1, ids)


@dataclass(frozen=True, eq=False)
class Noise(Computed):
    """Images of 8x8 pixels; some classes are larger than others."""

    shape: Shape = (SIDE, SIDE, 3)
    class_names: tuple[str, ...] = tuple("abcdefgh")

    def labels(self, ids: Positions) -> Labels:
        labels = np.minimum(pictures(ids) % 9, CLASSES - 1).astype(np.int64)
        conflicting = ids % (2 * REPEATED) == REPEATED - 1
        labels[conflicting] = (labels[conflicting] + 1) % CLASSES
        return labels

    def images(self, at: Positions) -> Images:
        words = SIDE * SIDE * 3 // 8
        seeds = pictures(at).astype(np.uint64)[:, None] * np.uint64(words)
        pixels = mix(seeds + np.arange(words, dtype=np.uint64))
        return pixels.view(np.uint8).reshape(len(at), SIDE, SIDE, 3)


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


def measure(n: int, shards: int) -> dict[str, Any]:
    """Plan everything, and write some of the shards."""
    steps = [cp.Dedupe(), cp.Balance(), cp.RandAugment(copies=1)]
    recipe, source = cp.Recipe(steps, seed=1), Noise(n)
    warm_up()
    seconds: dict[str, float] = {}
    with timed(seconds, "plan"):
        plan = recipe(cp.Dataset(source)).plan
    with timed(seconds, "manifest"):
        fingerprint = Fingerprint.of(plan, "shards", 1024).with_source(source.identity())
        manifest = manifest_of(plan, fingerprint, {}, {})
        measuring = Measuring.of(plan)
    make_writer = FORMATS["shards"].writer
    assert make_writer is not None
    contents = contents_of(plan, fingerprint)
    spans = executors.cut(len(plan), 1024)
    chosen = [spans[k] for k in np.linspace(0, len(spans) - 2, shards).astype(int).tolist()]
    with tempfile.TemporaryDirectory() as folder, timed(seconds, "write"):
        writer = make_writer(contents)
        writer.begin(Path(folder))
        (Path(folder) / ".cellprep").mkdir()
        sent = replace(plan, changes=())
        task = ShardTask(sent, Path(folder), writer, contents, measuring, StillWriter())
        written = sum(entry["rows"] for _, entry in executors.run(task, chosen))
    of_row = (seconds["plan"] + seconds["manifest"]) / n + seconds["write"] / written * len(
        plan
    ) / n
    return {
        "rows": n,
        "made": len(plan),
        "changes": [change.why for change in plan.changes],
        "counts": manifest["counts"],
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "written": written,
        "microseconds_per_row": round(1e6 * of_row, 3),
        "plan_microseconds_per_row": round(1e6 * (seconds["plan"] + seconds["manifest"]) / n, 3),
        "megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def warm_up() -> None:
    """Compile what is used."""
    made = cp.Recipe([cp.Dedupe(), cp.Balance(), cp.RandAugment(copies=1)])(cp.Dataset(Noise(4000)))
    with tempfile.TemporaryDirectory() as folder:
        cp.write(made, Path(folder) / "out", progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 100_000_000])
    parser.add_argument("--shards", type=int, default=1600, help="shards to write")
    parser.add_argument("--here", action="store_true", help="measure in this process")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.rows[0], given.shards)))
        return
    first: dict[str, Any] = {}
    for n in given.rows:  # each in a process of its own, whose peak of memory is measured
        command = [
            sys.executable,
            "-m",
            "benchmarks.large_table",
            "--here",
            "--rows",
            str(n),
            "--shards",
            str(given.shards),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        first = first or found
        print(json.dumps(found, indent=1))
        for name in ("microseconds_per_row", "plan_microseconds_per_row"):
            print(f"{n:,} rows: {name} {found[name] / first[name]:.2f} of {first['rows']:,} rows")


if __name__ == "__main__":
    main()
