"""Training epoch by epoch, from the beginning or from a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import CellprepError, Dataset, class_weights

from .checkpoint import Checkpoint, State
from .phases import (
    CRITERION,
    FINE_TUNING,
    TRANSFER,
    compile_for,
    head_only,
    phase_of,
    set_trainable,
)
from .settings import Training


def train_epochs(
    model: Any,
    splits: Mapping[str, Dataset],
    how: Training,
    checkpoint: Checkpoint | None,
    progress: bool,
) -> tuple[State, int]:
    """Train until the last epoch or until patience runs out.

    Returns
    -------
    State, int
        The final state, and the epoch that this call resumed at.
    """
    state, optimizer = checkpoint.load() if checkpoint else (State(), [])
    resumed, phase = state.epoch, ""
    if checkpoint and state.epoch:
        set_weights(model, checkpoint.weights)
    weights = class_weights(splits["train"].labels) if how.class_weight == "balanced" else None
    flags = {
        TRANSFER: head_only(model),
        FINE_TUNING: [layer.trainable for layer in model.layers],
    }
    while not state.ended(how):
        now = phase_of(state.epoch, how)
        if now != phase:
            phase = now
            first = 0 if phase == TRANSFER else how.transfer_epochs
            set_trainable(model, flags[phase])
            compile_for(model, how, phase, len(splits["train"]))
            if resumed == state.epoch > first:
                _set_optimizer(model, optimizer)
        started = time.perf_counter()
        seed_dropout(model, how.seed, state.epoch)
        measured = _train_epoch(model, splits, how, state.epoch, weights, progress)
        if not np.isfinite(measured["loss"]):
            raise CellprepError(
                f"the loss is {measured['loss']} in epoch {state.epoch + 1}; use a lower "
                "`learning_rate`"
            )
        for name, value in measured.items():
            state.history.setdefault(name, []).append(value)
        if measured.get(f"val_{CRITERION}", np.inf) < state.best:
            state.best, state.best_epoch = measured[f"val_{CRITERION}"], state.epoch
            state.best_weights = model.get_weights()
        state.epoch += 1
        state.seconds += time.perf_counter() - started
        if checkpoint:
            checkpoint.write(state, model)
    return state, resumed


def set_weights(model: Any, weights: list[NDArray[Any]]) -> None:
    """Set all weights of a model, and what its layers derive from them."""
    model.set_weights(weights)
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # a Normalization caches what it derives from weights
            layer.finalize_state()


def _set_optimizer(model: Any, values: list[NDArray[Any]]) -> None:
    model.optimizer.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, values, strict=True):
        variable.assign(value)


def seed_dropout(model: Any, seed: int, epoch: int) -> None:
    """Set the generators of all dropout layers from the seed, the epoch and their order."""
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    words = np.random.SeedSequence((seed, epoch)).generate_state(2 * len(states))
    for state, pair in zip(states, words.reshape(-1, 2), strict=True):
        state.assign(pair)


def _train_epoch(
    model: Any,
    splits: Mapping[str, Dataset],
    how: Training,
    epoch: int,
    weights: Mapping[int, float] | None,
    progress: bool,
) -> dict[str, float]:
    """Train one epoch and validate; returns what was measured."""
    import keras
    from tqdm import tqdm

    from .batches import training_batches, validation_batches

    batches = training_batches(splits["train"], how, epoch, weights)
    validation = validation_batches(splits["val"], how) if "val" in splits else None
    title = f"epoch {epoch + 1}/{how.total}"
    hidden = None if progress else True  # None: no bar if the output is not a terminal
    with tqdm(total=len(batches), desc=title, unit="batch", disable=hidden) as bar:
        step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: bar.update())
        try:
            run = model.fit(
                batches,
                validation_data=validation,
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,  # Keras would shuffle batches; the rows are shuffled by `order`
                verbose=0,
                callbacks=[step],
            )
        finally:
            for read in filter(None, (batches, validation)):
                read.release()
        measured = {name: float(values[-1]) for name, values in run.history.items()}
        measured["learning_rate"] = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        bar.set_postfix({k: f"{v:.4g}" for k, v in measured.items() if k != "learning_rate"})
    return measured
