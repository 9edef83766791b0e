"""`fit`: a model and a data set to a trained model, by epochs that can be taken up again."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from cellprep import CellprepError, Dataset, class_weights
from cellprep.errors import check_seed, in_range, nearest, one_of
from cellprep.plan.draws import Draw
from cellprep.system import executors

from .backbones import backbone_layers
from .data import (
    Data,
    as_dataset,
    check_apart,
    check_classes,
    check_fits,
    identity,
    recipe_of,
    whole,
)
from .files import Card, save, versions

MODEL = "model.keras"
CHECKPOINT = "checkpoint.npz"
CRITERION = "cross_entropy"
"""What epochs are compared by: unlike the loss it has no L2 in it, which differs between phases."""


@dataclass(frozen=True)
class Training:
    """How `fit` trains.

    Parameters
    ----------
    epochs : int
        Of fine-tuning: all layers that `build` did not freeze are trained.
    transfer_epochs : int
        Before them, of training the head alone, with the whole backbone frozen; 0 is direct
        fine-tuning.
    batch_size : int
    optimizer : "adamw" or "lion"
        Lion [1]_ wants a learning rate three to ten times smaller.
    learning_rate : float
        The highest one of fine-tuning.
    transfer_learning_rate : float
        The highest one of training the head.
    weight_decay : float
        Decoupled, of the optimizer; beside the L2 of `build`.
    schedule : "cosine" or "constant"
        The cosine falls to 0 at the end of each phase.
    warmup : float
        Share of a phase's steps in which the learning rate rises to its highest, in [0, 1].
    class_weight : "none" or "balanced"
        Balanced: every class counts the same in the loss, as `cellprep.class_weights` has it.
    patience : int or None
        Epochs of fine-tuning without a lower validation cross-entropy before it ends. None: never
        before the end.
    seed : int
        Of the order of images and of dropout, each made anew from (seed, epoch).

    References
    ----------
    .. [1] X. Chen et al. Symbolic Discovery of Optimization Algorithms. NeurIPS 2023.

    Examples
    --------
    >>> Training(epochs=3, optimizer="lion").batch_size
    32
    """

    epochs: int = 20
    transfer_epochs: int = 0
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float = 3e-4
    transfer_learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warmup: float = 0.1
    class_weight: str = "none"
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        in_range("epochs", self.epochs, 0, 10**6, whole=True)
        in_range("transfer_epochs", self.transfer_epochs, 0, 10**6, whole=True)
        if not self.total:
            raise CellprepError("`epochs` and `transfer_epochs` are both 0: nothing is trained")
        in_range("batch_size", self.batch_size, 1, 2**20, whole=True)
        one_of("optimizer", self.optimizer, ("adamw", "lion"))
        in_range("learning_rate", self.learning_rate, 0, 10)
        in_range("transfer_learning_rate", self.transfer_learning_rate, 0, 10)
        in_range("weight_decay", self.weight_decay, 0, 10)
        one_of("schedule", self.schedule, ("cosine", "constant"))
        in_range("warmup", self.warmup, 0, 1)
        one_of("class_weight", self.class_weight, ("none", "balanced"))
        if self.patience is not None:
            in_range("patience", self.patience, 1, 10**6, whole=True)
        check_seed(self.seed)

    @property
    def total(self) -> int:
        """Epochs of both phases."""
        return self.transfer_epochs + self.epochs

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Training:
        """From a table; an unknown setting is refused with the nearest one."""
        known = [setting.name for setting in fields(cls)]
        for name in settings:
            if name not in known:
                raise CellprepError(f"training has no setting {name!r}; {nearest(name, known)}")
        return cls(**settings)


@dataclass(frozen=True)
class Fitted:
    """What a training came to.

    Attributes
    ----------
    history : dict
        One value an epoch: loss (with its L2), accuracy, cross_entropy (without it),
        learning_rate, and val_loss, val_accuracy, val_cross_entropy.
    path : Path or None
        Of the saved model.
    best_epoch : int
        The epoch whose weights the model has now, from 0: the lowest validation cross-entropy, or
        the last where there is no validation set.
    stopped_early : bool
    seconds : float
        Of training, those of an interrupted run included.
    resumed_at : int
        The epoch that this call went on from; 0 for a fresh training.
    """

    history: Mapping[str, list[float]]
    path: Path | None
    best_epoch: int
    stopped_early: bool
    seconds: float
    resumed_at: int


@dataclass
class State:
    """All that a training carries from epoch to epoch beside the model and its optimizer."""

    epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    best: float = float("inf")
    best_epoch: int = -1
    best_weights: list[NDArray[Any]] = field(default_factory=list)
    seconds: float = 0.0

    def waited(self, settings: Training) -> int:
        """Epochs of fine-tuning since the best one."""
        return self.epoch - max(self.best_epoch + 1, settings.transfer_epochs)

    def ended(self, settings: Training) -> bool:
        early = settings.patience is not None and self.waited(settings) >= settings.patience
        return early or self.epoch >= settings.total


def fit(
    model: Any,
    train: Data,
    val: Data | None = None,
    *,
    test: Data | None = None,
    out: str | Path | None = None,
    allow_leaks: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Fitted:
    """Train a model; the same call goes on where a killed one stopped.

    After every epoch the folder `out` holds a checkpoint: weights, the optimizer's state, the
    history and the best weights so far. The order of images and the seeds of dropout are made
    anew from (seed, epoch), so that a resumed training has the history of one that was not
    interrupted. At the end the model has the weights of the epoch with the lowest validation
    cross-entropy (without validation set, of the last one) and stands in `out/model.keras`, with
    its class names, the recipe of its data and all versions inside.

    Parameters
    ----------
    model : keras.Model
        As `build` made it; trained in place.
    train : path, Dataset, or (images, labels)
        Anything that `cellprep.read` reads; images must be of the model's size.
    val : path, Dataset, or (images, labels), optional
        What epochs are compared on.
    test : path, Dataset, or (images, labels), optional
        Only looked at for leaks.
    out : str or Path, optional
        Folder of the checkpoint and the model. Without it nothing is saved.
    allow_leaks : bool
        Do not look for images of `train` in `val` and `test`.
    progress : bool
        Show a bar an epoch.
    **settings
        Those of `Training`: epochs, transfer_epochs, batch_size, optimizer, learning_rate,
        transfer_learning_rate, weight_decay, schedule, warmup, class_weight, patience, seed.

    Returns
    -------
    Fitted

    Raises
    ------
    CellprepError
        Before anything long starts: for data that do not fit the model or each other, a class
        without images, leaks, and a folder that holds another training.

    Examples
    --------
    >>> fit(model, "out/train", "out/val", out="out/b0", epochs=10)  # doctest: +SKIP
    """
    how = Training.of(settings)
    with executors.using(progress=progress):
        parts, saved = prepare(model, train, val, how, test=test, out=out, allow_leaks=allow_leaks)
    cells, folder = parts["train"], None if out is None else Path(out)
    flags = [layer.trainable for layer in model.layers]
    try:
        state, resumed = _run(model, parts, how, saved, progress)
    finally:
        _set_trainable(model, flags)
    if state.best_weights:
        _set_weights(model, state.best_weights)
    best_epoch = state.best_epoch if state.best_epoch >= 0 else state.epoch - 1
    model.card = card_of(model, cells, how, state, best_epoch)
    if folder is not None and not (resumed == state.epoch and (folder / MODEL).is_file()):
        save(model, folder / MODEL, model.card)
    return Fitted(
        history=state.history,
        path=None if folder is None else folder / MODEL,
        best_epoch=best_epoch,
        stopped_early=state.epoch < how.total,
        seconds=state.seconds,
        resumed_at=resumed,
    )


def prepare(
    model: Any,
    train: Data,
    val: Data | None,
    how: Training,
    *,
    test: Data | None = None,
    out: str | Path | None = None,
    allow_leaks: bool = False,
) -> tuple[dict[str, Dataset], Checkpoint | None]:
    """The data sets and the checkpoint of a training: all that can be refused is refused here."""
    parts = _parts(model, train, val, test, allow_leaks)
    if how.patience is not None and "val" not in parts:
        raise CellprepError("`patience` looks at validation images; pass a `val` set too")
    if out is None:
        return parts, None
    made_of = {
        "model": _shape_of(model),
        "settings": asdict(how),
        "data": identity(parts["train"]),
    }
    saved = Checkpoint(Path(out) / CHECKPOINT, json.loads(json.dumps(made_of)))
    if (saved.path.parent / MODEL).is_file() and not saved.path.is_file():
        raise CellprepError(
            f"{str(out)!r} holds a trained model without its checkpoint; choose another folder, or "
            "move it away"
        )
    return parts, saved


def card_of(model: Any, cells: Dataset, how: Training, state: State, best_epoch: int) -> Card:
    """What a trained model says of itself."""
    return Card(
        model=model.name,
        class_names=tuple(cells.class_names),
        recipe=tuple(recipe_of(cells)),
        settings=asdict(how),
        history=state.history,
        best_epoch=best_epoch,
        seconds=round(state.seconds, 2),
        versions=versions(),
    )


def _parts(
    model: Any, train: Data, val: Data | None, test: Data | None, allow_leaks: bool
) -> dict[str, Dataset]:
    """The data sets, checked against the model and each other."""
    given = {"train": train, "val": val, "test": test}
    parts: dict[str, Dataset] = {}
    for name, data in given.items():
        if data is None:
            continue
        names = parts["train"].class_names if parts else None
        parts[name] = part = whole(as_dataset(data, name, names))
        check_fits(model, part, name)
        check_classes(part, name, parts["train"].class_names)
    named = list(parts)
    for place, first in enumerate(named):
        for second in named[place + 1 :]:
            check_apart(parts[first], parts[second], (first, second), allow_leaks)
    return parts


def _run(
    model: Any, parts: Mapping[str, Dataset], how: Training, saved: Checkpoint | None, bar: bool
) -> tuple[State, int]:
    """Train epoch by epoch, from the checkpoint on if there is one."""
    state, optimizer = saved.load() if saved else (State(), [])
    resumed, phase = state.epoch, ""
    if saved and state.epoch:
        _set_weights(model, saved.weights)
    weights = class_weights(parts["train"].labels) if how.class_weight == "balanced" else None
    flags = [layer.trainable for layer in model.layers]
    head_only = [False] * len(backbone_layers(model)) + flags[len(backbone_layers(model)) :]
    while not state.ended(how):
        now = "transfer" if state.epoch < how.transfer_epochs else "fine-tuning"
        if now != phase:
            phase, first = now, how.transfer_epochs if now == "fine-tuning" else 0
            _set_trainable(model, head_only if phase == "transfer" else flags)
            compile_for(model, how, phase, len(parts["train"]))
            if resumed == state.epoch > first:
                _set_optimizer(model, optimizer)
        started = time.perf_counter()
        _dropout_from(model, how.seed, state.epoch)
        measured = _epoch(model, parts, how, state.epoch, weights, bar)
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
        if saved:
            saved.write(state, model)
    return state, resumed


def _set_trainable(model: Any, flags: Sequence[bool]) -> None:
    for layer, flag in zip(model.layers, flags, strict=True):
        layer.trainable = flag


def compile_for(model: Any, how: Training, phase: str, images: int) -> None:
    """A fresh optimizer and schedule for a phase; Keras takes what is frozen as it is now."""
    import keras

    epochs = how.transfer_epochs if phase == "transfer" else how.epochs
    rate = how.transfer_learning_rate if phase == "transfer" else how.learning_rate
    steps = epochs * -(-images // how.batch_size)
    rising = round(how.warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if rising else rate,
        decay_steps=max(steps - rising, 1),
        alpha=0.0 if how.schedule == "cosine" else 1.0,
        warmup_target=rate if rising else None,
        warmup_steps=rising,
    )
    kind = {"adamw": keras.optimizers.AdamW, "lion": keras.optimizers.Lion}[how.optimizer]
    model.compile(
        optimizer=kind(learning_rate=schedule, weight_decay=how.weight_decay),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseCategoricalCrossentropy(name=CRITERION),
        ],
    )


def _epoch(
    model: Any,
    parts: Mapping[str, Dataset],
    how: Training,
    epoch: int,
    weights: Mapping[int, float] | None,
    bar: bool,
) -> dict[str, float]:
    """What one epoch measured."""
    import keras
    from tqdm import tqdm

    from .loader import Batches

    order = parts["train"].plan.rows.shuffled(how.seed, epoch)
    batches = Batches(parts["train"], how.batch_size, order, weights)
    seen = Batches(parts["val"], how.batch_size) if "val" in parts else None
    title = f"epoch {epoch + 1}/{how.total}"
    with tqdm(total=len(batches), desc=title, unit="batch", disable=None if bar else True) as shown:
        step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: shown.update())
        run = model.fit(
            batches,
            validation_data=seen,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,  # of batches, by Keras; ours is in `order`
            verbose=0,
            callbacks=[step],
        )
        measured = {name: float(values[-1]) for name, values in run.history.items()}
        measured["learning_rate"] = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        shown.set_postfix({k: f"{v:.4g}" for k, v in measured.items() if k != "learning_rate"})
    return measured


def _dropout_from(model: Any, seed: int, epoch: int) -> None:
    """Set the generators of all dropout layers by seed, epoch and place in the model."""
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    keys = np.arange(len(states), dtype=np.uint64)
    bits = Draw(seed, "dropout", keys).bits(f"epoch {epoch}")
    for state, value in zip(states, bits.tolist(), strict=True):
        state.assign(np.array([value >> 32, value & 0xFFFFFFFF], np.uint32))


def _set_weights(model: Any, weights: list[NDArray[Any]]) -> None:
    model.set_weights(weights)
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # a Normalization keeps what follows from its weights
            layer.finalize_state()


def _set_optimizer(model: Any, values: list[NDArray[Any]]) -> None:
    model.optimizer.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, values, strict=True):
        variable.assign(value)


def _shape_of(model: Any) -> dict[str, Any]:
    """What a model is, whatever number Keras gave its layers: name, digest, frozen layers."""
    layers = []
    for layer in model.layers:
        config = {k: v for k, v in layer.get_config().items() if k != "name"}
        shapes = [list(weight.shape) for weight in layer.weights]
        layers.append([type(layer).__name__, config, shapes])
    text = json.dumps(layers, sort_keys=True, default=str)
    return {"name": model.name, "layers": xxhash.xxh3_128_hexdigest(text.encode())}


class Checkpoint:
    """One file that is replaced after every epoch, and refused where it is another training's."""

    def __init__(self, path: Path, made_of: Mapping[str, Any]) -> None:
        self.path, self.made_of = path, made_of
        self.weights: list[NDArray[Any]] = []

    def load(self) -> tuple[State, list[NDArray[Any]]]:
        """The state so far and the optimizer's; the model's weights are kept here."""
        if not self.path.is_file():
            return State(), []
        try:
            with np.load(self.path, allow_pickle=False) as held:
                about = json.loads(str(held["about"]))
                groups = {
                    name: [held[f"{name}/{k}"] for k in range(count)]
                    for name, count in about["arrays"].items()
                }
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise CellprepError(
                f"{str(self.path)!r} cannot be read as a checkpoint: {error}; delete it to begin "
                "again"
            ) from error
        if about["made_of"] != self.made_of:
            raise CellprepError(
                f"{str(self.path.parent)!r} holds another training "
                f"({_difference(about['made_of'], self.made_of)}); choose another folder"
            )
        self.weights = groups["model"]
        return State(**about["state"], best_weights=groups["best"]), groups["optimizer"]

    def write(self, state: State, model: Any) -> None:
        import keras

        groups = {
            "model": model.get_weights(),
            "optimizer": [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables],
            "best": state.best_weights,
        }
        about = {
            "made_of": self.made_of,
            "state": {k: v for k, v in vars(state).items() if k != "best_weights"},
            "arrays": {name: len(arrays) for name, arrays in groups.items()},
        }
        arrays = {f"{name}/{k}": a for name, held in groups.items() for k, a in enumerate(held)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{os.getpid()}.{self.path.name}")
        try:
            with temporary.open("wb") as file:
                np.savez(file, about=np.array(json.dumps(about)), **arrays)
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first thing in which two trainings differ."""
    for part, held in here.items():
        for name, value in held.items():
            other = there.get(part, {}).get(name)
            if other != value:
                if isinstance(value, str | int | float) and name not in ("layers", "rows"):
                    return f"{part} {name} {other} there, {value} here"
                return f"other {name} of the {part}"
    return "of another version"
