"""`cellmodels compare`."""

from __future__ import annotations

from pathlib import Path

import click

from cellprep import CellprepError
from cellprep.cli.shared import PATH, in_time, options, resumable

from ..comparison.compare import compare as compare_rows
from ..comparison.forecast import plan_compare
from .common import LOCAL, import_keras


@click.command(short_help="Train and evaluate every row of a table.")
@click.argument("table", type=LOCAL)
@click.argument("out", type=LOCAL)
@click.option("--data", type=PATH, metavar="PATH", help="Use this data instead of the table's.")
@click.option(
    "--other",
    "others",
    multiple=True,
    metavar="NAME=PATH",
    help="Another laboratory's test set; may be repeated.",
)
@options("dry_run", "json")
@resumable
def compare(
    table: Path,
    out: Path,
    data: Path | None,
    others: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train and evaluate every row of TABLE, a TOML file, and save the result to
    OUT. The same command resumes where it was interrupted.

    Example: cellmodels compare out/demo/table.toml out/compare
    """
    if table.is_file():
        import_keras()
    paths = dict(_named(other) for other in others)
    if dry_run:
        planned = plan_compare(table, out, data=data, others=paths)
        if as_json:
            click.echo(planned.to_json(orient="records", indent=1))
            return
        total = in_time(planned["seconds"].sum())
        click.echo(planned.to_string(index=False))
        click.echo(f"{out}: training here takes {total}; dry run, nothing was written")
        return
    result = compare_rows(table, out, data=data, others=paths, progress=not as_json)
    if as_json:
        click.echo(result.to_json(orient="records", indent=1))
    else:
        text = (out / "table.txt").read_text(encoding="utf-8")
        click.echo(f"{text}\nsaved to {out / 'table.csv'}")


def _named(other: str) -> tuple[str, str]:
    """The name and the path in NAME=PATH."""
    name, equals, path = other.partition("=")
    if not (name and equals and path):
        raise CellprepError(f"`--other` must be NAME=PATH, got {other!r}")
    return name, path
