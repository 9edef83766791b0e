"""Memory, descriptors and threads after 200 runs are those after a few."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import cellmodels
import cellprep as cp
from cellprep.formats import FORMATS

from ..cellmodels.helpers import splits, tiny
from .helpers import dataset, write

RUNS, WARM = 200, 40
MOST_GROWTH = 20 << 20
"""Bytes; 160 images that were leaked in each run would be 45 MB."""


def state() -> tuple[int, int]:
    """Open descriptors, and threads."""
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grows(run: Callable[[int], None], runs: int, warm: int) -> int:
    """Bytes of memory that runs after the first few add; descriptors and threads must not grow."""
    for number in range(runs):
        run(number)
        if number == warm:
            gc.collect()
            before, memory = state(), resident()
    gc.collect()
    assert state() == before
    return resident() - memory


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
@pytest.mark.parametrize("format", list(FORMATS))
def test_writing_and_reading_leaks_nothing(format, tmp_path):
    path = tmp_path / ("out.npz" if FORMATS[format].is_file else "out")

    def run(number: int) -> None:
        made = cp.Recipe([cp.Jitter()], seed=number)(dataset(n=9))
        write(made, path, format=format, rows_per_shard=4, overwrite=True)
        assert len(cp.read(path).images[:]) == 9
        assert cp.verify(path, progress=False).empty

    assert grows(run, RUNS, WARM) < MOST_GROWTH


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_training_leaks_no_descriptors(tmp_path):
    data, model = splits(), tiny()

    def run(number: int) -> None:
        out, how = tmp_path / str(number), {"epochs": 1, "transfer_epochs": 0, "seed": number}
        cellmodels.fit(model, data["train"], data["val"], out=out, progress=False, **how)

    grows(run, RUNS, WARM)
