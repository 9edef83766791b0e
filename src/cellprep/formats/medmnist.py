"""Splits in one npz file: `train_images` and `train_labels` of MedMNIST, `x_train` of Keras."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import ClassNames
from ..errors import CellprepError
from ..system.paths import open_binary
from . import npz
from .format import Block, Contents, Format
from .splits import chosen, split_of
from .untrusted import DAMAGED_ZIP

SPLITS = ("train", "val", "test")


def read(
    path: Path,
    part: str | None = None,
    masks: str | None = None,
    class_names: ClassNames | None = None,
) -> npz.NpzSource:
    """The source of one split; without `part`, of the only one that has images."""
    found = splits(path)
    if not found:
        raise CellprepError(
            f"{str(path)!r} has no images under names such as train_images or x_test; read it "
            "with format='npz' and name its arrays with images= and labels= (--arrays)"
        )
    images, labels = found[str(chosen(path, part, found))]
    others = tuple(names[1] for names in found.values() if names[1] != labels)
    return npz.read_members(path, images, labels, masks, others, class_names)


def splits(path: Path) -> dict[str, list[str]]:
    """The arrays of images and labels of each split that has images."""
    shapes = npz.shapes_of(path)
    found = {}
    for split in SPLITS:
        of_split = {name: shape for name, shape in shapes.items() if split_of(name) == split}
        images = [name for name, shape in of_split.items() if len(shape) >= 3 and shape[0]]
        images = [name for name in images if name == f"{split}_images"] or images
        for name in images[:1]:
            labels = [n for n, shape in of_split.items() if shape[:1] == shapes[name][:1]]
            labels = [n for n in labels if len(shapes[n]) <= 2]
            labels = [n for n in labels if n == f"{split}_labels"] or labels
            if len(images) > 1 or len(labels) != 1:
                raise CellprepError(
                    f"{str(path)!r} has the arrays {', '.join(of_split)} for the split {split}; "
                    "name those of images and labels with images= and labels= (--arrays)"
                )
            found[split] = [name, labels[0]]
    return found


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
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (*DAMAGED_ZIP, OSError, ValueError):
        return False
    return "images" not in names and any(split_of(name) for name in names)


FORMAT = Format(
    read,
    options=("part", "masks", "class_names"),
    looks_like=_looks_like,
    splits=splits,
    write_file=write_file,
    members=tuple(f"{split}_{what}" for split in SPLITS for what in ("images", "labels")),
)
