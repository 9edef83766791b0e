"""The model card: what is known about a trained model, as Markdown for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cellprep import CellprepError
from cellprep.writing.markdown import bullets, plain, steps, table

from ..atomic import atomic_write
from .files import Card, load_card

MODEL_CARD = "model-card.md"
_MEASURED = {
    "loss": "training loss",
    "accuracy": "training accuracy",
    "val_cross_entropy": "validation cross-entropy",
    "val_accuracy": "validation accuracy",
}


def model_card(model: Any) -> str:
    """The card of a trained model as Markdown.

    Parameters
    ----------
    model : path, keras.Model or Card
        A file that `fit` saved, a model that it trained or that `load` returned, or its card.

    Returns
    -------
    str

    Raises
    ------
    CellprepError
        For anything else.

    Examples
    --------
    >>> model_card(Card("mine", ("baso", "mono"))).splitlines()[0]
    '# mine'
    """
    card = _card_of(model)
    parts = [
        f"# {plain(card.model)}",
        f"An image classifier with {len(card.class_names)} classes, trained with cellmodels. It "
        "takes RGB images with values 0-255 and returns the probability of each class, in this "
        "order. Images must be prepared as those it was trained on: see the recipe.",
        "## Classes",
        table(("output", "class"), list(enumerate(card.class_names))),
        "## Training images",
        _images(card),
        "The recipe that made them:",
        steps(card.recipe) or "None: they are as they were read.",
        "## Training",
        f"    {json.dumps(dict(card.settings), sort_keys=True)}",
        _history(card),
        "## Measured",
        "On the validation set, by which the epoch was chosen, so these figures are optimistic. "
        "`cellmodels evaluate` measures others.",
        bullets(_at_best(card)) or "Nothing was measured.",
        "## Limits",
        "Images from other microscopes, stains and laboratories may be classified worse; "
        "`cellmodels evaluate` measures by how much. Probabilities are divided among the classes "
        "above, also for images of something else.",
        "## Versions",
        bullets(dict(sorted(card.versions.items()))) or "Not known.",
    ]
    return "\n\n".join(parts) + "\n"


def _card_of(model: Any) -> Card:
    if isinstance(model, str | Path):
        return load_card(model)
    card = model if isinstance(model, Card) else getattr(model, "card", None)
    if not isinstance(card, Card):
        raise CellprepError(
            f"a model card needs a trained model, got {type(model).__name__} without a card; train "
            "it with cellmodels.fit"
        )
    return card


def save_model_card(card: Card, folder: Path) -> None:
    """Write the card beside the model."""
    with atomic_write(folder / MODEL_CARD) as temporary:
        temporary.write_text(model_card(card), "utf-8", newline="\n")


def _images(card: Card) -> str:
    if card.profile is None:
        return "Their appearance is not known."
    found = card.profile
    height, width = found.size
    return bullets(
        {
            "Size": f"{width}x{height}",
            "Mean of red, green, blue": ", ".join(f"{value:.1f}" for value in found.mean),
            "Standard deviation": ", ".join(f"{value:.1f}" for value in found.spread),
        }
    )


def _history(card: Card) -> str:
    epochs = max((len(values) for values in card.history.values()), default=0)
    warm = f"temperature {card.temperature}" if card.temperature is not None else "no temperature"
    return f"{epochs} epochs; the weights are those of epoch {card.best_epoch + 1}, with {warm}."


def _at_best(card: Card) -> dict[str, object]:
    """What was measured at the epoch that the weights come from."""
    found = {title: card.history.get(name, []) for name, title in _MEASURED.items()}
    at = card.best_epoch
    return {title: f"{values[at]:.4f}" for title, values in found.items() if at < len(values)}
