"""What a new process takes: the import, and the first call with and without compiled code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from .report import Report

_ROOT = Path(__file__).parents[1]
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
_COLUMNS = [
    *("compiled now", "processor"),
    *("compiled by an earlier process", "processor"),
    *("a wheel with compiled kernels, no cache", "processor"),
]
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from, with what `CELLPREP_COMPILE=1` puts in a wheel."""
    site = tmp_path_factory.mktemp("wheel")
    for package in ("cellprep", "cellmodels"):
        skip = shutil.ignore_patterns("__pycache__", "compiled")
        shutil.copytree(_ROOT / "src" / package, site / package, ignore=skip)
    command = [
        sys.executable,
        _ROOT / "building" / "compile_kernels.py",
        site / "cellprep" / "kernels" / "compiled",
    ]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(site)}, check=True)
    return site


def _turns(folder: Path, wheel: Path) -> list[dict[str, str]]:
    """The environments of the three turns."""
    cache = str(folder / "cache")
    from_wheel = {"PYTHONPATH": str(wheel), "NUMBA_CACHE_DIR": str(folder / "none")}
    return [{"NUMBA_CACHE_DIR": cache}, {"NUMBA_CACHE_DIR": cache}, from_wheel]


def test_first_call(report: Report, tmp_path: Path, wheel: Path) -> None:
    """Code is compiled once per machine, and loaded once per process."""
    rows = []
    for name, call in CALLS.items():
        code = FIRST.format(call=call)
        folder = tmp_path / name.replace(" ", "-")
        row = [name]
        for number, environment in enumerate(_turns(folder, wheel)):
            printed = _python(code, f"{folder}-{number}", **environment)
            row += [f"{float(seconds):.2f} s" for seconds in printed.split()]
        rows.append(row)
    report.add("The first second", _COLUMNS, rows)


def test_demo(report: Report, tmp_path: Path, wheel: Path) -> None:
    """`cellprep demo` with and without compiled code; the difference is what compiling takes."""
    row = ["cellprep demo --images 400"]
    for number, environment in enumerate(_turns(tmp_path, wheel)):
        code = "from cellprep.cli import main; main()"
        arguments = ["demo", "--images", "400", "--out", str(tmp_path / str(number))]
        began, used = time.perf_counter(), _used_by_children()
        _python(code, *arguments, **environment)
        row += [f"{time.perf_counter() - began:.2f} s", f"{_used_by_children() - used:.2f} s"]
    report.add("The demo", _COLUMNS, [row])


def _used_by_children() -> float:
    """Processor seconds of ended child processes."""
    times = os.times()
    return times.children_user + times.children_system
