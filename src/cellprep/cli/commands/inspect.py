"""`cellprep inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..arguments import READING, WORKING, executor, left_out, read_arguments
from ..shared import PATH, one_line_errors, options, print_json, print_text


@click.command()
@click.argument("input", type=PATH)
@options("without", *READING, *WORKING, "json")
@one_line_errors
def inspect(input: Path, as_json: bool, **given: Any) -> None:
    """Print counts, sizes, pixel values, duplicates and conflicting labels of INPUT.

    Example: cellprep inspect out/demo/drawn_cells.npz
    """
    from ...report.inspect import describe
    from ...report.inspect import inspect as examine

    with executor(given, not as_json):
        found = examine(input, without=left_out(given), **read_arguments(given))
    print_json(found) if as_json else print_text(describe(found))
