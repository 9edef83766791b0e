"""What a new process takes: the import, and the first call with and without compiled code."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from .report import Report

CALLS = {
    "segment": "cp.segment(images)",
    "segment, nucleus": "cp.segment(images, target='nucleus')",
    "RandAugment, ten operations": "cp.rand_augment(images, labels)",
    "RandAugment, wide": "cp.rand_augment(many, np.zeros(256, int), operations='wide')",
    "Jitter": "cp.jitter(images)",
    "StainJitter": "cp.stain_jitter(images)",
    "MatchColors": "cp.match_colors(images)",
    "Corrupt, microscopy": "cp.corrupt(many, suite='microscopy')",
    "Corrupt, heavy": "cp.corrupt(many, suite='heavy')",
    "find_duplicates": "cp.find_duplicates(images)",
    "find_duplicates, near": "cp.find_duplicates(images, near=2)",
    "find_duplicates, near, symmetries": "cp.find_duplicates(images, near=2, symmetries=True)",
    "inspect": "from cellprep.report.inspect import inspect; inspect(sys.argv[1] + '.npz')",
    "report": "cp.report(data, sys.argv[1] + '.html')",
    "write": "cp.write(data, sys.argv[1], progress=False)",
}
"""Every function that has kernels of its own, and some that have none."""
_COLUMNS = ["compiled now", "processor", "compiled by an earlier process", "processor"]
FIRST = """
import sys, time
import numpy as np
import cellprep as cp
images = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), np.uint8)
many = np.repeat(images, 32, axis=0)  # every operation is sampled
labels = np.arange(8) % 2
data = cp.Dataset.from_arrays(images, labels)
np.savez(sys.argv[1] + ".npz", images=images, labels=labels)
began, used = time.perf_counter(), time.process_time()
{call}
print(time.perf_counter() - began, time.process_time() - used)
"""


def _python(code: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _seconds(code: str) -> float:
    began = time.perf_counter()
    _python(code)
    return time.perf_counter() - began


def test_import(report: Report) -> None:
    codes = {"python": "pass", "numpy": "import numpy", "cellprep": "import cellprep"}
    turns = [{name: _seconds(code) for name, code in codes.items()} for _ in range(6)][1:]
    times = {name: median(turn[name] for turn in turns) for name in codes}
    report.add(
        "Import, median of 5 processes",
        ["a bare Python", "`import numpy`", "`import cellprep`", "cellprep minus NumPy"],
        [
            [
                "seconds",
                *(f"{seconds:.3f}" for seconds in times.values()),
                f"{times['cellprep'] - times['numpy']:.3f}",
            ]
        ],
    )


def test_first_call(report: Report, tmp_path: Path) -> None:
    """Code is compiled once per machine, and loaded once per process."""
    rows = []
    for name, call in CALLS.items():
        code = FIRST.format(call=call)
        folder = tmp_path / name.replace(" ", "-")
        row = [name]
        for turn in ("compiling", "loading"):
            printed = _python(code, f"{folder}-{turn}", NUMBA_CACHE_DIR=str(folder))
            row += [f"{float(seconds):.2f} s" for seconds in printed.split()]
        rows.append(row)
    report.add(
        "First call of a process, 8 images; 256 where an operation is sampled", _COLUMNS, rows
    )


def test_demo(report: Report, tmp_path: Path) -> None:
    """`cellprep demo` with and without compiled code; the difference is what compiling takes."""
    row = ["cellprep demo --images 400"]
    for turn in ("compiling", "loading"):
        code = "from cellprep.cli import main; main()"
        arguments = ["demo", "--images", "400", "--out", str(tmp_path / turn)]
        began, used = time.perf_counter(), _used_by_children()
        _python(code, *arguments, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
        row += [f"{time.perf_counter() - began:.2f} s", f"{_used_by_children() - used:.2f} s"]
    report.add("The demo", _COLUMNS, [row])


def _used_by_children() -> float:
    """Processor seconds of ended child processes."""
    times = os.times()
    return times.children_user + times.children_system
