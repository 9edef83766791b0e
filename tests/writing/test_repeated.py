"""Two hundred runs in one process leave neither memory, descriptors nor threads behind."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import cellprep as cp

from .helpers import dataset, outcome, write
from .test_kills import NAMES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc"),
]
RUNS, WARM = 200, 50
MOST = 10.0
"""MB by which a process may grow after it is warm: its allocator keeps a little."""
FEW = 5
"""Descriptors and threads that may be open at the end: a thread may just be ending."""


def used() -> tuple[float, int, int]:
    """MB of memory, open descriptors and threads of this process."""
    kilobytes = re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]
    return (
        int(kilobytes) / 1024,
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
    )


def print_growth(one_run: Callable[[Path], object]) -> None:
    for number in range(RUNS):
        if number == WARM:
            before = used()
        with tempfile.TemporaryDirectory() as folder:
            one_run(Path(folder))
    print("grown by", *(f"{now - then:.1f}" for now, then in zip(used(), before, strict=True)))


def print_growth_of_writes(format: str) -> None:
    recipe = cp.Recipe([cp.KMeansMask(), cp.RandAugment(copies=1)], seed=5)
    made = recipe(dataset(n=24))

    def one_run(folder: Path) -> None:
        write(made, folder / "out", format=format, rows_per_shard=12, masks=True)
        found = cp.read(folder / "out", format=format)
        assert len(found.to_arrays()[0]) == len(found.masks[:]) == 48
        assert cp.verify(folder / "out", progress=False).empty

    print_growth(one_run)


def assert_nothing_is_left(printed: str) -> None:
    print(printed)
    memory, descriptors, threads = map(float, printed.split("grown by ")[1].split())
    assert memory < MOST, printed
    assert max(descriptors, threads) < FEW, printed


@pytest.mark.parametrize("format", NAMES)
def test_two_hundred_writes_leave_nothing_behind(format: str) -> None:
    assert_nothing_is_left(outcome(print_growth_of_writes, format))
