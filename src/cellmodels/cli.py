"""`cellmodels` on the command line: arguments to calls.

Exit codes: 0 done, 1 a bug, 2 refused, 130 stopped.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

import cellprep
from cellprep import CellprepError, Dataset
from cellprep.cli.commands import SETTINGS, Commands, OneOf, completion, resumable, said
from cellprep.cli.options import PATH, options
from cellprep.cli.show import in_bytes, in_time, tell, tell_json
from cellprep.errors import counted, in_range, require
from cellprep.system import executors

from .backbones import BACKBONES, build
from .compare import compare as compare_rows
from .compare import plan_compare, show
from .evaluate import SUITES
from .evaluate import evaluate as measure
from .evaluate import predict as probabilities
from .files import load
from .forecast import Forecast, forecast
from .saliency import overlay, share_inside
from .saliency import saliency as saliency_maps
from .train import CHECKPOINT, Training, fit

_LOCAL = click.Path(path_type=Path)
_batch = click.option(
    "--batch-size", type=int, metavar="N", default=64, show_default=True, help="Images at a time."
)
_leaks = click.option("--allow-leaks", is_flag=True, help="Do not look for shared images.")


@click.group(cls=Commands, context_settings=SETTINGS)
@click.version_option(cellprep.__version__, prog_name="cellmodels")
def main() -> None:
    """Train classifiers on what cellprep wrote, measure them, and see what they
    look at.

    Example: cellmodels train out/train out/val out/b0
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # what TensorFlow says is not our output


main.add_command(completion("cellmodels"))


@main.command()
@click.argument("train", type=PATH)
@click.argument("val", type=PATH)
@click.argument("out", type=_LOCAL)
@click.option(
    "--model",
    type=OneOf([*BACKBONES]),
    metavar="NAME",
    default="efficientnet_b0",
    help=f"{', '.join(BACKBONES)}.  [default: efficientnet_b0]",
)
@click.option(
    "--weights", metavar="FROM", default="imagenet", show_default=True, help="Or none, or a file."
)
@click.option("--test", type=PATH, metavar="PATH", help="Look for leaks into this set too.")
@click.option(
    "--epochs", type=int, metavar="N", default=20, show_default=True, help="Of all layers."
)
@click.option(
    "--transfer-epochs",
    type=int,
    metavar="N",
    default=0,
    show_default=True,
    help="Of the head alone, before.",
)
@click.option(
    "--batch-size", type=int, metavar="N", default=32, show_default=True, help="Images a step."
)
@click.option(
    "--optimizer",
    type=OneOf(["adamw", "lion"]),
    metavar="NAME",
    default="adamw",
    show_default=True,
    help="Or lion.",
)
@click.option(
    "--learning-rate", type=float, metavar="X", default=3e-4, show_default=True, help="The highest."
)
@click.option(
    "--weight-decay", type=float, metavar="X", default=1e-4, show_default=True, help="Decoupled."
)
@click.option("--balanced", is_flag=True, help="Every class counts the same.")
@click.option("--patience", type=int, metavar="N", help="Epochs without a better one on VAL.")
@click.option(
    "--frozen", metavar="N", default="0", help="First layers: a number, or a share (0.5)."
)
@click.option(
    "--precision",
    type=OneOf(["auto", "float32", "mixed"]),
    metavar="NAME",
    default="auto",
    show_default=True,
    help="Or float32, mixed.",
)
@options("seed", "size")
@_leaks
@options("dry_run", "json")
@resumable
def train(
    train: Path,
    val: Path,
    out: Path,
    model: str,
    weights: str,
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
    """Train a model, and save its best epoch to OUT/model.keras. Images come from
    TRAIN, epochs are compared on VAL. The same command goes on where it was stopped.

    Example: cellmodels train out/train out/val out/b0 --epochs 10
    """
    settings["class_weight"] = "balanced" if balanced else "none"
    Training.of(settings)
    parts = {"train": train, "val": val, "test": test}
    cells = {name: _read(path, size) for name, path in parts.items() if path is not None}
    _load_keras()
    # A dry run fetches no weights; where a training has begun they are there.
    fetched = weights == "imagenet" and not (out / CHECKPOINT).is_file()
    built = build(
        model,
        len(cells["train"].class_names),
        cells["train"].shape[1:],
        weights=None if weights == "none" or (dry_run and fetched) else weights,
        frozen=_frozen(frozen),
        precision=precision,
        seed=settings["seed"],
    )
    shown = {"allow_leaks": allow_leaks, "progress": not as_json}
    given = {"test": cells.get("test"), "out": out, **shown, **settings}
    if dry_run:
        found = forecast(built, cells["train"], cells["val"], **given)
        if as_json:
            return tell_json({"dry_run": True, **asdict(found)})
        return _tell(out, model, found)
    done = fit(built, cells["train"], cells["val"], **given)
    if as_json:
        tell_json({**asdict(done), "path": str(done.path)})
        return
    best = {name: values[done.best_epoch] for name, values in done.history.items()}
    click.echo(
        f"{done.path}: epoch {done.best_epoch + 1} of {len(done.history['loss'])}, accuracy "
        f"{best['accuracy']:.4f}, on {val} {best['val_accuracy']:.4f}; {done.seconds:.0f} s"
    )


@main.command()
@click.argument("model", type=_LOCAL)
@click.argument("test", type=PATH)
@click.option(
    "--shifted",
    type=OneOf(SUITES),
    multiple=True,
    metavar="SUITE",
    help="Measure heavy, microscopy too; repeatable.",
)
@click.option("--severity", type=int, metavar="N", help="Of microscopy, 1 to 5.  [default: drawn]")
@click.option(
    "--train", type=PATH, metavar="PATH", help="Refuse a TEST that shares images with this set."
)
@click.option("--figure", type=_LOCAL, metavar="FILE", help="Draw confusion and reliability.")
@options("seed", "size")
@_leaks
@_batch
@options("json")
@said
def evaluate(
    model: Path,
    test: Path,
    train: Path | None,
    figure: Path | None,
    size: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure MODEL on TEST, as it is and shifted.

    Example: cellmodels evaluate out/b0/model.keras out/test --shifted heavy
    """
    cells = _read(test, size)
    learnt = None if train is None else _read(train, size)
    report = measure(_load(model), cells, train=learnt, progress=not as_json, **options)
    if figure is not None:
        report.figure(figure)
    click.echo(report.to_json() if as_json else report.table())


@main.command()
@click.argument("model", type=_LOCAL)
@click.argument("input", type=PATH)
@click.argument("out", type=_LOCAL)
@click.option(
    "--images",
    type=int,
    metavar="N",
    default=8,
    show_default=True,
    help="From all classes in turn.",
)
@options("size", "json")
@said
def saliency(
    model: Path, input: Path, out: Path, images: int, size: int | None, as_json: bool
) -> None:
    """Draw what MODEL looks at in images of INPUT: the picture OUT.

    And print the share of saliency inside the cells' masks, which are those of
    INPUT or found by cellprep.segment, and the share that the masks cover.

    Example: cellmodels saliency out/b0/model.keras out/test saliency.png
    """
    in_range("images", images, 1, 64, whole=True)
    cells, trained = _read(input, size), _load(model)
    rows = _in_turn(cells, images)
    shown = cells.images[rows]
    maps = saliency_maps(trained, shown, cells.labels[rows])
    masks = cells.masks[rows] if cells.source.has_masks else cellprep.segment(shown)
    titles = [cells.class_names[label] for label in cells.labels[rows]]
    overlay(out, shown, maps, titles=titles, masks=masks)
    share, area = float(np.nanmean(share_inside(maps, masks))), float(masks.mean())
    if as_json:
        found = {"path": str(out), "images": len(rows), "share_inside": share, "mask_area": area}
        tell_json(found)
    else:
        click.echo(f"{out}: {share:.1%} of saliency inside the masks, which cover {area:.1%}")


@main.command()
@click.argument("table", type=_LOCAL)
@click.argument("out", type=_LOCAL)
@click.option("--data", type=PATH, metavar="PATH", help="In place of the table's own.")
@options("dry_run", "json")
@resumable
def compare(table: Path, out: Path, data: Path | None, dry_run: bool, as_json: bool) -> None:
    """Train and measure every row of TABLE, a TOML file. The result goes to OUT;
    the same command goes on where it was stopped, row by row, epoch by epoch.

    Example: cellmodels compare examples/table1.toml out/table1 --data cells.npz
    """
    if table.is_file():
        _load_keras()
    if dry_run:
        planned = plan_compare(table, out, data=data, progress=not as_json)
        if as_json:
            click.echo(planned.to_json(orient="records", indent=1))
            return
        click.echo(planned.to_string(index=False))
        total = in_time(planned["seconds"].sum())
        click.echo(f"{out}: {total} of training here; a dry run: nothing was written")
        return
    result = compare_rows(table, out, data=data, progress=not as_json)
    if as_json:
        click.echo(result.to_json(orient="records", indent=1))
    else:
        click.echo(f"{show(result)}\n\nsaved to {out / 'table.csv'}")


@main.command()
@click.argument("model", type=_LOCAL)
@click.argument("input", type=PATH)
@options("size")
@_batch
@options("json")
@said
def predict(model: Path, input: Path, size: int | None, batch_size: int, as_json: bool) -> None:
    """Print the class of each image of INPUT, as CSV.

    Columns: id, copy, class, probability.

    Example: cellmodels predict out/b0/model.keras out/test > predicted.csv
    """
    cells, trained = _read(input, size), _load(model)
    found = probabilities(trained, cells, batch_size=batch_size)
    table = cells.table()[["id", "copy"]]
    table["class"] = np.array(trained.card.class_names, dtype=object)[found.argmax(axis=1)]
    table["probability"] = found.max(axis=1).round(6)
    if as_json:
        click.echo(table.to_json(orient="records", indent=1))
    else:
        click.echo(table.to_csv(index=False), nl=False)


def _load_keras() -> None:
    """Import Keras; what TensorFlow writes meanwhile, past Python, is not our output."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        require("keras", "models")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def _load(model: Path) -> Any:
    if model.is_file():
        _load_keras()
    return load(model)


def _tell(out: Path, model: str, found: Forecast) -> None:
    """A dry run of a training."""
    images = ", ".join(f"{name} {many:,}" for name, many in found.images.items())
    lines = [
        f"{out}: {model}, {found.parameters:,} parameters, "
        f"{counted(found.classes, 'class', 'classes')}, {in_bytes(found.bytes)}",
        f"  images: {images}; {counted(found.epochs, 'epoch')} of "
        f"{counted(found.steps, 'batch', 'batches')}",
    ]
    if found.resumed_at:
        lines.append(f"  {counted(found.resumed_at, 'epoch')} of them done by an earlier run")
    took, sampled = in_time(found.seconds), counted(found.sampled, "batch", "batches")
    lines.append(f"{took} of training here, from {sampled}; a dry run: nothing was written")
    tell("\n".join(lines))


def _read(path: Path, size: int | None) -> Dataset:
    with executors.using(progress=False):
        return cellprep.read(path) if size is None else cellprep.read(path, size=size)


def _frozen(text: str) -> int | float:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise CellprepError(
            f"`--frozen` must be a number of layers or a share such as 0.5, got {text!r}"
        ) from None


def _in_turn(cells: Dataset, many: int) -> list[int]:
    """The first rows of all classes in turn."""
    labels = cells.labels
    rank = np.zeros(len(labels), np.int64)
    for label in range(len(cells.class_names)):
        rank[labels == label] = np.arange((labels == label).sum())
    rows: list[int] = np.lexsort((labels, rank))[:many].tolist()
    return rows
