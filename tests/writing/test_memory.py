"""Writing and reading need little memory and few open files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import cellprep as cp
from cellprep.plan.rows import Rows
from cellprep.plan.source import NO_HISTORY, BaseSource

from .helpers import (
    outcome,
    write,
)

resource = pytest.importorskip("resource", reason="Windows does not report the memory of a process")


@dataclass(frozen=True)
class Computed(BaseSource):
    """Images computed when they are read."""

    n: int
    class_names: tuple[str, ...] = ("a", "b")
    shape: tuple[int, int, int] = (64, 64, 3)
    path = None
    history = NO_HISTORY
    trusted = True
    has_masks = False

    @property
    def rows(self) -> Rows:
        return Rows.of(np.arange(self.n), np.arange(self.n) % 2)

    def identity(self) -> str:
        return f"endless {self.n}"

    def images(self, at: np.ndarray) -> np.ndarray:
        grey = (at % 251).astype(np.uint8)
        return np.tile(grey[:, None, None, None], (1, *self.shape))


def peak() -> float:
    """Peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_growth(format: str) -> None:
    recipe = cp.Recipe([cp.Balance(target="max"), cp.RandAugment(copies=1, num_ops=1)])
    with tempfile.TemporaryDirectory() as folder:
        write(recipe(cp.Dataset(Computed(100))), Path(folder) / "small", format=format)
        before = peak()
        write(recipe(cp.Dataset(Computed(10_000))), Path(folder) / "large", format=format)
        assert cp.read(Path(folder) / "large", format=format).shape == (20_000, 64, 64, 3)
    print(peak() - before)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["shards", "npz"])
def test_writing_245_mb_needs_less_than_120_mb(format):
    assert float(outcome(print_growth, format)) < 120


def print_growth_of_reading(path: str) -> None:
    before = peak()
    cells = cp.read(path)
    assert cells.images[[5, 5_000, len(cells) - 1]].shape == (3, 96, 96, 3)
    print(peak() - before)


def test_a_large_npz_is_memory_mapped():
    with tempfile.TemporaryDirectory() as folder:
        path, n = Path(folder) / "large.npz", 11_000
        zeros = np.broadcast_to(np.uint8(0), (n, 96, 96, 3))
        np.savez(path, images=zeros, labels=np.arange(n) % 2)
        assert path.stat().st_size > 300e6
        assert float(outcome(print_growth_of_reading, path)) < 50


def test_a_data_set_may_have_more_shards_than_file_descriptors(tmp_path):
    """In another process, since other tests keep descriptors open."""
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), np.uint8)
    write(cp.Dataset.from_arrays(images, np.arange(300) % 2), tmp_path / "out", rows_per_shard=1)
    np.save(tmp_path / "images.npy", images)
    code = """
import resource, sys, numpy, cellprep
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
read = cellprep.read(sys.argv[1] + "/out").to_arrays()[0]
assert numpy.array_equal(read, numpy.load(sys.argv[1] + "/images.npy"))
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, timeout=120)
