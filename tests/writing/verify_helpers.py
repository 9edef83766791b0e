"""A data set in every format, and ways to damage it."""

from __future__ import annotations

from pathlib import Path

import cellprep as cp
from cellprep.formats import FORMATS
from cellprep.synthetic import draw_cells

from .test_kills import NAMES, tree

FOLDERS = [name for name in NAMES if not FORMATS[name].is_file]


def cells(n: int = 3) -> cp.Dataset:
    images, labels = draw_cells([n] * 8, side=24, seed=1)
    recipe = cp.Recipe([cp.Crop(20), cp.KMeansMask(), cp.Jitter()], seed=3)
    return recipe(cp.Dataset.from_arrays(images, labels))


def write(path: Path, format: str = "shards", seed: int = 3, **options) -> cp.Written:
    settings = {"rows_per_shard": 5, "workers": 2, "progress": False, "masks": True, **options}
    made = cells() if seed == 3 else cp.Recipe([cp.KMeansMask(), cp.Jitter()], seed)(cells())
    return cp.write(made, path, format=format, **settings)


def checked_files(path: Path) -> list[str]:
    """Every file but the manifest, which contains the digests."""
    return sorted(name for name in tree(path) if name != "dataset.json")


def remove(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def add(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


DAMAGE = {
    "missing": (remove, {"missing"}),
    "cut": (cut, {"cut short", "wrong bytes"}),
    "flipped": (flip, {"wrong bytes"}),
    "longer": (add, {"too long", "wrong bytes"}),
}
