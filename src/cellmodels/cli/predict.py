"""`cellmodels predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from cellprep.cli.shared import PATH, csv_text, one_line_errors, options

from ..evaluation.predict import predict as probabilities_of
from ..evaluation.prepared import open_prepared
from ..evaluation.together import as_models
from .common import LOCAL, open_models, prediction


@click.command()
@click.argument("models", metavar="MODEL...", type=LOCAL, nargs=-1, required=True)
@click.argument("input", type=PATH)
@click.option("--classes", metavar="NAMES", help="The classes that can occur: a,b,c.  [all]")
@click.option("--probabilities", "every", is_flag=True, help="Also print that of each class.")
@prediction
@options("size", "json")
@one_line_errors
def predict(
    models: tuple[Path, ...],
    input: Path,
    classes: str | None,
    every: bool,
    size: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Print the class that MODEL, or several together, predicts for each image of
    INPUT as CSV. INPUT needs no labels: a folder of images, or one image, is enough.
    Files are resized, cropped and masked as the training images were.

    Columns: id, copy, class, probability.

    Example: cellmodels predict out/m1/model.keras out/demo/test > predicted.csv
    """
    trained = as_models(open_models(models))
    cells = open_prepared(trained, input, size)
    allowed = None if classes is None else classes.split(",")
    found = probabilities_of(trained, cells, classes=allowed, progress=not as_json, **options)
    table, names = cells.table()[["id", "copy"]], trained[0].card.class_names
    table["class"] = np.array(names, dtype=object)[found.argmax(axis=1)]
    table["probability"] = found.max(axis=1).round(6)
    if every:
        table[list(names)] = found.round(6)
    if as_json:
        click.echo(table.to_json(orient="records", indent=1))
    else:
        click.echo(csv_text(table), nl=False)
