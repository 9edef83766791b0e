"""What a fresh copy costs: processor time per image of each loader, on a shuffled epoch.

    python benchmarks/fresh_cost.py train_data.npz

Processor time is added up over all threads and processes, so that other work on the machine matters
little; two idle cores read at most twice 1,000,000 / time images per second.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cellprep as cp

BATCH = 64
RECIPES = {
    "KMeansMask": [cp.Dedupe(), cp.Balance(), cp.KMeansMask(), cp.RandAugment(copies=3)],
    "Crop": [cp.Dedupe(), cp.Balance(), cp.Crop(80), cp.RandAugment(copies=3)],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=4000, help="of the data, the first")
    parser.add_argument("--epochs", type=int, default=3)
    chosen = parser.parse_args()
    cells = cp.read(chosen.data)
    cells = cp.Dataset.from_arrays(cells.images[: chosen.images], cells.labels[: chosen.images])
    for name, steps in RECIPES.items():
        made = cp.Recipe(steps, seed=0)(cells)
        print(f"{name}: {len(made):,} images per epoch; µs per image, epoch by epoch")
        for loader in (batches, to_torch, to_tf):
            _show(loader.__doc__, len(made), loader(cp.Recipe(steps, seed=0)(cells)), chosen.epochs)
        with tempfile.TemporaryDirectory() as folder:
            read = cp.read(cp.write(made, Path(folder) / "set", progress=False).path)
            _show("written before", len(made), batches(read), chosen.epochs)


def _show(name: str | None, images: int, epochs: Iterator[Any], count: int) -> None:
    costs = []
    next(epochs)  # imports and compiles
    for _ in range(count):
        before, began = _processor(), time.perf_counter()
        next(epochs)
        costs.append((_processor() - before) / images * 1e6)
        rate = images / (time.perf_counter() - began)
    print(f"  {name}: {', '.join(f'{cost:.0f}' for cost in costs)} (now {rate:,.0f} images/s)")


def _processor() -> float:
    """Seconds of processor time of this process and of its workers, also of those that live."""
    ticks = os.sysconf("SC_CLK_TCK")
    mine = os.times()
    workers = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[1]) == os.getpid():
            workers += (int(fields[11]) + int(fields[12])) / ticks
    return mine.user + mine.system + mine.children_user + mine.children_system + workers


def _drain(loaded: Any) -> int:
    return sum(len(labels) for _, labels in loaded)


def _compile(made: cp.Dataset) -> int:
    return len(made.images[::40])


def batches(made: cp.Dataset) -> Iterator[int]:
    """Dataset.batches, two threads"""
    yield _compile(made)
    for epoch in itertools.count():
        yield _drain(made.epoch(epoch).batches(BATCH, order=made.shuffled(0, epoch)))


def to_torch(made: cp.Dataset) -> Iterator[int]:
    """to_torch, two workers that persist"""
    from torch.utils.data import DataLoader

    data, order = made.to_torch(), list[int]()
    workers: Any = {"num_workers": 2, "persistent_workers": True}
    loader = DataLoader(data, BATCH, sampler=order, **workers)
    yield _compile(made)
    for epoch in itertools.count():
        data.set_epoch(epoch)
        order[:] = made.shuffled(0, epoch).tolist()
        yield _drain(loader)


def to_tf(made: cp.Dataset) -> Iterator[int]:
    """to_tf"""
    pipeline = iter(made.to_tf(BATCH, shuffle=True, epochs=1000))
    yield _compile(made)
    while True:
        yield _drain(itertools.islice(pipeline, -(-len(made) // BATCH)))


if __name__ == "__main__":
    main()
