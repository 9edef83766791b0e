"""`cellmodels evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cellprep.cli.shared import PATH, OneOf, one_line_errors, options

from ..evaluation.evaluate import evaluate as measure
from ..evaluation.shift import SUITES
from .common import LOCAL, allow_leaks, batch_size, open_data, open_model


@click.command(short_help="Evaluate a model on clean and shifted images.")
@click.argument("model", type=LOCAL)
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
@options("seed", "size")
@allow_leaks
@batch_size
@options("json")
@one_line_errors
def evaluate(
    model: Path,
    test: Path,
    train: Path | None,
    figure: Path | None,
    size: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate MODEL on TEST as it is, and shifted: corrupted by the suites heavy
    (strong changes) and microscopy (defects of a microscope or camera).

    Example: cellmodels evaluate out/b0/model.keras out/test --shifted heavy
    """
    cells = open_data(test, size)
    trained_on = None if train is None else open_data(train, size)
    report = measure(open_model(model), cells, train=trained_on, progress=not as_json, **options)
    if figure is not None:
        report.figure(figure)
    click.echo(report.to_json() if as_json else report.table())
