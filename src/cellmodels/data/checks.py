"""Checks of a data set against a model and against other data sets, before anything long starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import cellprep
from cellprep import CellprepError, Dataset, Recipe

from .inputs import recipe_of

PREPARATION = ("Crop", "KMeansMask")
"""Steps that change every image, so that test images must be prepared by them too."""


def preparation(recipe: Recipe) -> Recipe:
    """The steps of a training recipe that validation and test images need too.

    Examples
    --------
    >>> recipe = cellprep.Recipe([cellprep.Balance(), cellprep.Crop(80), cellprep.RandAugment()])
    >>> preparation(recipe).steps
    (Crop(size=80, center='cell', resize_to=None, fill=None, relative=False),)
    """
    steps = [step for step in recipe.steps if type(step).__name__ in PREPARATION]
    return Recipe(steps, recipe.seed)


def check_fits(model: Any, dataset: Dataset, name: str, *, classes: bool = True) -> None:
    """Refuse images of another size than the model's, and another number of classes."""
    shape, outputs = model.input_shape[1:], model.output_shape[-1]
    if None not in shape and tuple(shape) != dataset.shape[1:]:
        here = dataset.shape[1:]
        raise CellprepError(
            f"{name} has images of {here[0]}x{here[1]}, but the model takes {shape[0]}x{shape[1]}; "
            f"build it with input_shape={here}, or resize with Crop(..., resize_to=)"
        )
    if classes and outputs != len(dataset.class_names):
        raise CellprepError(
            f"{name} has {len(dataset.class_names)} classes, but the model has {outputs}; "
            f"build it with n_classes={len(dataset.class_names)}"
        )


def check_classes(
    dataset: Dataset, name: str, class_names: Sequence[str], *, complete: bool = True
) -> None:
    """Refuse other class names, and the same in another order.

    If the data set must be `complete`, missing classes and classes without images are refused too.
    """
    expected = tuple(class_names)
    if not complete:
        expected = tuple(kind for kind in expected if kind in dataset.class_names)
    if tuple(dataset.class_names) != expected:
        raise CellprepError(
            f"{name} has the classes {_shortened(dataset.class_names)}, not "
            f"{_shortened(class_names)}; labels are indices of class names, so names and order "
            "must be the same"
        )
    for kind, count in dataset.counts().items() if complete else ():
        if not count:
            raise CellprepError(
                f"class '{kind}' has no image in {name}; split so that every split has some, or "
                "leave the class out"
            )


def check_preparation(recipe: Sequence[Mapping[str, Any]], dataset: Dataset, name: str) -> None:
    """Refuse images that were not cropped and masked as the training images were.

    Arrays without recorded steps are accepted: nothing is known about their preparation.

    Examples
    --------
    >>> from cellmodels.data.inputs import as_dataset
    >>> cells = as_dataset((np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 1, 0]), "test")
    >>> masked = cellprep.Recipe([cellprep.KMeansMask()])(cells)
    >>> check_preparation([], masked, "test")
    Traceback (most recent call last):
    ...
    cellprep.errors.CellprepError: the training images were prepared with neither Crop nor
    KMeansMask, but those of test with KMeansMask; apply the same steps ...
    """
    steps = recipe_of(dataset)
    there, here = _preparation(recipe), _preparation(steps)
    if there == here or (dataset.provenance()["path"] is None and not steps):
        return
    names = [", ".join(step["step"] for step in each) for each in (there, here)]
    raise CellprepError(
        f"the training images were prepared with {names[0] or 'neither Crop nor KMeansMask'}, but "
        f"those of {name} with {names[1] or 'none of these'}"
        f"{' and other settings' * (names[0] == names[1])}; apply the same steps with the same "
        "settings, or pass arrays (images, labels) if that was done elsewhere"
    )


def check_varies(dataset: Dataset, name: str) -> None:
    """Refuse a data set whose images are the same in every epoch.

    Examples
    --------
    >>> from cellmodels.data.inputs import as_dataset
    >>> check_varies(as_dataset((np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 1, 0]), "train"), "train")
    Traceback (most recent call last):
    ...
    cellprep.errors.CellprepError: `fresh` needs images that differ from epoch to epoch, but no
    random step changes those of train; apply one: recipe(train) with RandAugment or Jitter, ...
    """
    if dataset.varies:
        return
    path = dataset.provenance()["path"]
    written = f" and copies in {path!r} are fixed" if path and recipe_of(dataset) else ""
    raise CellprepError(
        "`fresh` needs images that differ from epoch to epoch, but no random step changes those of "
        f"{name}{written}; apply one: recipe({name}) with RandAugment or Jitter, not written first"
    )


def check_disjoint(a: Dataset, b: Dataset, names: tuple[str, str], allow_leaks: bool) -> None:
    """Refuse two splits that share an image, or two copies of one source image."""
    if allow_leaks:
        return
    advice = "split with cellprep.split, or pass allow_leaks=True"
    leaks = cellprep.find_leaks(a, b)
    if len(leaks):
        found = leaks[leaks["part"] == "b"]
        raise CellprepError(
            f"{len(found):,} of the {len(b):,} images of {names[1]} also occur in {names[0]} "
            f"(for example id {found['id'].iloc[0]}); {advice}"
        )
    shared = np.intersect1d(a.ids, b.ids) if a.shares_ids(b) else np.empty(0)
    if len(shared):
        raise CellprepError(
            f"{len(shared):,} source images of {names[1]} have copies in {names[0]} "
            f"(for example id {shared[0]}); {advice}"
        )


def _preparation(recipe: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in step.items() if name not in ("seed", "epoch")}
        for step in recipe
        if step.get("step") in PREPARATION
    ]


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:4])) + ", ..." * (len(names) > 4)
