"""What several commands share: options, and opening data sets and models."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

import cellprep
from cellprep import Dataset
from cellprep.errors import require

from ..models.files import load

LOCAL = click.Path(path_type=Path)
batch_size = click.option(
    "--batch-size", type=int, metavar="N", default=64, show_default=True, help="Images per batch."
)
allow_leaks = click.option("--allow-leaks", is_flag=True, help="Do not search for shared images.")


def open_data(path: Path, size: int | None) -> Dataset:
    """The data set at a path, its images resized if a size is given."""
    return cellprep.read(path) if size is None else cellprep.read(path, size=size)


def open_model(path: Path) -> Any:
    """The model in a file; Keras is imported only if the file exists."""
    if path.is_file():
        import_keras()
    return load(path)


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
