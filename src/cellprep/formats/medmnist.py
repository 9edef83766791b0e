"""MedMNIST: one npz file with `train_images`, `train_labels` (n, 1), and the same for val, test."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CellprepError, one_of
from ..system.paths import open_binary
from . import npz
from .format import Block, Contents, Format
from .untrusted import DAMAGED_ZIP

SPLITS = ("train", "val", "test")


def read(path: Path, part: str | None = None, masks: str | None = None) -> npz.NpzSource:
    """The source of one split; without `part`, of the only one that has images."""
    counts = _counts(path)
    filled = [name for name, count in counts.items() if count]
    if not filled:
        raise CellprepError(
            f"{str(path)!r} has no images under train_images, val_images or test_images; read it "
            "with format='npz' and name its arrays with images= and labels= (--arrays)"
        )
    if part is None and len(filled) > 1:
        listed = ", ".join(f"{name} ({counts[name]:,})" for name in filled)
        raise CellprepError(
            f"{str(path)!r} has the splits {listed}; choose one with part= (--part)"
        )
    if part is not None:
        one_of("part", part, filled)
    chosen = part or filled[0]
    other_labels = tuple(f"{name}_labels" for name in filled if name != chosen)
    return npz.read_members(path, f"{chosen}_images", f"{chosen}_labels", masks, other_labels)


def _counts(path: Path) -> dict[str, int]:
    """How many images each split has."""
    shapes = npz.shapes_of(path)
    found = {split: shapes.get(f"{split}_images", ()) for split in SPLITS}
    return {split: shape[0] if shape else 0 for split, shape in found.items()}


def write_file(
    path: Path,
    contents: Contents,
    blocks: Iterable[Block],
    finish: Callable[[], tuple[dict[str, Any], bytes]],
) -> None:
    """Write the images as the split "train"; the others are empty, as medmnist requires all."""
    empty = np.zeros((0, *contents.shape), np.uint8)
    others: dict[str, NDArray[Any]] = {"train_labels": contents.rows.labels[:, None]}
    for split in SPLITS[1:]:
        others |= {f"{split}_images": empty, f"{split}_labels": np.zeros((0, 1), np.int64)}
    npz.write_members(path, contents, blocks, finish, "train_images", others)


def _looks_like(path: Path) -> bool:
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with open_binary(path) as stream, zipfile.ZipFile(stream) as archive:
            names = set(archive.namelist())
    except (*DAMAGED_ZIP, OSError, ValueError):
        return False
    return "train_images.npy" in names and "images.npy" not in names


FORMAT = Format(
    read,
    options=("part", "masks"),
    looks_like=_looks_like,
    write_file=write_file,
    members=tuple(f"{split}_{what}" for split in SPLITS for what in ("images", "labels")),
)
