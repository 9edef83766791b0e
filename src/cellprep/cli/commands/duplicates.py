"""`cellprep duplicates` and `cellprep leaks`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from ...dataset.read import read
from ...duplicates.settings import Search
from ...kernels import Hash
from ...steps import Decide
from ...steps.recipe import Recipe
from ..arguments import MATCHING, READING, WORKING, executor, left_out, read_arguments
from ..output import check_one_format, show_groups
from ..shared import PATH, one_line_errors, options


@click.command()
@click.argument("input", type=PATH)
@options("without", "decisions", *MATCHING, *READING, *WORKING, "csv", "json")
@one_line_errors
def duplicates(
    input: Path,
    decisions: Path | None,
    near: int | None,
    symmetries: bool,
    hash: Hash,
    as_csv: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """List images that occur more than once, conflicting labels first.

    Exit code 1 if labels conflict.

    Example: cellprep duplicates out/demo/drawn_cells.npz --near 4 --symmetries
    """
    from ...duplicates.search import find_duplicates
    from ...duplicates.signatures import measures
    from ...report.inspect import read_any

    check_one_format(as_csv, as_json)
    with executor(given, not (as_json or as_csv)):
        what = partial(measures, search=Search(near, symmetries, hash))
        how = read_arguments(given)
        dataset, note = read_any(input, measures=what, without=left_out(given), **how)
        dataset = dataset.readable()
        if decisions is not None:
            dataset = Recipe([Decide(decisions)])(dataset)
        table = find_duplicates(dataset, near=near, symmetries=symmetries, hash=hash)
    about = {
        "path": str(input),
        "images": len(dataset),
        "note": note,
        "bad": dataset.bad,
        "unread": dataset.unread,
        "matching": _matching(near, symmetries),
    }
    show_groups(table, about, as_csv, as_json)
    if table["conflict"].any():
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("train", type=PATH)
@click.argument("test", type=PATH)
@options(*MATCHING, *READING, *WORKING, "csv", "json")
@one_line_errors
def leaks(
    train: Path,
    test: Path,
    near: int | None,
    symmetries: bool,
    hash: Hash,
    as_csv: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """List training images that also occur in the test set.

    Exit code 1 if there are any.

    Example: cellprep leaks out/demo/train out/demo/test --near 4
    """
    from ...duplicates.search import find_leaks

    check_one_format(as_csv, as_json)
    how = read_arguments(given)
    with executor(given, not (as_json or as_csv)):
        a, b = read(train, **how).readable(), read(test, **how).readable()
        table = find_leaks(a, b, near=near, symmetries=symmetries, hash=hash)
    about = {
        "path": f"{train} and {test}",
        "images": len(a) + len(b),
        "note": "",
        "bad": {**a.bad, **b.bad},
        "unread": {**a.unread, **b.unread},
        "matching": _matching(near, symmetries),
    }
    show_groups(table, about, as_csv, as_json)
    if len(table):
        raise click.exceptions.Exit(1)


def _matching(near: int | None, symmetries: bool) -> str:
    """Which images count as copies, in words.

    >>> _matching(None, False), _matching(4, True)
    ('equal pixels', 'hashes up to 4 bits apart, flips and turns')
    """
    found = [f"hashes up to {near} bits apart"] * (near is not None)
    return ", ".join([*found, *["flips and turns"] * symmetries]) or "equal pixels"
