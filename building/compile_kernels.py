"""Compile cellprep's kernels ahead of time, for a wheel: python building/compile_kernels.py FOLDER

FOLDER becomes `cellprep/kernels/compiled` in the wheel: see `cellprep.kernels.ahead`. Kernels are
compiled by calling them, so only for processors whose code can run here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def compile_kernels(folder: Path) -> list[str]:
    """Compile for every processor whose code can run here, each in its own process.

    Returns their names.
    """
    from cellprep.kernels import ahead

    found = [one for one in ahead.PROCESSORS if one.runs_here()]
    for one in found:
        with tempfile.TemporaryDirectory() as empty:
            subprocess.run(
                [sys.executable, __file__, str(folder / one.name), empty],
                env={**os.environ, **one.environment(), "NUMBA_CACHE_DIR": f"{empty}/cache"},
                check=True,
            )
    return [one.name for one in found]


def call_everything(out: Path) -> None:
    """Call everything that has kernels, with images in memory and with those of a written set."""
    import cellprep as cp
    from cellprep.cli.demo import run_demo
    from cellprep.report.inspect import inspect
    from cellprep.synthetic import draw_messy_set

    images, labels = draw_messy_set(400, seed=0)
    data = cp.Dataset.from_arrays(images, labels)
    written = cp.write(data, out / "set", progress=False).path
    steps = [
        cp.Balance(),
        cp.Crop(size=72),
        cp.Crop(size=72, resize_to=96),
        cp.Crop(size=72, resize_to=48),
        cp.Jitter(),
        cp.RandAugment(),
        cp.RandAugment(operations="wide", copies=8),
        cp.StainJitter(),
        cp.MatchColors(),
        *(cp.Corrupt(suite=suite, copies=8) for suite in ("microscopy", "heavy")),
        *(cp.KMeansMask(target=target) for target in ("cell", "nucleus")),
        *(cp.Dedupe(near=2, symmetries=turned) for turned in (False, True)),
    ]
    for cells in (data, cp.read(written)):
        for step in steps:
            cp.Recipe([step])(cells).to_arrays()
        for turned in (False, True):
            cp.find_duplicates(cells, near=2, symmetries=turned)
        cp.profile(cells)
        cp.Recipe([cp.Adapt(cp.profile(cells))])(cells).to_arrays()
    inspect(written)
    run_demo(out / "demo", images=400, log=lambda line: None)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print("compiled for", ", ".join(compile_kernels(Path(sys.argv[1]))))
    else:
        from cellprep.kernels.compiling import keep

        keep(Path(sys.argv[1]))
        call_everything(Path(sys.argv[2]))
