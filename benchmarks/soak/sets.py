"""The data sets and the model of a soak, and what is compared of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import xxhash

import cellprep as cp
from cellprep.synthetic import draw_cells
from cellprep.system import paths

SEED, OTHER = 6, 7  # of the data set, and of the one that it replaces or is replaced by


def originals() -> cp.Dataset:
    return cp.Dataset.from_arrays(*draw_cells([4] * 8, side=24, seed=2))


def write(at: Path | str, format: str, seed: int = SEED, **changed: Any) -> int:
    """Write a data set, 96 images in 16 shards, or continue; returns how many were resumed."""
    recipe = cp.Recipe([cp.KMeansMask(), cp.RandAugment(copies=2)], seed=seed)
    options = {"rows_per_shard": 6, "masks": True, "progress": False, "workers": 2, **changed}
    made = cp.write(recipe(originals()), at, format=format, **options)
    return made.resumed + made.repaired


def replace(at: str, format: str, seed: int = SEED) -> int:
    """Write a data set, whatever was there before."""
    return write(at, format, seed, overwrite=True)


def take_over(at: str, format: str, patience: float) -> None:
    """Replace what another writer was writing, as soon as its lease has expired."""
    limit = time.monotonic() + patience
    while True:
        try:
            replace(at, format, OTHER)
            return
        except cp.CellprepError as error:
            if "being written by another process" not in str(error) or time.monotonic() > limit:
                raise
        time.sleep(0.1)


def train(at: Path) -> str:
    """Train a small model, or continue; returns a digest of its history and weights."""
    import cellmodels as cm

    cells = cp.split(originals(), train=0.75, val=0.25)
    model = cm.build("baseline_cnn", 8, (24, 24, 3), seed=1)
    fitted = cm.fit(model, cells["train"], cells["val"], epochs=3, out=at, progress=False)
    digest = xxhash.xxh3_128(repr(fitted.history).encode())
    for weights in model.get_weights():
        digest.update(weights.tobytes())
    return digest.hexdigest()


def files(at: Path | str) -> dict[str, str]:
    """The digest of every file of a data set by its name, which is "." if it has one file only."""
    path = paths.as_path(at)
    if path.is_file():
        return {".": xxhash.xxh3_128_hexdigest(paths.read_bytes(path))}
    names = paths.names(path)
    data = paths.map_files(paths.read_bytes, [path / name for name in names])
    return dict(zip(names, map(xxhash.xxh3_128_hexdigest, data), strict=True))


def contents(at: Path) -> str:
    """A digest of everything that is read from a data set, and replayed from its record."""
    found, digest = cp.read(at), xxhash.xxh3_128()
    columns = (found.ids, found.labels, found.copies, found.masks[:], cp.replay(at, originals()))
    for column in (*found.to_arrays(workers=1), *columns):
        digest.update(column.tobytes())
    digest.update(repr(found.class_names).encode())
    return digest.hexdigest()


def damaged(at: Path | str) -> list[str]:
    """The files that `verify` reports."""
    return [str(name) for name in cp.verify(at, progress=False)["file"]]
