"""The overhead of Ray compared with two local processes: `python benchmarks/ray_overhead.py`."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import click
import numpy as np

import cellprep as cp
from cellprep.synthetic import draw_cells
from cellprep.system import executors

RECIPE = cp.Recipe([cp.Dedupe(), cp.Balance(), cp.KMeansMask(), cp.RandAugment(copies=3)], seed=0)


def source(path: Path, n: int) -> None:
    """Write n synthetic cells of 96x96 that all differ in their noise."""
    images, labels = draw_cells([128] * 8, seed=0)
    rows = np.arange(n) % len(images)
    noise = np.random.default_rng(0).integers(0, 4, (n, 96, 96, 1), np.uint8)
    cp.write(cp.Dataset.from_arrays(images[rows] // 2 + noise, labels[rows]), path, progress=False)


@click.command()
@click.option("--images", type=int, default=40_000, show_default=True)
@click.option("--rounds", type=int, default=3, show_default=True)
@click.option("--workers", type=int, default=2, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Working folder.")
def main(images: int, rounds: int, workers: int, folder: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        source(work / "cells", images)
        took: dict[str, list[float]] = {"processes": [], "ray": [], "start": []}

        def job(executor: str) -> float:
            with executors.using(executor, workers):
                began = time.monotonic()
                made = RECIPE(cp.read(work / "cells"))
                most = (
                    None if executor == "ray" else workers
                )  # Ray uses the workers that it was started with
                cp.write(made, work / "out", executor=executor, workers=most, progress=False)
                return time.monotonic() - began

        for number in range(rounds + 1):  # the first round warms up and is not counted
            for executor in ("processes", "ray"):
                began = time.monotonic()
                seconds = job(executor)
                whole = time.monotonic() - began
                shutil.rmtree(work / "out")
                if number:
                    took[executor].append(seconds)
                if number and executor == "ray":
                    took["start"].append(whole - seconds)
                line = f"{seconds:.1f} s, start and end {whole - seconds:.1f} s"
                print(number, executor, line, flush=True)
    middle = {name: float(np.median(values)) for name, values in took.items()}
    print(
        f"processes {middle['processes']:.1f} s, ray {middle['ray']:.1f} s: "
        f"{middle['ray'] / middle['processes'] - 1:+.0%}; Ray's start and end {middle['start']:.1f}"
        f" s, with them {(middle['ray'] + middle['start']) / middle['processes'] - 1:+.0%}"
    )


if __name__ == "__main__":
    main()
