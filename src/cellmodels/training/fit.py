"""`fit`: train a model on a data set; an interrupted training resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from cellprep import CellprepError, Dataset, profile
from cellprep.dataset.notebook import table, view
from cellprep.writing.output import writing_to

from ..atomic import local
from ..data.checks import (
    check_classes,
    check_disjoint,
    check_fits,
    check_preparation,
    check_varies,
)
from ..data.inputs import Data, as_dataset, readable, recipe_of
from ..models.files import Card, load, save, versions
from ..models.model_card import save_model_card
from ..models.outputs import outputs
from ..models.temperature import fit_temperature
from .checkpoint import CHECKPOINT, Checkpoint, State
from .epochs import set_weights, train_epochs
from .fused_norm import fused_norm
from .head import retrain_head
from .phases import set_trainable
from .settings import Training

MODEL = "model.keras"


@dataclass(frozen=True)
class Fitted:
    """The result of a training.

    Attributes
    ----------
    history : dict
        One value per epoch: loss (with its L2 penalty), accuracy, cross_entropy (without it),
        learning_rate, and val_loss, val_accuracy, val_cross_entropy.
    path : Path or None
        The saved model.
    best_epoch : int
        The epoch whose weights the model has now, counted from 0: the one with the lowest
        validation cross-entropy, or the last one without a validation set.
    stopped_early : bool
    seconds : float
        Training time, including that of interrupted runs.
    resumed_at : int
        The epoch that this call resumed at; 0 for a new training.
    """

    history: Mapping[str, list[float]]
    path: Path | None
    best_epoch: int
    stopped_early: bool
    seconds: float
    resumed_at: int

    def _repr_html_(self) -> str:
        """What a notebook shows: one row per epoch, and which one was kept."""
        epochs = range(max((len(values) for values in self.history.values()), default=0))
        rows = [
            (
                epoch + 1,
                *(values[epoch] if epoch < len(values) else "" for values in self.history.values()),
                "kept" if epoch == self.best_epoch else "",
            )
            for epoch in epochs
        ]
        where = "" if self.path is None else f": {self.path}"
        title = f"{len(epochs)} epochs in {self.seconds:.1f} s{where}"
        return view(title, [table(("epoch", *self.history, ""), rows)])


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
    """Train a model; the same call resumes an interrupted training.

    After every epoch the folder `out` has a checkpoint: weights, optimizer state, history and the
    best weights so far. The order of images and the seeds of dropout are recreated from
    (seed, epoch), so a resumed training has the same history as an uninterrupted one. At the end
    the model has the weights of the epoch with the lowest validation cross-entropy (without a
    validation set, of the last epoch) and is saved to `out/model.keras`, together with its class
    names, the recipe of its data, a temperature fitted on the validation set, and the versions of
    all libraries. `out/model-card.md` states these for people.

    Parameters
    ----------
    model : keras.Model
        From `build`; trained in place.
    train : path, Dataset, or (images, labels)
        Anything that `cellprep.read` reads, with images of the model's size.
    val : path, Dataset, or (images, labels), optional
        Validation set, by which epochs are compared.
    test : path, Dataset, or (images, labels), optional
        Checked for leaks only.
    out : str or Path, optional
        Folder of the checkpoint and the model. Without it nothing is saved.
    allow_leaks : bool
        Skip the search for images of `train` in `val` and `test`.
    progress : bool
        Show a progress bar for each epoch.
    **settings
        The fields of `Training`: epochs, images, transfer_epochs, batch_size, optimizer,
        learning_rate, transfer_learning_rate, weight_decay, schedule, warmup, class_weight,
        patience, seed, mixup, cutmix, label_smoothing, head, fresh.

    Returns
    -------
    Fitted

    Raises
    ------
    CellprepError
        Before training starts: for data that do not fit the model or each other, a class without
        images, leaks, and a folder that contains another training or is in use by another process.

    Examples
    --------
    >>> fit(model, "out/train", "out/val", out="out/b0", epochs=10)  # doctest: +SKIP
    """
    how = Training.of(settings)
    if out is None:
        return _fit(model, train, val, test, None, allow_leaks, progress, how)
    with writing_to(out, then="the same call continues the training"):
        return _fit(model, train, val, test, local(out), allow_leaks, progress, how)


def _fit(
    model: Any,
    train: Data,
    val: Data | None,
    test: Data | None,
    out: Path | None,
    allow_leaks: bool,
    progress: bool,
    how: Training,
) -> Fitted:
    """`fit`, as the only writer of the folder."""
    splits, checkpoint = prepare(
        model, train, val, how, test=test, out=out, allow_leaks=allow_leaks
    )
    how = how.sized(len(splits["train"]))
    flags = [layer.trainable for layer in model.layers]
    try:
        with fused_norm(model):
            state, resumed = train_epochs(model, splits, how, checkpoint, progress)
    finally:
        set_trainable(model, flags)
    if state.best_weights:
        set_weights(model, state.best_weights)
    best_epoch = state.best_epoch if state.best_epoch >= 0 else state.epoch - 1
    path = None if out is None else out / MODEL
    saved = path if path and resumed == state.epoch and path.is_file() else None
    if how.head == "balanced":
        if saved:
            set_weights(model, load(saved).get_weights())
        else:
            retrain_head(model, splits["train"], how, progress)
    temperature = None
    if "val" in splits:
        temperature = fit_temperature(outputs(model, splits["val"]), splits["val"].labels)
    model.card = card_of(model, splits["train"], how, state, best_epoch, temperature)
    if path and not saved:
        save_model_card(model.card, path.parent)
        save(model, path, model.card)
    return Fitted(
        history=state.history,
        path=path,
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
    """The splits and the checkpoint of a training, after every check that can refuse it."""
    splits = _checked_splits(model, train, val, test, allow_leaks)
    if how.fresh:
        check_varies(splits["train"], "train")
    if how.patience is not None and "val" not in splits:
        raise CellprepError("`patience` needs a validation set; pass `val` too")
    if out is None:
        return splits, None
    fingerprint = {
        "model": _describe(model),
        "settings": how.to_dict(),
        "data": _identity(splits["train"]),
    }
    checkpoint = Checkpoint(Path(out) / CHECKPOINT, json.loads(json.dumps(fingerprint)))
    if (Path(out) / MODEL).is_file() and not checkpoint.path.is_file():
        raise CellprepError(
            f"{str(out)!r} contains a trained model without its checkpoint; choose another folder, "
            "or move it away"
        )
    return splits, checkpoint


def card_of(
    model: Any,
    train: Dataset,
    how: Training,
    state: State,
    best_epoch: int,
    temperature: float | None = None,
) -> Card:
    """The card that is saved with a trained model."""
    return Card(
        model=model.name,
        class_names=tuple(train.class_names),
        recipe=tuple(recipe_of(train)),
        settings=how.to_dict(),
        history=state.history,
        best_epoch=best_epoch,
        seconds=round(state.seconds, 2),
        versions=versions(),
        temperature=temperature,
        profile=profile(train),
    )


def _checked_splits(
    model: Any, train: Data, val: Data | None, test: Data | None, allow_leaks: bool
) -> dict[str, Dataset]:
    """The data sets, checked against the model and against each other."""
    given = {"train": train, "val": val, "test": test}
    splits: dict[str, Dataset] = {}
    for name, data in given.items():
        if data is None:
            continue
        class_names = splits["train"].class_names if splits else None
        splits[name] = readable(as_dataset(data, name, class_names))
        check_fits(model, splits[name], name)
        check_classes(splits[name], name, splits["train"].class_names)
        check_preparation(recipe_of(splits["train"]), splits[name], name)
    names = list(splits)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            check_disjoint(splits[first], splits[second], (first, second), allow_leaks)
    return splits


def _identity(dataset: Dataset) -> dict[str, Any]:
    """What a training depends on in its data: rows, images, and the steps applied to them."""
    known = dataset.provenance()
    return {name: known[name] for name in ("rows", "images", "steps", "class_names")}


def _describe(model: Any) -> dict[str, Any]:
    """Name and digest of a model: its layers, their shapes and which are frozen.

    The names of layers are left out, because Keras numbers them.
    """
    layers = []
    for layer in model.layers:
        config = {k: v for k, v in layer.get_config().items() if k != "name"}
        shapes = [list(weight.shape) for weight in layer.weights]
        layers.append([type(layer).__name__, config, shapes])
    text = json.dumps(layers, sort_keys=True, default=str)
    return {"name": model.name, "layers": xxhash.xxh3_128_hexdigest(text.encode())}
