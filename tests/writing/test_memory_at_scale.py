"""Memory grows by a few numbers per image, never by their pixels."""

from __future__ import annotations

import os
import re
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
from cellprep.formats import BaseSource, Block, Contents, Files, Format, Rows, WrittenShard
from cellprep.plan.source import NO_HISTORY

from .helpers import install_format

resource = pytest.importorskip("resource", reason="Windows does not report the memory of a process")

SIDE = 96
RECIPE = cp.Recipe([cp.Dedupe(), cp.Balance(), cp.RandAugment(copies=3)], seed=1)


@dataclass(frozen=True, eq=False)
class Generated(BaseSource):
    """Images computed from their row numbers: windows of one strip of noise, with duplicates.

    The last of every thousand images repeats the one before it, in every tenth thousand under
    another label. Two of three images are of class a.
    """

    n: int
    class_names: tuple[str, ...] = ("a", "b")
    shape: tuple[int, int, int] = (SIDE, SIDE, 3)
    path = None
    history = NO_HISTORY
    trusted = True
    has_masks = False

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
class DigestOnly:
    """Digests its shards and writes no file."""

    contents: Contents

    def begin(self, folder: Path) -> Files:
        return {}

    def write_shard(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenShard:
        digest, size = xxhash.xxh3_128(), 0
        for images, _ in blocks:
            data = np.ascontiguousarray(images).data.cast("B")
            digest.update(data)
            size += len(data)
        assert size == len(self.contents.shard_rows(number)) * np.prod(self.contents.shape)
        files = {f"shard-{number}": {"bytes": size, "xxh3_128": digest.hexdigest()}}
        n = len(self.contents.shard_rows(number))
        columns = {"shard": np.full(n, number, np.int32), "row": np.arange(n, dtype=np.int32)}
        return WrittenShard(files, columns)


def nothing_to_read(path: Path) -> object:
    raise cp.CellprepError("nothing was written")


def peak() -> float:
    """Peak memory of this process, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss includes the parent process
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


DIGEST_ONLY = Format(nothing_to_read, writer=DigestOnly)


def write_digests(cells: cp.Dataset) -> cp.Written:
    """Write in a format that keeps nothing; `outcome` has installed it."""
    with tempfile.TemporaryDirectory() as folder:
        return cp.write(cells, Path(folder) / "out", format="digest-only", progress=False)


def outcome(function: Callable[..., None], *arguments: object) -> dict[str, float]:
    """The numbers that a function of this file prints in another Python process, by name."""
    name = function.__name__
    code = f"import sys; from {function.__module__} import {name} as f; f(*sys.argv[1:])"
    with tempfile.TemporaryDirectory() as plugins:
        install_format(Path(plugins), "digest-only", f"{__name__}:DIGEST_ONLY")
        paths = [str(Path(__file__).parents[2]), plugins, os.environ.get("PYTHONPATH", "")]
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
    """Peak memory and speed for each size, smallest first."""
    write_digests(RECIPE(cp.Dataset(Generated(2_000))))  # compiles
    print(f"start={peak():.0f}")
    for n in map(int, sizes):
        began, busy = time.perf_counter(), time.process_time()
        rows = write_digests(RECIPE(cp.Dataset(Generated(n)))).rows
        rate = rows / (time.perf_counter() - began)
        cost = (time.process_time() - busy) / rows * 1e6  # not wall time: the cores are shared
        print(f"rows_{n}={rows} peak_{n}={peak():.0f} rate_{n}={rate:.0f} cost_{n}={cost:.1f}")


@pytest.mark.slow
def test_memory_grows_by_less_than_a_kilobyte_per_image():
    """An image has 27 kB, so neither pixels nor many Python objects can be kept for each row.

    `CELLPREP_FULL=1` runs it on a million images in about five minutes; see docs/limits.md.
    """
    full = os.environ.get("CELLPREP_FULL")
    few, many = (50_000, 1_000_000) if full else (20_000, 100_000)
    seen = outcome(run_whole_job, few, many)
    grown = seen[f"peak_{many}"] - seen[f"peak_{few}"]
    assert grown * 1_000_000 / (many - few) < 1_000  # MB for a million images, 5.3 million rows
    assert seen[f"peak_{many}"] < 1_200
    if full:
        assert seen[f"cost_{many}"] < 1.15 * seen[f"cost_{few}"]


# -- near duplicates and masks -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Blotches(Generated):
    """Images of 8x8 random patches; the last of every thousand is nearly the one before it."""

    shape: tuple[int, int, int] = (48, 48, 3)

    def identity(self) -> str:
        return f"blotches {self.n}"

    def images(self, at: Positions) -> Images:
        last = at % 1000 == 999
        seeds = at - last
        patches = [np.random.default_rng(n).integers(0, 256, (8, 8, 3), np.uint8) for n in seeds]
        images = np.stack(patches).repeat(6, axis=1).repeat(6, axis=2)
        images[last, 0, 0] ^= 1
        return images


def run_near_and_masks(n: str) -> None:
    """Peak memory of deduplicating with `near`, balancing, masking and writing shards."""
    recipe = cp.Recipe([cp.Dedupe(near=4), cp.Balance(), cp.KMeansMask()], seed=1)
    with tempfile.TemporaryDirectory() as folder:
        for images in (2_000, int(n)):
            path = Path(folder) / str(images)
            made = recipe(cp.Dataset(Blotches(images)))
            rows = cp.write(made, path, masks=True, progress=False, workers=2).rows
            print(f"rows_{images}={rows} peak_{images}={peak():.0f}")


@pytest.mark.slow
def test_near_duplicates_of_200_000_images_are_removed_within_900_mb():
    """Pixels have 1.4 GB, of which nothing is kept but a thumbnail of 2.3 KB."""
    seen = outcome(run_near_and_masks, 200_000)
    assert seen["rows_200000"] == 266_374  # with exact duplicates only, it is 266,654
    assert seen["peak_200000"] < 900


# -- large files -------------------------------------------------------------------------------


def save_large(path: Path, n: int, *, compression: int) -> None:
    """Write an npz of n images piece by piece, as np.savez does."""
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
    """Growth of peak memory over that of a small read, after each way to read the file."""
    with tempfile.TemporaryDirectory() as folder:
        save_large(Path(folder) / "small.npz", 2_000, compression=0)
        cells = cp.read(Path(folder) / "small.npz")
        write_digests(cp.Recipe([cp.Dedupe()])(cells))
    before = peak()
    cells = cp.read(path)
    print(f"opened={peak() - before:.0f}")
    for images, _ in cells.batches(256):
        images.max()
    print(f"batches={peak() - before:.0f}")
    for at in np.random.default_rng(0).permutation(len(cells)):
        cells.images[at].max()
    print(f"singles={peak() - before:.0f}")
    write_digests(cp.Recipe([cp.Dedupe()])(cells))
    print(f"written={peak() - before:.0f}")


@pytest.mark.slow
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_large_npz_is_never_loaded_into_memory(compression, tmp_path):
    """1 GB, and with `CELLPREP_FULL=1` 5 GB, read with less than 500 MB."""
    gigabytes = 5 if os.environ.get("CELLPREP_FULL") else 1
    save_large(tmp_path / "large.npz", gigabytes * 10**9 // SIDE**2 // 3, compression=compression)
    assert max(outcome(read_large, tmp_path / "large.npz").values()) < 500
