"""Images to measure with: real photographs where they lie beside the checkout, else drawn cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cellprep.synthetic import draw_cells, mess_counts

Images = NDArray[np.uint8]
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SIDE = 96
DRAWN = 64  # drawn cells of each class


def source() -> str:
    """Where the images come from, in words."""
    return "photographs (bccd, bcisc, wbc4)" if DATA.is_dir() else "drawn cells"


def pool(cache: Path, side: int = SIDE, most: int | None = None) -> Images:
    """Different pictures, (n, side, side, 3), all of them or about `most`.

    Decoded or drawn once, then kept in `cache`.
    """
    kept = cache / f"{'photographs' if DATA.is_dir() else 'drawn'}-{side}-{most}.npy"
    if not kept.is_file():
        files = sorted(DATA.rglob("*.jp*g"))
        files = files[:: max(1, len(files) // most)] if most else files
        images = (
            np.stack([_photograph(file, side) for file in files])
            if files
            else draw_cells([DRAWN] * 8, side=side)[0]
        )
        np.save(kept, images[np.sort(np.unique(images, axis=0, return_index=True)[1])])
    return np.load(kept)


def _photograph(file: Path, side: int) -> Images:
    return np.asarray(Image.open(file).convert("RGB").resize((side, side)))


def different(n: int, pictures: Images, seed: int = 0) -> Images:
    """`n` images that all differ: pictures, then the same ones rolled by more and more pixels."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    images = np.empty((n, *pictures.shape[1:]), np.uint8)
    for start in range(0, n, len(order)):
        part = images[start : start + len(order)]
        part[:] = np.roll(pictures[order[: len(part)]], 3 * (start // len(order)), axis=(1, 2))
    return images


def labelled(n: int, pictures: Images) -> tuple[Images, NDArray[np.int64]]:
    """`n` images that all differ, and labels that say nothing."""
    return different(n, pictures), np.arange(n, dtype=np.int64) % 8


def messy(n: int, pictures: Images) -> tuple[Images, NDArray[np.int64]]:
    """`n` images and labels with the faults of the competition's 13,759, in proportion.

    One outlier under every label, another under one label alone, eight pairs, uneven classes.
    """
    good, first, second = mess_counts(n)
    images = different(sum(good) + 2, pictures)
    labels = np.repeat(np.arange(8), good)
    starts = np.cumsum([0, *good[:-1]])
    images[starts + 1] = images[starts]  # a pair in each class
    rows = np.r_[: sum(good), [sum(good)] * (8 * first), [sum(good) + 1] * second]
    labels = np.r_[labels, np.repeat(np.arange(8), first), [5] * second]
    order = np.random.default_rng(1).permutation(n)
    return images[rows[order]], labels[order]
