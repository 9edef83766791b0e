"""MedMNIST: one npz file with `train_images`, `train_labels` (n, 1), the same of val and test."""

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
from .manifest import DAMAGED_ZIP

PARTS = ("train", "val", "test")


def read(path: Path, part: str | None = None, masks: str | None = None) -> npz.NpzSource:
    """The source of one part; without `part`, of the only one that holds images."""
    counts = _counts(path)
    held = [name for name, count in counts.items() if count]
    if not held:
        raise CellprepError(
            f"{str(path)!r} has no images under train_images, val_images or test_images; read it "
            "with format='npz' and name its arrays with images= and labels= (--arrays)"
        )
    if part is None and len(held) > 1:
        said = ", ".join(f"{name} ({counts[name]:,})" for name in held)
        raise CellprepError(f"{str(path)!r} holds the parts {said}; choose one with part= (--part)")
    if part is not None:
        one_of("part", part, held)
    chosen = part or held[0]
    among = tuple(f"{name}_labels" for name in held if name != chosen)
    return npz.read_members(path, f"{chosen}_images", f"{chosen}_labels", masks, among)


def _counts(path: Path) -> dict[str, int]:
    """How many images each part holds."""
    shapes = npz.shapes_of(path)
    found = {part: shapes.get(f"{part}_images", ()) for part in PARTS}
    return {part: shape[0] if shape else 0 for part, shape in found.items()}


def write_file(
    path: Path,
    contents: Contents,
    blocks: Iterable[Block],
    finish: Callable[[], tuple[dict[str, Any], bytes]],
) -> None:
    """The images as the part "train"; the others are empty, as medmnist asks for all three."""
    empty = np.zeros((0, *contents.shape), np.uint8)
    others: dict[str, NDArray[Any]] = {"train_labels": contents.rows.labels[:, None]}
    for part in PARTS[1:]:
        others |= {f"{part}_images": empty, f"{part}_labels": np.zeros((0, 1), np.int64)}
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
    members=tuple(f"{part}_{what}" for part in PARTS for what in ("images", "labels")),
)
