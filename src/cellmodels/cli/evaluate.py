"""`cellmodels evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cellprep.cli.shared import PATH, OneOf, one_line_errors, options

from ..evaluation.evaluate import evaluate as measure
from ..evaluation.shift import SUITES
from .common import LOCAL, allow_leaks, open_data, open_models, prediction


@click.command(short_help="Evaluate a model on clean and shifted images.")
@click.argument("models", metavar="MODEL...", type=LOCAL, nargs=-1, required=True)
@click.argument("test", type=PATH)
@click.option(
    "--shifted",
    type=OneOf(SUITES),
    multiple=True,
    metavar="SUITE",
    help="Also heavy or microscopy; repeatable.",
)
@click.option("--severity", type=int, metavar="N", help="Of microscopy, 1 to 5.  [default: random]")
@click.option(
    "--train", type=PATH, metavar="PATH", help="Refuse a TEST that shares images with this set."
)
@click.option("--figure", type=LOCAL, metavar="FILE", help="Plot confusion and reliability.")
@click.option(
    "--classes",
    metavar="NAMES",
    default="all",
    show_default=True,
    help="Allowed: all, present (in TEST), or a,b,c.",
)
@prediction
@options("seed", "size")
@allow_leaks
@options("json")
@one_line_errors
def evaluate(
    models: tuple[Path, ...],
    test: Path,
    train: Path | None,
    figure: Path | None,
    classes: str,
    size: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate MODEL, or several together, on TEST as it is, and shifted:
    corrupted by heavy (strong changes) or microscopy (defects of a camera).

    \b
    Example:
      cellmodels evaluate out/m1/model.keras out/demo/test --shifted heavy
    """
    cells = open_data(test, size)
    trained_on = None if train is None else open_data(train, size)
    report = measure(
        open_models(models),
        cells,
        train=trained_on,
        classes=classes if classes in ("all", "present") else classes.split(","),
        progress=not as_json,
        **options,
    )
    if figure is not None:
        report.figure(figure)
    click.echo(report.to_json() if as_json else report.table())
