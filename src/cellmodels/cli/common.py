"""What several commands share: options, and opening data sets and models."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import cellprep
from cellprep import Dataset
from cellprep.cli.shared import OneOf
from cellprep.errors import require

from ..atomic import local
from ..evaluation.views import VIEWS
from ..models.files import load


class _Local(click.Path):
    """A local path, with ~ as the home folder."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        found: Any = super().convert(value, param, ctx)
        return local(found)


LOCAL = _Local(path_type=Path)
batch_size = click.option(
    "--batch-size", type=int, metavar="N", default=64, show_default=True, help="Images per batch."
)
allow_leaks = click.option("--allow-leaks", is_flag=True, help="Do not search for shared images.")


def prediction(function: Any) -> Any:
    """A decorator that adds the options of commands that predict: the fields of `Prediction`."""
    added = (
        click.option(
            "--tta",
            type=OneOf(VIEWS),
            metavar="VIEWS",
            default="none",
            show_default=True,
            help="Average over views: flips, dihedral.",
        ),
        click.option("--adapt", is_flag=True, help="Zoom to the cell size in training."),
        click.option(
            "--adapt-color",
            type=OneOf(["none", "channels", "background"]),
            metavar="HOW",
            default="none",
            show_default=True,
            help="Use the colours of training: channels, background.",
        ),
        click.option(
            "--adapt-norm",
            type=float,
            metavar="X",
            default=0.0,
            show_default=True,
            help="Adapt normalisation: 0.1 to 0.5.",
        ),
        click.option(
            "--neighbors",
            type=float,
            metavar="X",
            default=0.0,
            show_default=True,
            help="Share among similar images: 0.8.",
        ),
        click.option(
            "--no-temperature",
            "temperature",
            is_flag=True,
            flag_value=False,
            default=True,
            help="Do not calibrate probabilities.",
        ),
        batch_size,
    )
    for option in reversed(added):
        function = option(function)
    return function


def open_data(path: Path, size: int | None, **options: Any) -> Dataset:
    """The data set at a path, its images resized if a size is given."""
    return cellprep.read(path, size=size, **options)


def open_model(path: Path) -> Any:
    """The model in a file; Keras is imported only if the file exists."""
    if path.is_file():
        import_keras()
    return load(path)


def open_models(paths: Sequence[Path]) -> list[Any]:
    """The models in several files."""
    return [open_model(path) for path in paths]


def import_keras() -> None:
    """Import Keras, hiding what TensorFlow writes to the file descriptor of standard error."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        require("keras", "cellprep[models]")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
