"""A trained model as one `.keras` file with its class names and how it was trained."""

from __future__ import annotations

import json
import platform
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cellprep
from cellprep import CellprepError, Profile

from ..atomic import atomic_write, local

_MEMBER = "cellmodels.json"


@dataclass(frozen=True)
class Card:
    """What is known about a trained model besides its weights.

    Attributes
    ----------
    model : str
        Its name in `build`.
    class_names : tuple of str
        The classes of the outputs, in order.
    recipe : tuple of dict
        The steps applied to the training images, as in `dataset.json`.
    settings : dict
        The settings of `fit`.
    history : dict
        Each measured quantity, one value per epoch.
    best_epoch : int
        The epoch that these weights come from, counted from 0.
    seconds : float
        Training time.
    versions : dict
        Versions of the libraries, and the backend.
    temperature : float or None
        What the scores before the softmax are divided by, so that probabilities are as high as
        predictions are reliable; fitted on the validation set. None without one.
    profile : Profile or None
        The appearance of the training images before augmentation, as by `cellprep.profile`.
    """

    model: str
    class_names: tuple[str, ...]
    recipe: tuple[Mapping[str, Any], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    temperature: float | None = None
    profile: Profile | None = None


def versions() -> dict[str, str]:
    """The versions of the libraries that train a model here, and the backend."""
    import keras

    backend = keras.backend.backend()
    found = {"cellprep": cellprep.__version__, "keras": keras.__version__, "backend": backend}
    for name in (backend, f"{backend}-cpu"):
        try:
            found[backend] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, "python": platform.python_version()}


def save(model: Any, path: Path, card: Card) -> None:
    """Write the model to `path`; the file appears only once it is complete."""
    with atomic_write(path) as temporary:
        model.save(temporary, include_optimizer=False)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_MEMBER, json.dumps(asdict(card), indent=1))
    model.card = card


_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
    *(KeyError, ValueError, TypeError),  # RecursionError is a RuntimeError
)
"""Errors of a file that is no model, or a damaged one."""


def _check(card: Card) -> None:
    """Raise a ValueError for entries of another type than `save` writes."""
    names, history = card.class_names, card.history
    passed = (
        isinstance(card.model, str)
        and isinstance(names, list)
        and len(names) > 0
        and all(isinstance(name, str) for name in names)
        and isinstance(card.recipe, list)
        and all(isinstance(step, dict) for step in card.recipe)
        and isinstance(card.settings, dict)
        and isinstance(history, dict)
        and all(isinstance(values, list) for values in history.values())
        and all(_is_number(value) for values in history.values() for value in values)
        and type(card.best_epoch) is int
        and _is_number(card.seconds)
        and isinstance(card.versions, dict)
        and all(isinstance(version, str) for version in card.versions.values())
        and (card.temperature is None or (_is_number(card.temperature) and card.temperature > 0))
    )
    if not passed:
        raise ValueError("an entry has another type")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def load_card(path: str | Path) -> Card:
    """The card of a saved model, read without Keras.

    Raises
    ------
    CellprepError
        For a file that `fit` did not write.
    """
    path = local(path)
    if not path.is_file():
        raise CellprepError(f"there is no model file {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            saved = json.loads(archive.read(_MEMBER))
        known = [each.name for each in fields(Card)]  # older versions saved fewer
        card = Card(**{name: saved[name] for name in known if name in saved})
        _check(card)
        profile = None if card.profile is None else Profile.from_dict(saved["profile"])
    except (*_DAMAGED, OSError):
        raise CellprepError(
            f"{str(path)!r} is not a model that cellmodels saved: it has no class names; train it "
            "with cellmodels.fit(model, train, val, out=folder)"
        ) from None
    return replace(card, class_names=tuple(card.class_names), profile=profile)


def load(path: str | Path) -> Any:
    """Load a model that `fit` saved, with its `card`.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    keras.Model
        With a `Card` as its attribute `card`.

    Raises
    ------
    CellprepError
        For a file that `fit` did not write, or that this Keras cannot read.

    Examples
    --------
    >>> load("nowhere.keras")
    Traceback (most recent call last):
    ...
    cellprep.errors.CellprepError: there is no model file 'nowhere.keras'
    """
    card = load_card(path)
    import keras

    try:
        model = keras.saving.load_model(local(path), compile=False)
    except Exception as error:  # Keras raises many types
        raise CellprepError(f"{str(path)!r} cannot be read by this Keras: {error}") from error
    model.card = card
    return model
