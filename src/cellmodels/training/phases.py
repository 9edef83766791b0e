"""The two phases of a training: the head alone, then fine-tuning, each with a fresh optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..models.build import backbone_layers
from .settings import Training

TRANSFER, FINE_TUNING = "transfer", "fine-tuning"
CRITERION = "cross_entropy"
"""The quantity that epochs are compared by. Unlike the loss it has no L2 penalty, which differs
between the phases."""


def phase_of(epoch: int, how: Training) -> str:
    """The phase that an epoch belongs to."""
    return TRANSFER if epoch < how.transfer_epochs else FINE_TUNING


def epochs_of(phase: str, how: Training) -> range:
    """The epochs of a phase."""
    first = how.transfer_epochs
    return range(first) if phase == TRANSFER else range(first, how.total)


def set_trainable(model: Any, flags: Sequence[bool]) -> None:
    """Set for each layer whether it is trained."""
    for layer, flag in zip(model.layers, flags, strict=True):
        layer.trainable = flag


def head_only(model: Any) -> list[bool]:
    """The flags of the transfer phase: no layer of the backbone is trained."""
    backbone = len(backbone_layers(model))
    return [False] * backbone + [layer.trainable for layer in model.layers[backbone:]]


def compile_for(model: Any, how: Training, phase: str, images: int) -> None:
    """Compile with a fresh optimizer and schedule; Keras reads the trainable flags only now."""
    import keras

    rate = how.transfer_learning_rate if phase == TRANSFER else how.learning_rate
    steps = how.steps(epochs_of(phase, how), images)
    rising = round(how.warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if rising else rate,
        decay_steps=max(steps - rising, 1),
        alpha=0.0 if how.schedule == "cosine" else 1.0,
        warmup_target=rate if rising else None,
        warmup_steps=rising,
    )
    labels = "" if how.soft_labels else "Sparse"
    kind = {"adamw": keras.optimizers.AdamW, "lion": keras.optimizers.Lion}[how.optimizer]
    model.compile(
        optimizer=kind(learning_rate=schedule, weight_decay=how.weight_decay),
        loss=getattr(keras.losses, f"{labels}CategoricalCrossentropy")(),
        metrics=[
            getattr(keras.metrics, f"{labels}CategoricalAccuracy")(name="accuracy"),
            getattr(keras.metrics, f"{labels}CategoricalCrossentropy")(name=CRITERION),
        ],
    )
