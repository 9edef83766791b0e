"""What ours costs against the number of images, their side, and the workers."""

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
import harness
import pictures
from cellprep.system import executors
from report import Report

NUMBERS = (1_000, 4_000, 16_000, 64_000)
SIDES = (64, 96, 192, 384)
WORKERS = (1, 2)


def _write(images: pictures.Images, folder: Path) -> harness.Call:
    cells = cp.Dataset.from_arrays(images, np.arange(len(images)) % 8)
    place = folder / "set"
    return harness.undone(
        lambda: cp.write(cells, place, progress=False, workers=None), lambda: shutil.rmtree(place)
    )


JOBS: dict[str, Callable[[pictures.Images, Path], harness.Call]] = {
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


def _seconds(name: str, images: pictures.Images, folder: Path) -> float:
    call = JOBS[name](images, folder)
    if len(images) <= NUMBERS[1]:
        harness.turn(call)  # compiled and warm
    return min(harness.turn(call) for _ in range(3 if len(images) <= NUMBERS[1] else 1))


def _workers(number: int) -> Any:
    """Functions on arrays take all cores: here there are so many."""
    return mock.patch.object(executors, "usable_cores", return_value=number)


def _slope(at: list[int], seconds: list[float]) -> float:
    """The power of `at` that the seconds grow with: 1 is linear."""
    return float(np.polyfit(np.log(at), np.log(seconds), 1)[0])


def test_number(report: Report, pool: pictures.Images, tmp_path: Path) -> None:
    numbers = [n * min(report.images, 13_759) // 13_759 for n in NUMBERS]
    images = pictures.different(numbers[-1], pool)
    rows = []
    for name in JOBS:
        taken = [_seconds(name, images[:n], tmp_path) for n in numbers]
        rows.append([name, *(f"{s:.3f} s" for s in taken), f"{_slope(numbers, taken):.2f}"])
    report.add("Cost against the number of images", [f"{n:,}" for n in numbers], rows)


def test_side(report: Report, cache: Path, tmp_path: Path) -> None:
    """The same number of pixels at every side, so that what grows is the cost of a pixel."""
    pixels = min(report.images, 8192) * 64 * 64
    rows: dict[str, list[float]] = {name: [] for name in JOBS}
    for side in SIDES:
        images = pictures.different(pixels // side**2, pictures.pool(cache, side, most=256))
        for name in JOBS:
            rows[name].append(_seconds(name, images, tmp_path) / len(images))
    report.add(
        "Cost of an image against its side (slope 2: as its pixels)",
        [f"{side}x{side}" for side in SIDES],
        [
            [name, *(f"{s * 1e6:,.1f} µs" for s in taken), f"{_slope(list(SIDES), taken):.2f}"]
            for name, taken in rows.items()
        ],
    )


def test_workers(report: Report, pool: pictures.Images, tmp_path: Path) -> None:
    images = pictures.different(min(report.images, 4096), pool)
    rows: list[list[Any]] = []
    for name in JOBS:
        if name == "write":
            continue  # it takes its workers as an argument, and waits for the disk
        turns: dict[int, list[float]] = {workers: [] for workers in WORKERS}
        call = JOBS[name](images, tmp_path)
        for _ in range(4):
            for workers in WORKERS:
                with _workers(workers):
                    turns[workers].append(harness.turn(call))
        taken = [min(each[1:]) for each in turns.values()]
        rows.append(
            [name, *(f"{len(images) / s:,.0f}/s" for s in taken), f"{taken[0] / taken[1]:.2f}x"]
        )
    report.add("Images a second against workers", [str(n) for n in WORKERS], rows, "speed-up")


@pytest.mark.parametrize("name", JOBS)
def test_same_whatever_the_workers(name: str, pool: pictures.Images, tmp_path: Path) -> None:
    """What the figures above may not cost."""
    images = pictures.different(600, pool)
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
