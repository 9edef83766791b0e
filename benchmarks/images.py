"""The images of all benchmarks: photographs in `../shared/data` if present, or synthetic cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cellprep.synthetic import draw_cells, mess_counts

from .measure.job import Images

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SIDE = 96
SYNTHETIC = 64  # synthetic cells per class


def source() -> str:
    """The origin of the images, in words."""
    return "photographs (bccd, bcisc, wbc4)" if DATA.is_dir() else "synthetic cells"


def pool(cache: Path, side: int = SIDE, most: int | None = None) -> Images:
    """(n, side, side, 3) images that all differ: all there are, or about `most`.

    Decoded or generated once, then kept in `cache`.
    """
    kept = cache / f"{'photographs' if DATA.is_dir() else 'synthetic'}-{side}-{most}.npy"
    if not kept.is_file():
        files = sorted(DATA.rglob("*.jp*g"))
        files = files[:: max(1, len(files) // most)] if most else files
        images = (
            np.stack([_photograph(file, side) for file in files])
            if files
            else draw_cells([SYNTHETIC] * 8, side=side)[0]
        )
        np.save(kept, images[np.sort(np.unique(images, axis=0, return_index=True)[1])])
    return np.load(kept)


def _photograph(file: Path, side: int) -> Images:
    return np.asarray(Image.open(file).convert("RGB").resize((side, side)))


def different(n: int, pool: Images, seed: int = 0) -> Images:
    """`n` images that all differ: those of the pool, then the same rolled by 3, 6, 9 ... pixels."""
    order = np.random.default_rng(seed).permutation(len(pool))
    images = np.empty((n, *pool.shape[1:]), np.uint8)
    for start in range(0, n, len(order)):
        run = images[start : start + len(order)]
        run[:] = np.roll(pool[order[: len(run)]], 3 * (start // len(order)), axis=(1, 2))
    return images


def labelled(n: int, pool: Images) -> tuple[Images, NDArray[np.int64]]:
    """`n` images that all differ, and arbitrary labels."""
    return different(n, pool), np.arange(n, dtype=np.int64) % 8


def messy(n: int, pool: Images) -> tuple[Images, NDArray[np.int64]]:
    """`n` images and labels with the faults of a real training set of 13,759, in proportion.

    One image many times under every label, another under a single label, eight pairs of equal
    images, uneven classes; docs/results.md describes the set.
    """
    good, first, second = mess_counts(n)
    images = different(sum(good) + 2, pool)
    labels = np.repeat(np.arange(8), good)
    starts = np.cumsum([0, *good[:-1]])
    images[starts + 1] = images[starts]  # a pair in each class
    rows = np.r_[: sum(good), [sum(good)] * (8 * first), [sum(good) + 1] * second]
    labels = np.r_[labels, np.repeat(np.arange(8), first), [5] * second]
    order = np.random.default_rng(1).permutation(n)
    return images[rows[order]], labels[order]
