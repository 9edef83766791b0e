"""What a training would take, estimated from a few of its steps."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellprep import class_weights

from ..data.inputs import Data
from ..models.files import save
from .checkpoint import CHECKPOINT, Checkpoint, State
from .fit import MODEL, card_of, prepare
from .fused_norm import fused_norm
from .phases import FINE_TUNING, TRANSFER, compile_for
from .settings import Training

_STEPS = 4


@dataclass(frozen=True)
class Forecast:
    """What `fit` would do.

    Attributes
    ----------
    images : dict of str to int
        By split.
    classes : int
    parameters : int
        Weights of the model.
    epochs : int
        Epochs of both phases.
    resumed_at : int
        The epoch that the training would resume at.
    steps : int
        Batches per epoch.
    bytes : int
        Size of the model and the checkpoint.
    seconds : float
        Time of all remaining epochs.
    sampled : int
        Batches that the estimate is based on.
    """

    images: dict[str, int]
    classes: int
    parameters: int
    epochs: int
    resumed_at: int
    steps: int
    bytes: int
    seconds: float
    sampled: int


def forecast(
    model: Any,
    train: Data,
    val: Data | None = None,
    *,
    test: Data | None = None,
    out: str | Path | None = None,
    allow_leaks: bool = False,
    **settings: Any,
) -> Forecast:
    """What `fit` would do with the same arguments; the model is changed, no file is written.

    Refuses what `fit` would refuse. A few batches are trained on and a few validated; what would be
    saved is saved once to a temporary folder, to measure its size.
    """
    from .batches import training_batches, validation_batches

    how = Training.of(settings)
    splits, checkpoint = prepare(
        model, train, val, how, test=test, out=out, allow_leaks=allow_leaks
    )
    done = checkpoint.load()[0] if checkpoint else State()
    cells = splits["train"]
    how = how.sized(len(cells))
    weights = class_weights(cells.labels) if how.class_weight == "balanced" else None
    steps, validating = -(-len(cells) // how.batch_size), 0.0
    with fused_norm(model):
        compile_for(model, how, FINE_TUNING if how.epochs else TRANSFER, len(cells))
        training = _seconds_per_step(model.train_on_batch, training_batches(cells, how, 0, weights))
        if "val" in splits:
            batches = validation_batches(splits["val"], how)
            validating = _seconds_per_step(model.test_on_batch, batches)
    left = range(done.epoch, how.total)
    validating *= -(-len(splits.get("val", ())) // how.batch_size)
    return Forecast(
        images={name: len(split) for name, split in splits.items()},
        classes=len(cells.class_names),
        parameters=model.count_params(),
        epochs=how.total,
        resumed_at=done.epoch,
        steps=steps,
        bytes=_saved_bytes(model, cells, how),
        seconds=0.0
        if done.ended(how)
        else how.steps(left, len(cells)) * training + len(left) * validating,
        sampled=min(_STEPS, steps),
    )


def _saved_bytes(model: Any, cells: Any, how: Training) -> int:
    """The size of a checkpoint and a saved model."""
    state = State(best_weights=model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        Checkpoint(Path(folder) / CHECKPOINT, {}).write(state, model)
        save(model, Path(folder) / MODEL, card_of(model, cells, how, state, 0))
        return sum(file.stat().st_size for file in Path(folder).iterdir())


def _seconds_per_step(step: Any, batches: Any) -> float:
    """The mean time of a step; the first, which compiles, does not count."""
    step(*batches[0])
    sampled = min(_STEPS, len(batches))
    began = time.perf_counter()
    for number in range(sampled):
        step(*batches[number])
    return (time.perf_counter() - began) / sampled
