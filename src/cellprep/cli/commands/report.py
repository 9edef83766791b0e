"""`cellprep report`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from ...dataset.read import read
from ...duplicates.settings import Search
from ...errors import CellprepError
from ...kernels import Hash
from ...steps.recipe import Recipe
from ..arguments import MATCHING, READING, WORKING, executor, left_out, read_arguments
from ..shared import PATH, one_line_errors, options, print_json, print_text


@click.command()
@click.argument("input", type=PATH)
@click.option(
    "-o", "--out", type=PATH, metavar="FILE", default=Path("report.html"), show_default=True
)
@click.option("--recipe", type=PATH, metavar="FILE", help="Show what its steps would do.")
@click.option("--test", type=PATH, metavar="PATH", help="Look for leaks into this set too.")
@click.option("--lookalikes", type=PATH, metavar="FILE", help="CSV of find_lookalikes.")
@click.option("--label-issues", type=PATH, metavar="FILE", help="CSV of find_label_issues.")
@click.option("--exact", is_flag=True, help="Match only images with equal pixels.")
@options("decisions", "without", *MATCHING, *READING, *WORKING, "json")
@one_line_errors
def report(
    input: Path,
    out: Path,
    recipe: Path | None,
    test: Path | None,
    lookalikes: Path | None,
    label_issues: Path | None,
    decisions: Path | None,
    exact: bool,
    near: int | None,
    symmetries: bool,
    hash: Hash,
    as_json: bool,
    **given: Any,
) -> None:
    """Show INPUT on one HTML page: its contents and its problems.

    Default matching of duplicates: --near 4 --symmetries.

    Example: cellprep report out/demo/drawn_cells.npz -o report.html
    """
    from ...report import report as make_report
    from ...report.gather import measures
    from ...report.inspect import read_any

    steps = None if recipe is None else Recipe.from_toml(recipe)
    if exact and (near is not None or symmetries):
        raise CellprepError("`--exact` excludes `--near` and `--symmetries`; choose one")
    if not exact and near is None and not symmetries:
        near, symmetries = 4, True
    without, how = left_out(given), read_arguments(given)
    with executor(given, not as_json):
        what = partial(measures, search=Search(near, symmetries, hash))
        dataset, note = read_any(input, measures=what, without=without, **how)
        if note:
            how["size"] = dataset.shape[1:3]
        made = make_report(
            dataset,
            out,
            recipe=steps,
            test=None if test is None else read(test, **how),
            near=near,
            symmetries=symmetries,
            hash=hash,
            lookalikes=lookalikes,
            label_issues=label_issues,
            decisions=decisions,
            notes=[f"{note[0].upper()}{note[1:]}."] if note else [],
        )
    print_json({**vars(made), "path": str(made.path)}) if as_json else print_text(str(made))
