"""`cellmodels export`."""

from __future__ import annotations

from pathlib import Path

import click

from cellprep.cli.shared import one_line_errors

from ..models.export import to_onnx
from .common import LOCAL, open_model


@click.command()
@click.argument("model", type=LOCAL)
@click.option("--onnx", type=LOCAL, metavar="OUT", required=True, help="ONNX file to write.")
@one_line_errors
def export(model: Path, onnx: Path) -> None:
    """Write MODEL for programs without Keras. The ONNX file takes uint8 images of
    0-255 and returns the probability of each class.

    Example: cellmodels export out/m1/model.keras --onnx m1.onnx
    """
    written = to_onnx(open_model(model), onnx)
    click.echo(f"{written}: {written.stat().st_size / 1e6:.1f} MB")
