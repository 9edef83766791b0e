"""`cellmodels train`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cellprep import CellprepError, Recipe
from cellprep.cli.shared import (
    PATH,
    OneOf,
    in_bytes,
    in_time,
    options,
    print_json,
    print_text,
    resumable,
)
from cellprep.errors import counted

from ..data.checks import preparation
from ..models.backbones import BACKBONES
from ..models.build import build
from ..training.checkpoint import CHECKPOINT
from ..training.fit import Fitted, fit
from ..training.forecast import Forecast, forecast
from ..training.settings import Training
from .common import LOCAL, allow_leaks, import_keras, open_data


@click.command(short_help="Train a model, and save its best epoch.")
@click.argument("train", type=PATH)
@click.argument("val", type=PATH)
@click.argument("out", type=LOCAL)
@click.option(
    "--model",
    type=OneOf([*BACKBONES]),
    metavar="NAME",
    default="efficientnet_b0",
    help=f"{', '.join(BACKBONES)}.  [default: efficientnet_b0]",
)
@click.option(
    "--weights",
    metavar="FROM",
    default="imagenet",
    show_default=True,
    help="imagenet, none or a file.",
)
@click.option(
    "--fresh", type=PATH, metavar="RECIPE", help="Apply this recipe, with fresh copies every epoch."
)
@click.option("--test", type=PATH, metavar="PATH", help="Look for leaks into this set too.")
@click.option(
    "--epochs", type=int, metavar="N", default=20, show_default=True, help="Epochs of fine-tuning."
)
@click.option("--images", type=int, metavar="N", help="Train on N images instead of --epochs.")
@click.option(
    "--transfer-epochs",
    type=int,
    metavar="N",
    default=0,
    show_default=True,
    help="First train the head only.",
)
@click.option(
    "--batch-size", type=int, metavar="N", default=32, show_default=True, help="Images per step."
)
@click.option(
    "--optimizer",
    type=OneOf(["adamw", "lion"]),
    metavar="NAME",
    default="adamw",
    show_default=True,
    help="adamw or lion.",
)
@click.option(
    "--learning-rate",
    type=float,
    metavar="X",
    default=3e-4,
    show_default=True,
    help="Highest learning rate.",
)
@click.option(
    "--weight-decay",
    type=float,
    metavar="X",
    default=1e-4,
    show_default=True,
    help="Decoupled weight decay.",
)
@click.option(
    "--mixup", type=float, metavar="X", default=0.0, help="Blend images and labels, e.g. 0.2."
)
@click.option(
    "--cutmix", type=float, metavar="X", default=0.0, help="Paste boxes of other images, e.g. 1.0."
)
@click.option(
    "--label-smoothing", type=float, metavar="X", default=0.0, help="Smooth labels, e.g. 0.1."
)
@click.option(
    "--head",
    type=OneOf(["trained", "balanced"]),
    metavar="NAME",
    default="trained",
    help="balanced: then retrain it, classes equal.",
)
@click.option("--balanced", is_flag=True, help="Give all classes the same weight.")
@click.option(
    "--patience", type=int, metavar="N", help="Stop after N epochs without improvement on VAL."
)
@click.option(
    "--frozen", metavar="N", default="0", help="Freeze the first N layers, or a fraction (0.5)."
)
@click.option(
    "--precision",
    type=OneOf(["auto", "float32", "mixed"]),
    metavar="NAME",
    default="auto",
    show_default=True,
    help="auto, float32, mixed.",
)
@options("seed", "size")
@allow_leaks
@options("dry_run", "json")
@resumable
def train(
    train: Path,
    val: Path,
    out: Path,
    model: str,
    weights: str,
    fresh: Path | None,
    test: Path | None,
    balanced: bool,
    frozen: str,
    precision: str,
    size: int | None,
    allow_leaks: bool,
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a model on TRAIN and save its best epoch to OUT/model.keras. Epochs
    are compared on VAL. The same command resumes an interrupted training.
    With --fresh, TRAIN is a split without copies; of the recipe, VAL and TEST
    get Crop and KMeansMask only.

    \b
    Example:
      cellmodels train out/demo/train out/demo/val out/m1 --model baseline_cnn
    """
    settings |= {"class_weight": "balanced" if balanced else "none", "fresh": fresh is not None}
    Training.of(settings)
    paths = {"train": train, "val": val, "test": test}
    splits = {name: open_data(path, size) for name, path in paths.items() if path is not None}
    if fresh is not None:
        recipe = Recipe.from_toml(fresh)
        for name, split in splits.items():
            splits[name] = (recipe if name == "train" else preparation(recipe))(split)
    import_keras()
    # A dry run downloads no weights; if a training has begun, they have been downloaded.
    missing = weights == "imagenet" and not (out / CHECKPOINT).is_file()
    built = build(
        model,
        len(splits["train"].class_names),
        splits["train"].shape[1:],
        weights=None if weights == "none" or (dry_run and missing) else weights,
        frozen=_frozen(frozen),
        precision=precision,
        seed=settings["seed"],
    )
    data = (splits["train"], splits["val"])
    given = {"test": splits.get("test"), "out": out, "allow_leaks": allow_leaks, **settings}
    if dry_run:
        _show_forecast(out, model, forecast(built, *data, **given), as_json)
    else:
        _show_result(val, fit(built, *data, progress=not as_json, **given), as_json)


def _show_forecast(out: Path, model: str, found: Forecast, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": True, **asdict(found)})
        return
    images = ", ".join(f"{name} {count:,}" for name, count in found.images.items())
    lines = [
        f"{out}: {model}, {found.parameters:,} parameters, "
        f"{counted(found.classes, 'class', 'classes')}, {in_bytes(found.bytes)}",
        f"  images: {images}; {counted(found.epochs, 'epoch')} of "
        f"{counted(found.steps, 'batch', 'batches')}",
    ]
    if found.resumed_at:
        lines.append(f"  {counted(found.resumed_at, 'epoch')} done by an earlier run")
    time, sampled = in_time(found.seconds), counted(found.sampled, "batch", "batches")
    lines.append(
        f"training here takes {time} (estimated from {sampled}); dry run, nothing was written"
    )
    print_text("\n".join(lines))


def _show_result(val: Path, done: Fitted, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(done), "path": str(done.path)})
        return
    best = {name: values[done.best_epoch] for name, values in done.history.items()}
    click.echo(
        f"{done.path}: epoch {done.best_epoch + 1} of {len(done.history['loss'])}, accuracy "
        f"{best['accuracy']:.4f}, on {val} {best['val_accuracy']:.4f}; {done.seconds:.0f} s"
    )


def _frozen(text: str) -> int | float:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise CellprepError(
            f"`--frozen` must be a number of layers or a fraction such as 0.5, got {text!r}"
        ) from None
