"""Two hundred trainings in one process leave nothing of ours behind."""

from __future__ import annotations

import gc
import tempfile
import weakref
from pathlib import Path

import pytest

import cellmodels as cm
import cellprep as cp
from cellprep.synthetic import draw_cells

from ...writing.helpers import start
from ...writing.test_repeated import RUNS, WARM, used

pytest.importorskip("keras")

KEPT_BY_TENSORFLOW = 12.0
"""MB for each training: the graphs of its optimizer's conditions, as after Keras's own `fit`."""


def print_growth_of_trainings() -> None:
    images, labels = draw_cells([3] * 8, side=24, seed=2)
    made: list[weakref.ref[object]] = []
    for number in range(RUNS):
        if number == WARM:
            gc.collect()
            before = used()
        cells = cp.Dataset.from_arrays(images.copy(), labels)
        model = cm.build("baseline_cnn", 8, (24, 24, 3), seed=1)
        with tempfile.TemporaryDirectory() as folder:
            cm.fit(model, cells, epochs=1, out=Path(folder) / "out", progress=False)
        made += [weakref.ref(model), weakref.ref(cells.source.array)]
        del model, cells
    gc.collect()
    memory, descriptors, threads = (now - then for now, then in zip(used(), before, strict=True))
    alive = sum(reference() is not None for reference in made)
    print(f"grown by {memory / (RUNS - WARM):.1f} {descriptors} {threads} {alive}")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")
def test_two_hundred_trainings_leave_nothing_behind() -> None:
    process = start(print_growth_of_trainings)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    print(printed)
    memory, descriptors, threads, alive = map(float, printed.split("grown by ")[1].split())
    assert memory < KEPT_BY_TENSORFLOW
    assert descriptors == alive == 0
    assert threads < 20  # TensorFlow's pools come and go
