"""What a training would come to, by a few of its steps."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellprep import class_weights
from cellprep.system import executors

from .data import Data
from .files import save
from .train import CHECKPOINT, MODEL, Checkpoint, State, Training, card_of, compile_for, prepare

_STEPS = 4


@dataclass(frozen=True)
class Forecast:
    """What `fit` would do.

    Attributes
    ----------
    images : dict of str to int
        By part.
    classes : int
    parameters : int
        Weights of the model.
    epochs : int
        Of both phases.
    resumed_at : int
        The epoch that the training would go on from.
    steps : int
        Batches an epoch.
    bytes : int
        Of the model and the checkpoint.
    seconds : float
        Of the epochs to come, all of them.
    sampled : int
        Batches by which the seconds were measured.
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
    progress: bool = True,
    **settings: Any,
) -> Forecast:
    """What `fit` would do with the same arguments; nothing is written, but the model is used up.

    What `fit` would refuse is refused. A few batches are trained on and a few validated, and what
    would be saved is saved once to a folder for temporary files.
    """
    how = Training.of(settings)
    with executors.using(progress=progress):
        parts, saved = prepare(model, train, val, how, test=test, out=out, allow_leaks=allow_leaks)
    done = saved.load()[0] if saved else State()
    cells = parts["train"]
    weights = class_weights(cells.labels) if how.class_weight == "balanced" else None
    compile_for(model, how, "fine-tuning" if how.epochs else "transfer", len(cells))
    steps = -(-len(cells) // how.batch_size)
    learning = _seconds(model.train_on_batch, parts["train"], how, weights)
    looking = _seconds(model.test_on_batch, parts["val"], how) if "val" in parts else 0.0
    state = State(best_weights=model.get_weights())
    with tempfile.TemporaryDirectory() as room:
        Checkpoint(Path(room) / CHECKPOINT, {}).write(state, model)
        save(model, Path(room) / MODEL, card_of(model, cells, how, state, 0))
        size = sum(file.stat().st_size for file in Path(room).iterdir())
    epoch = steps * learning + -(-len(parts.get("val", ())) // how.batch_size) * looking
    return Forecast(
        images={name: len(part) for name, part in parts.items()},
        classes=len(cells.class_names),
        parameters=model.count_params(),
        epochs=how.total,
        resumed_at=done.epoch,
        steps=steps,
        bytes=size,
        seconds=0.0 if done.ended(how) else epoch * (how.total - done.epoch),
        sampled=min(_STEPS, steps),
    )


def _seconds(step: Any, cells: Any, how: Training, weights: Any = None) -> float:
    """Of one step, once the first has compiled it."""
    from .loader import Batches

    batches = Batches(cells, how.batch_size, weights=weights)
    step(*batches[0])
    some = min(_STEPS, len(batches))
    began = time.perf_counter()
    for number in range(some):
        step(*batches[number])
    return (time.perf_counter() - began) / some
