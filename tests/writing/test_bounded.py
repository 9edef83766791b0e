"""Memory that hangs on the number of images by a few numbers each, never on their pixels."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import xxhash

import cellprep as cp
from cellprep.arrays import Images, Positions
from cellprep.formats import FORMATS
from cellprep.formats.format import Block, Contents, Files, Format, WrittenPart
from cellprep.plan.rows import Rows
from cellprep.plan.source import NO_HISTORY

SIDE = 96
RECIPE = cp.Recipe([cp.Dedupe(), cp.Balance(), cp.RandAugment(copies=3)], seed=1)


@dataclass(frozen=True, eq=False)
class Generated:
    """Images made of their row numbers: windows of one strip of noise, a few of them repeated.

    Of every thousand images the last repeats the one before it, of every tenth thousand under
    another label. Of three images two are of class a.
    """

    n: int
    class_names: tuple[str, ...] = ("a", "b")
    shape: tuple[int, int, int] = (SIDE, SIDE, 3)
    path = None
    past = NO_HISTORY
    trusted = True
    drawn = False

    @cached_property
    def rows(self) -> Rows:
        at = np.arange(self.n)
        labels = (at % 3 == 2).astype(np.int64)
        labels[999::1000] = labels[998::1000]
        labels[9_999::10_000] ^= 1
        return Rows.of(at, labels)

    @cached_property
    def _windows(self) -> np.ndarray:
        size = int(np.prod(self.shape))
        strip = np.random.default_rng(0).integers(0, 256, self.n + size, np.uint8)
        return np.lib.stride_tricks.sliding_window_view(strip, size)

    def identity(self) -> str:
        return f"generated {self.n}"

    def images(self, at: Positions) -> Images:
        return self._windows[at - (at % 1000 == 999)].reshape(-1, *self.shape)

    def __getstate__(self) -> dict[str, object]:
        return {"n": self.n}


@dataclass(frozen=True, eq=False)
class Dropping:
    """Digests its parts and keeps nothing of them."""

    contents: Contents

    def begin(self, folder: Path) -> Files:
        return {}

    def write_part(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenPart:
        digest, size = xxhash.xxh3_128(), 0
        for images, _ in blocks:
            data = np.ascontiguousarray(images).data.cast("B")
            digest.update(data)
            size += len(data)
        assert size == len(self.contents.part(number)) * np.prod(self.contents.shape)
        files = {f"part-{number}": {"bytes": size, "xxh3_128": digest.hexdigest()}}
        n = len(self.contents.part(number))
        columns = {"shard": np.full(n, number, np.int32), "row": np.arange(n, dtype=np.int32)}
        return WrittenPart(files, columns)


def nothing_to_read(path: Path) -> object:
    raise cp.CellprepError("nothing was kept")


def peak() -> float:
    """Most memory that this Python held so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss goes on from that of the process that started this one
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_dropped(cells: cp.Dataset) -> cp.Written:
    FORMATS["dropped"] = Format(nothing_to_read, writer=Dropping)
    with tempfile.TemporaryDirectory() as folder:
        return cp.write(cells, Path(folder) / "out", format="dropped", progress=False)


def outcome(function: Callable[..., None], *arguments: object) -> dict[str, float]:
    """The numbers that a function of this file prints in a Python of its own, by name."""
    code = f"from test_bounded import {function.__name__} as f; import sys; f(*sys.argv[1:])"
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", done.stdout)}


# -- the whole job -----------------------------------------------------------------------------


def run_whole_job(*sizes: str) -> None:
    """Peak memory and speed of each size in turn, the smallest first."""
    write_dropped(RECIPE(cp.Dataset(Generated(2_000))))  # compiles
    print(f"start={peak():.0f}")
    for n in map(int, sizes):
        began, busy = time.perf_counter(), time.process_time()
        rows = write_dropped(RECIPE(cp.Dataset(Generated(n)))).rows
        rate = rows / (time.perf_counter() - began)
        cost = (time.process_time() - busy) / rows * 1e6  # others may use the processors too
        print(f"rows_{n}={rows} peak_{n}={peak():.0f} rate_{n}={rate:.0f} cost_{n}={cost:.1f}")


@pytest.mark.slow
def test_memory_hangs_on_the_rows_by_a_few_numbers_each():
    """27 kB an image: what grows with the rows must not be pixels, and few Python objects.

    `CELLPREP_FULL=1` takes a million images, some five minutes; docs/limits.md has its figures.
    """
    full = os.environ.get("CELLPREP_FULL")
    few, many = (50_000, 1_000_000) if full else (20_000, 100_000)
    seen = outcome(run_whole_job, few, many)
    grown = seen[f"peak_{many}"] - seen[f"peak_{few}"]
    assert grown * 1_000_000 / (many - few) < 1_000  # MB for a million images, 5.3 million rows
    assert seen[f"peak_{many}"] < 1_200
    if full:
        assert seen[f"cost_{many}"] < 1.15 * seen[f"cost_{few}"]


# -- large files -------------------------------------------------------------------------------


def save_large(path: Path, n: int, *, compression: int) -> None:
    """An npz of n images, written piece by piece as np.savez does."""
    source = Generated(n)
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (n, *source.shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, n, 1000):
                images = source.images(np.arange(start, min(start + 1000, n)))
                if compression:
                    images &= 3  # as compressible as a photograph
                file.write(images.data.cast("B"))
        with archive.open("labels.npy", "w") as file:
            np.lib.format.write_array(file, source.rows.labels)


def read_large(path: str) -> None:
    """Peak memory over that of a small read, after each way through the file."""
    with tempfile.TemporaryDirectory() as folder:
        save_large(Path(folder) / "small.npz", 2_000, compression=0)
        cells = cp.read(Path(folder) / "small.npz")
        write_dropped(cp.Recipe([cp.Dedupe()])(cells))
    before = peak()
    cells = cp.read(path)
    print(f"opened={peak() - before:.0f}")
    for images, _ in cells.batches(256):
        images.max()
    print(f"batches={peak() - before:.0f}")
    for at in np.random.default_rng(0).permutation(len(cells)):
        cells.images[at].max()
    print(f"singles={peak() - before:.0f}")
    write_dropped(cp.Recipe([cp.Dedupe()])(cells))
    print(f"written={peak() - before:.0f}")


@pytest.mark.slow
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_large_npz_is_never_held(compression, tmp_path):
    """1 GB, and with `CELLPREP_FULL=1` 5 GB: more than may be held."""
    gigabytes = 5 if os.environ.get("CELLPREP_FULL") else 1
    save_large(tmp_path / "large.npz", gigabytes * 10**9 // SIDE**2 // 3, compression=compression)
    assert max(outcome(read_large, tmp_path / "large.npz").values()) < 500
