"""`cellmodels` on the command line: arguments to calls.

Exit codes: 0 done, 1 a bug, 2 refused, 130 stopped.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

import cellprep
from cellprep import CellprepError, Dataset, executors
from cellprep.cli.commands import Commands, said
from cellprep.errors import in_range

from .backbones import build
from .compare import compare as compare_rows
from .compare import show
from .evaluate import evaluate as measure
from .evaluate import predict as probabilities
from .files import load
from .saliency import overlay, share_inside
from .saliency import saliency as saliency_maps
from .train import Training, fit

_Path = click.Path(path_type=Path)
_size = click.option("--size", type=int, help="Bring the images of a folder to SIZExSIZE.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_batch = click.option("--batch-size", type=int, default=64, show_default=True)
_leaks = click.option("--allow-leaks", is_flag=True, help="Do not look for shared images.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(cellprep.__version__, prog_name="cellmodels")
def main() -> None:
    """Train classifiers on what cellprep wrote, measure them, and see what they look at."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # what TensorFlow says is not our output


@main.command()
@click.argument("train", type=_Path)
@click.argument("val", type=_Path)
@click.argument("out", type=_Path)
@click.option("--model", default="efficientnet_b0", show_default=True)
@click.option("--weights", default="imagenet", show_default=True, help="Or none, or a file.")
@click.option("--test", type=_Path, help="Look for leaks into this set too.")
@click.option("--epochs", type=int, default=20, show_default=True)
@click.option("--transfer-epochs", type=int, default=0, help="Of the head alone, before.")
@click.option("--batch-size", type=int, default=32, show_default=True)
@click.option("--optimizer", default="adamw", show_default=True, help="Or lion.")
@click.option("--learning-rate", type=float, default=3e-4, show_default=True)
@click.option("--weight-decay", type=float, default=1e-4, show_default=True)
@click.option("--balanced", is_flag=True, help="Every class counts the same.")
@click.option("--patience", type=int, help="Epochs without a better one on VAL.")
@click.option("--frozen", default="0", help="First layers: a number, or a share (0.5).")
@click.option("--precision", default="auto", show_default=True, help="Or float32, mixed.")
@click.option("--seed", type=int, default=0, show_default=True)
@_size
@_leaks
@_json
@said
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
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a model on TRAIN and save the best epoch on VAL to OUT/model.keras.

    The same command goes on where it was stopped.

    Example: cellmodels train out/train out/val out/b0 --epochs 10
    """
    settings["class_weight"] = "balanced" if balanced else "none"
    Training.of(settings)
    parts = {"train": train, "val": val, "test": test}
    cells = {name: _read(path, size) for name, path in parts.items() if path is not None}
    built = build(
        model,
        len(cells["train"].class_names),
        cells["train"].shape[1:],
        weights=None if weights == "none" else weights,
        frozen=_frozen(frozen),
        precision=precision,
        seed=settings["seed"],
    )
    shown = {"allow_leaks": allow_leaks, "progress": not as_json}
    done = fit(
        built, cells["train"], cells["val"], test=cells.get("test"), out=out, **shown, **settings
    )
    if as_json:
        click.echo(json.dumps({**asdict(done), "path": str(done.path)}, indent=1))
        return
    best = {name: values[done.best_epoch] for name, values in done.history.items()}
    click.echo(
        f"{done.path}: epoch {done.best_epoch + 1} of {len(done.history['loss'])}, accuracy "
        f"{best['accuracy']:.4f}, on {val} {best['val_accuracy']:.4f}; {done.seconds:.0f} s"
    )


@main.command()
@click.argument("model", type=_Path)
@click.argument("test", type=_Path)
@click.option(
    "--shifted", multiple=True, metavar="SUITE", help="Measure heavy, microscopy too; repeatable."
)
@click.option("--severity", type=int, help="Of microscopy, 1 to 5.  [default: drawn]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the shifts.")
@click.option("--train", type=_Path, help="Refuse a TEST that shares images with this set.")
@click.option("--figure", type=_Path, help="Draw confusion and reliability.")
@_size
@_leaks
@_batch
@_json
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

    Example: cellmodels evaluate out/b0/model.keras out/test --shifted heavy --train out/train
    """
    cells = _read(test, size)
    learnt = None if train is None else _read(train, size)
    report = measure(load(model), cells, train=learnt, progress=not as_json, **options)
    if figure is not None:
        report.figure(figure)
    click.echo(report.to_json() if as_json else report.table())


@main.command()
@click.argument("model", type=_Path)
@click.argument("input", type=_Path)
@click.argument("out", type=_Path)
@click.option("--images", type=int, default=8, show_default=True, help="From all classes in turn.")
@_size
@_json
@said
def saliency(
    model: Path, input: Path, out: Path, images: int, size: int | None, as_json: bool
) -> None:
    """Draw what MODEL looks at in images of INPUT, into the picture OUT.

    Beside it: the share of saliency inside the cells' masks, which are those of INPUT if it has
    some and found by cellprep.segment if not, and the share of the image that the masks cover.

    Example: cellmodels saliency out/b0/model.keras out/test saliency.png
    """
    in_range("images", images, 1, 64, whole=True)
    cells, trained = _read(input, size), load(model)
    rows = _in_turn(cells, images)
    shown = cells.images[rows]
    maps = saliency_maps(trained, shown, cells.labels[rows])
    masks = cells.masks[rows] if cells.source.drawn else cellprep.segment(shown)
    titles = [cells.class_names[label] for label in cells.labels[rows]]
    overlay(out, shown, maps, titles=titles, masks=masks)
    share, area = float(np.nanmean(share_inside(maps, masks))), float(masks.mean())
    if as_json:
        found = {"path": str(out), "images": len(rows), "share_inside": share, "mask_area": area}
        click.echo(json.dumps(found, indent=1))
    else:
        click.echo(f"{out}: {share:.1%} of saliency inside the masks, which cover {area:.1%}")


@main.command()
@click.argument("table", type=_Path)
@click.argument("out", type=_Path)
@click.option("--data", type=_Path, help="In place of the table's own.")
@_json
@said
def compare(table: Path, out: Path, data: Path | None, as_json: bool) -> None:
    """Train and measure every row of TABLE (a TOML file), and write the result to OUT.

    The same command goes on where it was stopped, row by row and epoch by epoch.

    Example: cellmodels compare examples/table1.toml out/table1 --data train_data.npz
    """
    result = compare_rows(table, out, data=data, progress=not as_json)
    if as_json:
        click.echo(result.to_json(orient="records", indent=1))
    else:
        click.echo(f"{show(result)}\n\nsaved to {out / 'table.csv'}")


@main.command()
@click.argument("model", type=_Path)
@click.argument("input", type=_Path)
@_size
@_batch
@_json
@said
def predict(model: Path, input: Path, size: int | None, batch_size: int, as_json: bool) -> None:
    """Print the class of each image of INPUT, as CSV: id, copy, class, probability.

    Example: cellmodels predict out/b0/model.keras out/test > predicted.csv
    """
    cells, trained = _read(input, size), load(model)
    found = probabilities(trained, cells, batch_size=batch_size)
    table = cells.table()[["id", "copy"]]
    table["class"] = np.array(trained.card.class_names, dtype=object)[found.argmax(axis=1)]
    table["probability"] = found.max(axis=1).round(6)
    if as_json:
        click.echo(table.to_json(orient="records", indent=1))
    else:
        click.echo(table.to_csv(index=False), nl=False)


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
