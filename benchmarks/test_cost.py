"""The cost of cellprep as a function of the number of images, their size and the workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import cellprep as cp
from cellprep.system import executors

from .images import different
from .images import pool as pool_of_side
from .measure.job import Call, Images
from .measure.timing import turn, undoable
from .report import Report

NUMBERS = (1_000, 4_000, 16_000, 64_000)
SIDES = (64, 96, 192, 384)
WORKERS = (1, 2)


def _write(images: Images, folder: Path) -> Call:
    cells = cp.Dataset.from_arrays(images, np.arange(len(images)) % 8)
    path = folder / "set"
    return undoable(
        lambda: cp.write(cells, path, progress=False, workers=None), lambda: shutil.rmtree(path)
    )


JOBS: dict[str, Callable[[Images, Path], Call]] = {
    "find_duplicates": lambda x, _: partial(cp.find_duplicates, x),
    "segment, k=2": lambda x, _: partial(
        cp.segment, x, n_clusters=2, color_space="rgb", foreground="darkest"
    ),
    "Jitter": lambda x, _: partial(cp.jitter, x),
    "RandAugment, 1 copy": lambda x, _: partial(
        cp.rand_augment, x, np.zeros(len(x), int), copies=1, keep_originals=False
    ),
    "write": _write,
}


def _seconds(name: str, images: Images, folder: Path) -> float:
    call = JOBS[name](images, folder)
    if len(images) <= NUMBERS[1]:
        turn(call)  # compiled and warm
    return min(turn(call) for _ in range(3 if len(images) <= NUMBERS[1] else 1))


def _workers(number: int) -> Any:
    """Let functions on arrays, which use all cores, see this number of cores."""
    return mock.patch.object(executors, "usable_cores", return_value=number)


def _slope(sizes: list[int], seconds: list[float]) -> float:
    """The exponent with which the time grows with the size; 1 is linear."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def test_number(report: Report, pool: Images, tmp_path: Path) -> None:
    numbers = [n * min(report.images, 13_759) // 13_759 for n in NUMBERS]
    images = different(numbers[-1], pool)
    rows = []
    for name in JOBS:
        times = [_seconds(name, images[:n], tmp_path) for n in numbers]
        rows.append([name, *(f"{s:.3f} s" for s in times), f"{_slope(numbers, times):.2f}"])
    report.add("Time by number of images", [f"{n:,}" for n in numbers], rows)


def test_side(report: Report, cache: Path, tmp_path: Path) -> None:
    """The number of pixels is the same for every side, so only the cost of a pixel changes."""
    pixels = min(report.images, 8192) * 64 * 64
    rows: dict[str, list[float]] = {name: [] for name in JOBS}
    for side in SIDES:
        images = different(pixels // side**2, pool_of_side(cache, side, most=256))
        for name in JOBS:
            rows[name].append(_seconds(name, images, tmp_path) / len(images))
    report.add(
        "Time per image by its side (slope 2: proportional to pixels)",
        [f"{side}x{side}" for side in SIDES],
        [
            [name, *(f"{s * 1e6:,.1f} µs" for s in times), f"{_slope(list(SIDES), times):.2f}"]
            for name, times in rows.items()
        ],
    )


def test_workers(report: Report, pool: Images, tmp_path: Path) -> None:
    images = different(min(report.images, 4096), pool)
    rows: list[list[Any]] = []
    for name in JOBS:
        if name == "write":
            continue  # it has an argument for its workers, and waits for the disk
        turns: dict[int, list[float]] = {workers: [] for workers in WORKERS}
        call = JOBS[name](images, tmp_path)
        for _ in range(4):
            for workers in WORKERS:
                with _workers(workers):
                    turns[workers].append(turn(call))
        times = [min(each[1:]) for each in turns.values()]
        rows.append(
            [name, *(f"{len(images) / s:,.0f}/s" for s in times), f"{times[0] / times[1]:.2f}x"]
        )
    report.add(
        "Images per second by number of workers", [str(n) for n in WORKERS], rows, "speed-up"
    )


@pytest.mark.parametrize("name", JOBS)
def test_results_do_not_depend_on_the_workers(name: str, pool: Images, tmp_path: Path) -> None:
    images = different(600, pool)
    made = []
    for workers in WORKERS:
        with _workers(workers):
            if name == "write":
                cells = cp.Dataset.from_arrays(images, np.arange(600) % 8)
                cp.write(cells, tmp_path / str(workers), workers=workers, progress=False)
                made.append(cp.read(tmp_path / str(workers)).images[:])
            else:
                made.append(JOBS[name](images, tmp_path)())
    first, second = (each[0] if isinstance(each, tuple) else each for each in made)
    assert np.array_equal(np.asarray(first), np.asarray(second))
