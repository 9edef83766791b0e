"""A data set with ids, groups and masks that no file name could hold, and damage to files."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import cellprep as cp
from cellprep.formats import FORMATS
from cellprep.synthetic import CLASS_NAMES

from ..writing.helpers import dataset

MANY = [name for name, format in FORMATS.items() if format.writer is not None]
NAMES = [f"../{name} / é" for name in CLASS_NAMES]
RECIPE = cp.Recipe(
    [cp.Dedupe(), cp.Balance(target=dict.fromkeys(NAMES, 6)), cp.RandAugment(copies=1)], seed=7
)


def target(folder: Path, format: str) -> Path:
    return folder / ("out.npz" if FORMATS[format].is_file else "out")


def write(made: cp.Dataset, path: Path, format: str, **options: Any) -> Path:
    cp.write(made, path, format=format, **{"rows_per_shard": 20, "progress": False, **options})
    return path


@cache
def grouped() -> cp.Dataset:
    """35 cells with ids that no file could have, groups and masks; one class is empty."""
    cells = dataset()
    masks = np.arange(24 * 24).reshape(24, 24) % np.arange(2, 37)[:, None, None] == 0
    return cp.Dataset.from_arrays(
        cells.to_arrays()[0],
        cells.labels,
        [*NAMES, "none of these"],
        ids=[f"../../{id}\n'" for id in cells.ids],
        groups=[f"/patient {n // 2}" for n in range(35)],
        masks=masks,
    )


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 100)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garble(file: Path) -> None:
    file.write_bytes(b"not a file of this format")


def flip_a_bit(file: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


DAMAGES = [truncate, empty, garble, Path.unlink]
