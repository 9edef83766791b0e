"""New images, brought to the size and the preparation that a model was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cellprep
from cellprep import Dataset, Recipe, Step

from ..data.checks import PREPARATION, check_preparation
from ..data.inputs import recipe_of


def open_prepared(
    models: Sequence[Any], path: str | Path, size: int | tuple[int, int] | None = None
) -> Dataset:
    """The images at a path, without labels, as the models take them.

    Image files are resized to the size of the models, unless their preparation cuts a window out of
    each or another `size` is requested.
    """
    images = cellprep.read(path, labels=None, size=size)
    side, steps = models[0].input_shape[1:3], needed_by(models)
    crops = any(type(step).__name__ == "Crop" for step in steps)
    if size is None and None not in side and not (crops or images.source.trusted):
        images = cellprep.read(path, labels=None, size=side)
    return prepared(models, images)


def prepared(models: Sequence[Any], images: Dataset) -> Dataset:
    """The images with Crop and KMeansMask as the models' training images, if they have neither.

    Arrays of the models' size are taken for prepared ones.

    Raises
    ------
    CellprepError
        For images with a Crop or KMeansMask of other settings.
    """
    arrays = images.provenance()["path"] is None
    done = [step["step"] for step in recipe_of(images) if step["step"] in PREPARATION]
    if done or (arrays and images.shape[1:] == models[0].input_shape[1:]):
        for card in _cards(models):
            check_preparation(card.recipe, images, "images")
        return images
    return Recipe(needed_by(models))(images)


def needed_by(models: Sequence[Any]) -> list[Step]:
    """The Crop and KMeansMask of the models' training images, from the first card."""
    return [
        Step.from_dict({name: value for name, value in saved.items() if name not in _RANDOM})
        for card in _cards(models)[:1]
        for saved in card.recipe
        if saved.get("step") in PREPARATION
    ]


_RANDOM = ("seed", "epoch")


def _cards(models: Sequence[Any]) -> list[Any]:
    return [card for model in models if (card := getattr(model, "card", None))]
