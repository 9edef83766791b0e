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
    "find_duplicates": "cp.find_duplicates(images)",
    "segment": "cp.segment(images)",
    "Jitter": "cp.jitter(images)",
    "RandAugment": "cp.rand_augment(images, np.zeros(8, int))",
    "write": "cp.write(cp.Dataset.from_arrays(images, [0] * 8), sys.argv[1], progress=False)",
}
FIRST = """
import sys, time
import numpy as np
import cellprep as cp
images = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), np.uint8)
began = time.perf_counter()
{call}
print(time.perf_counter() - began)
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
        cache = str(tmp_path / name)
        times = [
            float(_python(code, str(tmp_path / f"{name}-{turn}"), NUMBA_CACHE_DIR=cache))
            for turn in ("compiling", "loading")
        ]
        rows.append([name, *(f"{seconds:.2f} s" for seconds in times)])
    report.add(
        "First call of a process, 8 images",
        ["compiled now", "compiled by an earlier process"],
        rows,
    )
