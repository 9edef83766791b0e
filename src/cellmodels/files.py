"""A trained model as one `.keras` file that knows its classes and what it was trained on."""

from __future__ import annotations

import json
import os
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cellprep
from cellprep import CellprepError

_MEMBER = "cellmodels.json"


@dataclass(frozen=True)
class Card:
    """What is known of a trained model beside its weights.

    Attributes
    ----------
    model : str
        Its name in the table of `build`.
    class_names : tuple of str
        Of the outputs, in their order.
    recipe : tuple of dict
        The steps that the training images went through: `dataset.json` has the same.
    settings : dict
        Those of `fit`.
    history : dict
        One value an epoch of each measured quantity.
    best_epoch : int
        The epoch whose weights these are, from 0.
    seconds : float
        Of training.
    versions : dict
        Of the libraries, and the backend.
    """

    model: str
    class_names: tuple[str, ...]
    recipe: tuple[Mapping[str, Any], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)


def versions() -> dict[str, str]:
    """Of what made a model."""
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
    """Write the model to `path`, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        model.save(temporary, include_optimizer=False)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_MEMBER, json.dumps(asdict(card), indent=1))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    model.card = card


def load_card(path: str | Path) -> Card:
    """What a saved model says of itself; Keras is not needed for it.

    Raises
    ------
    CellprepError
        For a file that `fit` did not write.
    """
    path = Path(path)
    if not path.is_file():
        raise CellprepError(f"there is no model file {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            held = json.loads(archive.read(_MEMBER))
        card = Card(**{name.name: held[name.name] for name in fields(Card)})
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError):
        raise CellprepError(
            f"{str(path)!r} is not a model that cellmodels saved: it has no class names; train it "
            "with cellmodels.fit(model, train, val, out=folder)"
        ) from None
    return Card(**{**asdict(card), "class_names": tuple(card.class_names)})


def load(path: str | Path) -> Any:
    """The model of a file that `fit` wrote; what is known of it is its `card`.

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
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # of many kinds
        raise CellprepError(f"{str(path)!r} cannot be read by this Keras: {error}") from error
    model.card = card
    return model
