"""From what cellprep wrote to what a model trains on; pixels stay as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

import cellprep
from cellprep import BadImagesError, CellprepError, Dataset

Data = str | Path | Dataset | tuple[Any, Any]
"""A path that `cellprep.read` reads, a Dataset, or images (n, height, width, 3) and labels."""


def as_dataset(data: Data, name: str, class_names: Sequence[str] | None = None) -> Dataset:
    """The data set behind a path, a Dataset or a pair of arrays.

    Parameters
    ----------
    data : path, Dataset, or (images, labels)
    name : str
        What an error calls it.
    class_names : sequence of str, optional
        For arrays: the classes that the labels number, where not every one need have an image.

    Examples
    --------
    >>> as_dataset((np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 1, 0]), "train").counts()
    {'0': 2, '1': 2}
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | Path):
        return cellprep.read(data)
    if isinstance(data, tuple) and len(data) == 2:
        try:
            return Dataset.from_arrays(data[0], data[1], class_names=class_names)
        except CellprepError as error:
            raise CellprepError(f"{name}: {error}") from None
    raise CellprepError(
        f"`{name}` must be a path, a cellprep.Dataset or a pair (images, labels), "
        f"got {type(data).__name__}"
    )


def whole(dataset: Dataset) -> Dataset:
    """The data set, if all its images can be read: a bad file is named now, not in an epoch."""
    readable = dataset.readable()
    if readable.bad:
        raise BadImagesError(readable.bad, "Pass cellprep.read(path).readable() to do without them")
    return readable


def check_fits(model: Any, dataset: Dataset, name: str, *, classes: bool = True) -> None:
    """Refuse images of another size than the model takes, and another number of classes."""
    shape, outputs = model.input_shape[1:], model.output_shape[-1]
    if None not in shape and tuple(shape) != dataset.shape[1:]:
        here, there = dataset.shape[1:], shape
        raise CellprepError(
            f"{name} holds images of {here[0]}x{here[1]}, and the model takes {there[0]}x"
            f"{there[1]}; build it with input_shape={here}, or resize with Crop(..., resize_to=)"
        )
    if classes and outputs != len(dataset.class_names):
        raise CellprepError(
            f"{name} has {len(dataset.class_names)} classes, and the model tells {outputs} apart; "
            f"build it with n_classes={len(dataset.class_names)}"
        )


def check_classes(dataset: Dataset, name: str, class_names: Sequence[str]) -> None:
    """Refuse labels that number other classes, and a class without images."""
    if tuple(dataset.class_names) != tuple(class_names):
        raise CellprepError(
            f"{name} has the classes {_shown(dataset.class_names)}, not {_shown(class_names)}; "
            "labels are numbers of class names, so the names must be the same in the same order"
        )
    for kind, count in dataset.counts().items():
        if not count:
            raise CellprepError(
                f"class '{kind}' has no image in {name}; split so that every part has some, or "
                "leave the class out"
            )


PREPARING = ("Crop", "KMeansMask")
"""Steps that change what every image is, so that a test image must go through them too."""


def check_preparation(recipe: Sequence[Mapping[str, Any]], dataset: Dataset, name: str) -> None:
    """Refuse images that were not cropped and masked as the training images were.

    Examples
    --------
    >>> cells = as_dataset((np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 1, 0]), "test")
    >>> masked = cellprep.Recipe([cellprep.KMeansMask()])(cells)
    >>> check_preparation([], masked, "test")
    Traceback (most recent call last):
    ...
    cellprep.errors.CellprepError: the model was trained on images after neither Crop nor
    KMeansMask, and those of test went through KMeansMask; apply the same steps ...
    """
    there, here = _preparing(recipe), _preparing(recipe_of(dataset))
    if there == here or (dataset.source.path is None and not dataset.plan.saved):
        return  # nothing is known of arrays
    steps = [", ".join(step["step"] for step in steps) for steps in (there, here)]
    raise CellprepError(
        f"the model was trained on images after {steps[0] or 'neither Crop nor KMeansMask'}, and "
        f"those of {name} went through {steps[1] or 'none of these'}"
        f"{' with other settings' * (steps[0] == steps[1])}; apply the same steps with the same "
        "settings, or pass arrays (images, labels) if that was done elsewhere"
    )


def _preparing(recipe: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in step.items() if name != "seed"}
        for step in recipe
        if step.get("step") in PREPARING
    ]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:4])) + ", ..." * (len(names) > 4)


def check_apart(a: Dataset, b: Dataset, names: tuple[str, str], allow_leaks: bool) -> None:
    """Refuse two parts that share an image, or two copies of one source image."""
    if allow_leaks:
        return
    way_out = "split with cellprep.split, or say allow_leaks=True"
    leaks = cellprep.find_leaks(a, b)
    if len(leaks):
        found = leaks[leaks["part"] == "b"]
        raise CellprepError(
            f"{len(found):,} of the {len(b):,} images of {names[1]} stand in {names[0]} as well "
            f"(id {found['id'].iloc[0]}, for one); {way_out}"
        )
    shared = np.intersect1d(a.ids, b.ids) if _same_ids(a, b) else np.empty(0)
    if len(shared):
        raise CellprepError(
            f"{len(shared):,} source images of {names[1]} have copies in {names[0]} "
            f"(id {shared[0]}, for one); {way_out}"
        )


def _same_ids(a: Dataset, b: Dataset) -> bool:
    """Whether equal ids mean the same source image: file names do, row numbers of one source do."""
    if a.ids.dtype.kind != b.ids.dtype.kind:
        return False
    return a.ids.dtype.kind == "U" or _origin(a) == _origin(b)


def _origin(dataset: Dataset) -> str:
    """What the ids of a data set number: the source that it was written from, or its own."""
    path = dataset.source.history.path
    if path is not None:
        from cellprep.formats.written import load_manifest

        return str(load_manifest(path)["made_of"]["source"])
    return dataset.source.identity()


def identity(dataset: Dataset) -> dict[str, Any]:
    """What a training hangs on: the rows, and the steps that made them."""
    rows = dataset.plan.rows
    digest = xxhash.xxh3_128()
    for column in (rows.keys, rows.labels):
        digest.update(np.ascontiguousarray(column).data)
    return {
        "rows": digest.hexdigest(),
        "images": list(dataset.shape),
        "steps": recipe_of(dataset),
        "class_names": list(dataset.class_names),
    }


def recipe_of(dataset: Dataset) -> list[dict[str, Any]]:
    """The saved form of every step that the images went through, from the first source on."""
    return [dict(json.loads(json.dumps(dict(step)))) for step in dataset.plan.saved]
