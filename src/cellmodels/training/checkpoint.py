"""The state of a training after an epoch, and the file that keeps it."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import CellprepError

from ..atomic import atomic_write
from .settings import Training

CHECKPOINT = "checkpoint.npz"


@dataclass
class State:
    """What a training carries from epoch to epoch besides the model and its optimizer."""

    epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    best: float = float("inf")
    best_epoch: int = -1
    best_weights: list[NDArray[Any]] = field(default_factory=list)
    seconds: float = 0.0

    def epochs_since_best(self, settings: Training) -> int:
        """Epochs of fine-tuning since the best one."""
        return self.epoch - max(self.best_epoch + 1, settings.transfer_epochs)

    def ended(self, settings: Training) -> bool:
        """Whether all epochs are done or patience has run out."""
        waited = self.epochs_since_best(settings)
        early = settings.patience is not None and waited >= settings.patience
        return early or self.epoch >= settings.total


_DAMAGED = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
    *(ValueError, KeyError, TypeError, AttributeError, SyntaxError, MemoryError),
)
"""Errors of a file that is no checkpoint, or a damaged one; RecursionError is a RuntimeError."""


def _check(state: State, made_of: object) -> None:
    """Raise a ValueError for entries of another type than `Checkpoint.write` saves."""
    numbers = [state.best, state.seconds]
    for values in state.history.values():
        numbers += values
    passed = (
        isinstance(made_of, dict)
        and all(isinstance(values, dict) for values in made_of.values())
        and type(state.epoch) is int
        and type(state.best_epoch) is int
        and all(type(number) in (int, float) for number in numbers)
    )
    if not passed:
        raise ValueError("an entry has another type")


class Checkpoint:
    """One file, replaced after every epoch; a checkpoint of another training is refused.

    Parameters
    ----------
    path : Path
    fingerprint : dict
        What the training depends on: model, settings and data.
    """

    def __init__(self, path: Path, fingerprint: Mapping[str, Any]) -> None:
        self.path, self.fingerprint = path, fingerprint
        self.weights: list[NDArray[Any]] = []

    def load(self) -> tuple[State, list[NDArray[Any]]]:
        """The last state and the optimizer's variables; sets `weights` to those of the model."""
        if not self.path.is_file():
            return State(), []
        try:
            with np.load(self.path, allow_pickle=False) as saved:
                about = json.loads(str(saved["about"]))
                groups = {
                    name: [saved[f"{name}/{k}"] for k in range(about["arrays"][name])]
                    for name in ("model", "optimizer", "best")
                }
            state, made_of = State(**about["state"], best_weights=groups["best"]), about["made_of"]
            _check(state, made_of)
        except _DAMAGED as error:
            raise CellprepError(
                f"{str(self.path)!r} cannot be read as a checkpoint: {error}; delete it to start "
                "again"
            ) from error
        if made_of != self.fingerprint:
            raise CellprepError(
                f"{str(self.path.parent)!r} contains another training "
                f"({_difference(made_of, self.fingerprint)}); choose another folder"
            )
        self.weights = groups["model"]
        return state, groups["optimizer"]

    def write(self, state: State, model: Any) -> None:
        """Replace the file by this state of the training."""
        import keras

        groups = {
            "model": model.get_weights(),
            "optimizer": [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables],
            "best": state.best_weights,
        }
        about = {
            "made_of": self.fingerprint,
            "state": {k: v for k, v in vars(state).items() if k != "best_weights"},
            "arrays": {name: len(arrays) for name, arrays in groups.items()},
        }
        arrays = {f"{name}/{k}": a for name, group in groups.items() for k, a in enumerate(group)}
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first difference between two trainings, in words."""
    for subject, values in here.items():
        old = there.get(subject, {})
        for name in [*values, *(name for name in old if name not in values)]:
            other, value = (each.get(name, "the default") for each in (old, values))
            if other != value:
                if isinstance(value, str | int | float) and name not in ("layers", "rows"):
                    return f"{subject} {name} is {other} there, {value} here"
                return f"{name} of the {subject} differ"
    return "of another version"
