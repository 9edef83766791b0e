"""Data sets that the tests of writing share, and ways to write and compare them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cellprep as cp
from cellprep.plan.source import ArraySource
from cellprep.synthetic import CLASS_NAMES, draw_cells
from cellprep.system import paths

FORMATS = ("shards", "folder", "npz")
MOVE = cp.Recipe([cp.Jitter()], seed=1)
RECIPES = {
    "none": cp.Recipe([]),
    "clean": cp.Recipe([cp.Dedupe(), cp.Balance()], seed=3),
    "mask": cp.Recipe([cp.Crop(16, resize_to=20), cp.KMeansMask(background=9)]),
    "all": cp.Recipe(
        [cp.Dedupe(), cp.Balance(), cp.Crop(20), cp.KMeansMask(), cp.RandAugment(copies=2)], seed=5
    ),
    "twice": cp.Recipe(
        [
            cp.RandAugment(copies=2, keep_originals=False),
            cp.Jitter(fill=7),
            cp.Balance(target=9, jitter=None),
            cp.RandAugment(copies=1, num_ops=1),
            cp.Jitter(rotation=5),
        ],
        seed=2**40,
    ),
}


@cache
def cells_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """35 synthetic cells of 8 classes, (35, 24, 24, 3); one occurs twice, one under two labels."""
    images, labels = draw_cells([6, 4, 3, 5, 3, 4, 7, 3], side=24, seed=4)
    images[1] = images[0]
    images[20] = images[8]
    return images, labels


def dataset(order: Any = slice(None), *, n: int = 35, **changed: Any) -> cp.Dataset:
    """The first n cells, in any order; each keeps its id."""
    images, labels = cells_and_labels()
    ids = np.array([f"{CLASS_NAMES[label]}/{n:02}.png" for n, label in enumerate(labels)])
    given = {"class_names": CLASS_NAMES, "ids": ids[:n][order], **changed}
    return cp.Dataset.from_arrays(images[:n][order], labels[:n][order], **given)


def write(made: cp.Dataset, path: Path, **options: Any) -> cp.Written:
    return cp.write(made, path, **{"progress": False, "workers": 2, **options})


def tree(path: Path) -> dict[str, bytes]:
    """Name and bytes of every file below a path, hidden ones included."""
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def below(url: str) -> dict[str, bytes]:
    """Every file below a URL, including hidden ones; a single file has the name '.'."""
    path = paths.as_path(url)
    if path.is_file():
        return {".": paths.read_bytes(path)}
    return {name: paths.read_bytes(path / name) for name in paths.list_url(path)}


def times(path: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in (path, *path.rglob("*"))}


def by_row(path: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """The images and the index of written shards sorted by (id, copy)."""
    images = np.concatenate([np.load(file) for file in sorted(path.glob("shard-*.npy"))])
    index = pd.read_parquet(path / "index.parquet")
    order = np.lexsort((index["copy"], index["id"]))
    return images[order], index.drop(columns=["shard", "row"]).iloc[order].reset_index(drop=True)


def assert_same(path: Path, other: Path) -> None:
    (images, index), (expected, record) = by_row(path), by_row(other)
    np.testing.assert_array_equal(images, expected)
    pd.testing.assert_frame_equal(index, record, check_categorical=False)


def assert_equal_sets(a: cp.Dataset, b: cp.Dataset) -> None:
    np.testing.assert_array_equal(a.to_arrays()[0], b.to_arrays()[0])
    for column in ("labels", "ids", "copies"):
        left, right = getattr(a, column), getattr(b, column)
        assert left.dtype.kind == right.dtype.kind
        np.testing.assert_array_equal(left, right)
    assert a.class_names == b.class_names
    groups, others = a.plan.rows.groups, b.plan.rows.groups
    assert (groups is None) == (others is None)
    if groups is not None and others is not None:
        np.testing.assert_array_equal(groups, others)


@dataclass(frozen=True, eq=False)
class Breaking(ArraySource):
    """The same images, but reading fails after some calls."""

    error: BaseException = field(default_factory=KeyboardInterrupt)
    after: int = 3
    calls: Iterator[int] = field(default_factory=itertools.count)

    def images(self, at: np.ndarray) -> np.ndarray:
        if next(self.calls) >= self.after:
            raise self.error
        return super().images(at)


def breaking(made: cp.Dataset, error: BaseException, after: int = 3) -> cp.Dataset:
    source = made.source
    assert isinstance(source, ArraySource)
    return cp.Dataset(
        Breaking(source.array, source.rows, source.class_names, error=error, after=after)
    )


def unfinished(path: Path, recipe: cp.Recipe = MOVE, **options: Any) -> None:
    """Write a recipe's output, interrupted after three of its seven shards."""
    with pytest.raises(KeyboardInterrupt):
        write(
            recipe(breaking(dataset(), KeyboardInterrupt())),
            path,
            **{"rows_per_shard": 5, "workers": 1, **options},
        )


def other_pixels(row: int = 30) -> cp.Dataset:
    """The data set with one changed pixel."""
    images = cells_and_labels()[0].copy()
    images[row, 0, 0, 0] ^= 1
    same = dataset()
    return cp.Dataset.from_arrays(images, same.labels, same.class_names, same.ids)


def start(function: Callable[..., None], *arguments: object) -> subprocess.Popen[str]:
    """Call a function of a test file in another Python process."""
    module, name = function.__module__, function.__name__
    code = f"import sys; from {module} import {name} as f; f(*sys.argv[1:])"
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


TIMEOUT = 600
"""Seconds after which a test fails; much longer than it takes on the slowest machine."""


def outcome(function: Callable[..., None], *arguments: object) -> str:
    """What the function printed; fails if it fails or hangs."""
    process = start(function, *arguments)
    try:
        printed, _ = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == 0, printed
    return printed.strip()


def install_format(folder: Path, name: str, value: str) -> None:
    """Make a folder an installed package with one entry point of the group `cellprep.formats`."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cellprep.formats]\n{name} = {value}\n")
