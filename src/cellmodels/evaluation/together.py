"""One or several models that predict together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cellprep import CellprepError, Dataset

from ..data.checks import check_fits
from .adapt_norm import check_norm
from .adapted import training_profile
from .neighbors import check_neighbors
from .probabilities import Prediction


def as_models(model: Any) -> tuple[Any, ...]:
    """The models, after a check that they agree on classes and image size.

    Raises
    ------
    CellprepError
        With the first difference.
    """
    models = tuple(model) if isinstance(model, list | tuple) else (model,)
    if not models:
        raise CellprepError("`model` is an empty list; pass at least one model")
    first, names = models[0], known_classes(models)
    for number, other in enumerate(models[1:], 2):
        theirs = known_classes([other]) or names
        if other.output_shape[-1] != first.output_shape[-1]:
            difference = f"{other.output_shape[-1]} classes, the first {first.output_shape[-1]}"
        elif names and theirs and theirs != names:
            k = [a == b for a, b in zip(theirs, names, strict=True)].index(False)
            difference = f"{theirs[k]!r} as class {k}, the first {names[k]!r}"
        elif other.input_shape != first.input_shape:
            sides = ["x".join(map(str, each.input_shape[1:3])) for each in (other, first)]
            difference = f"images of {sides[0]}, the first of {sides[1]}"
        else:
            continue
        raise CellprepError(
            f"model {number} ({other.name}) has {difference}; models that predict together need "
            "the same classes and image size"
        )
    return models


def known_classes(models: Sequence[Any]) -> tuple[str, ...] | None:
    """The class names in the cards of models, if one of them has a card."""
    cards = [getattr(model, "card", None) for model in models]
    return next((tuple(card.class_names) for card in cards if card), None)


def check_images(
    models: Sequence[Any], dataset: Dataset, how: Prediction, name: str, *, classes: bool
) -> None:
    """Refuse images that do not fit the models, or the way in which they are to predict."""
    check_fits(models[0], dataset, name, classes=classes)
    height, width = dataset.shape[1:3]
    if how.tta == "dihedral" and height != width:
        raise CellprepError(
            f"`tta` 'dihedral' turns images, so they must be square, but those of {name} are "
            f"{height}x{width}; use 'flips'"
        )
    if how.adapt or how.adapt_color != "none":
        for model in models:
            training_profile(model)
    for model in models:
        if how.adapt_norm:
            check_norm(model, dataset, name)
        if how.neighbors:
            check_neighbors(model, dataset, name)
