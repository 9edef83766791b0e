"""`cellmodels predict`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from cellprep.cli.shared import PATH, one_line_errors, options

from ..evaluation.predict import predict as probabilities_of
from .common import LOCAL, batch_size, open_data, open_model


@click.command()
@click.argument("model", type=LOCAL)
@click.argument("input", type=PATH)
@options("size")
@batch_size
@options("json")
@one_line_errors
def predict(model: Path, input: Path, size: int | None, batch_size: int, as_json: bool) -> None:
    """Print the predicted class of each image of INPUT as CSV.

    Columns: id, copy, class, probability.

    Example: cellmodels predict out/b0/model.keras out/test > predicted.csv
    """
    cells, trained = open_data(input, size), open_model(model)
    probabilities = probabilities_of(trained, cells, batch_size=batch_size)
    table = cells.table()[["id", "copy"]]
    table["class"] = np.array(trained.card.class_names, dtype=object)[probabilities.argmax(axis=1)]
    table["probability"] = probabilities.max(axis=1).round(6)
    if as_json:
        click.echo(table.to_json(orient="records", indent=1))
    else:
        click.echo(table.to_csv(index=False), nl=False)
