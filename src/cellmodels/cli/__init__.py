"""The command line `cellmodels`: arguments to calls.

Exit codes: 0 done, 1 an internal error, 2 refused, 130 stopped.
"""

from __future__ import annotations

import os

import click

import cellprep
from cellprep.cli.shared import SETTINGS, Commands, completion

from .compare import compare
from .evaluate import evaluate
from .export import export
from .predict import predict
from .saliency import saliency
from .train import train

__all__ = ["main"]


@click.group(cls=Commands, context_settings=SETTINGS)
@click.version_option(cellprep.__version__, prog_name="cellmodels")
def main() -> None:
    """Train classifiers on data sets that cellprep wrote, evaluate them, and
    show which pixels their decisions depend on.

    Example: cellmodels compare out/demo/table.toml out/compare
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's log is not our output


for command in (train, evaluate, predict, saliency, export, compare, completion("cellmodels")):
    main.add_command(command)
