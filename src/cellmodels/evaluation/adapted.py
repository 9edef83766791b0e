"""Images of another laboratory, brought to the appearance of a model's training images."""

from __future__ import annotations

from typing import Any

import cellprep
from cellprep import CellprepError, Dataset, Profile


def adapted(model: Any, dataset: Dataset, scale: bool, color: str) -> Dataset:
    """The images with the cell size and the colours of the training images, by `cellprep.Adapt`."""
    if not scale and color == "none":
        return dataset
    colors: Any = color != "none" and color
    step = cellprep.Adapt(training_profile(model), scale=scale, color=colors)
    return cellprep.Recipe([step])(dataset)


def training_profile(model: Any) -> Profile:
    """The profile of a model's training images; refused if its card has none."""
    card = getattr(model, "card", None)
    if card is None or card.profile is None:
        raise CellprepError(
            f"`adapt` needs the profile of the training images, which {model.name} lacks; train it "
            "with this version of cellmodels, or apply cellprep.Adapt(profile) to the images"
        )
    profile: Profile = card.profile
    return profile
