"""Commands that look at a data set: inspect, duplicates, leaks, verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .. import executors
from ..formats import read
from ..verify import check
from .commands import said
from .options import LIKENESS, PATH, READING, options, reading
from .show import check_one_output, printable, show_groups


@click.command()
@click.argument("input", type=PATH)
@options(*READING, "json")
@said
def inspect(input: Path, as_json: bool, **given: Any) -> None:
    """Print counts, sizes, value ranges, duplicates and conflicts of INPUT.

    Example: cellprep inspect train_data.npz
    """
    from ..inspect import describe
    from ..inspect import inspect as look

    with executors.using(progress=not as_json):
        found = look(input, **reading(given))
    click.echo(json.dumps(found, indent=1) if as_json else printable(describe(found)))


@click.command()
@click.argument("input", type=PATH)
@options(*LIKENESS, *READING, "csv", "json")
@said
def duplicates(
    input: Path,
    near: int | None,
    symmetries: bool,
    hash: str,
    as_csv: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """List the images of INPUT that stand more than once, conflicting labels first.

    Exit code 1 says that there are conflicts.

    Example: cellprep duplicates smears/ --near 4 --symmetries
    """
    from ..duplicates import find_duplicates
    from ..inspect import read_any

    check_one_output(as_csv, as_json)
    with executors.using(progress=not (as_json or as_csv)):
        dataset, note = read_any(input, **reading(given))
        dataset = dataset.readable()
        table = find_duplicates(dataset, near=near, symmetries=symmetries, hash=hash)
    said = {"path": str(input), "images": len(dataset), "note": note, "bad": dataset.bad}
    show_groups(table, said, as_csv, as_json)
    if table["conflict"].any():
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("train", type=PATH)
@click.argument("test", type=PATH)
@options(*LIKENESS, *READING, "csv", "json")
@said
def leaks(
    train: Path,
    test: Path,
    near: int | None,
    symmetries: bool,
    hash: str,
    as_csv: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """List the images that stand in TRAIN ("a") as well as in TEST ("b").

    Exit code 1 says that there are some.

    Example: cellprep leaks out/train out/test --near 4
    """
    from ..duplicates import find_leaks

    check_one_output(as_csv, as_json)
    how = reading(given)
    with executors.using(progress=not (as_json or as_csv)):
        a, b = read(train, **how).readable(), read(test, **how).readable()
        table = find_leaks(a, b, near=near, symmetries=symmetries, hash=hash)
    said = {
        "path": f"{train} and {test}",
        "images": len(a) + len(b),
        "note": "",
        "bad": {**a.bad, **b.bad},
    }
    show_groups(table, said, as_csv, as_json)
    if len(table):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("path", type=PATH)
@options("executor", "workers", "json")
@said
def verify(path: Path, executor: str, workers: int | None, as_json: bool) -> None:
    """Check every file of PATH, which cellprep wrote, against the digests in its record.

    Exit code 1 says that some are damaged. Nothing is changed: the command that wrote PATH makes
    them again.

    Example: cellprep verify out/train
    """
    with executors.using(executor, workers, not as_json):
        found = check(path)
    if as_json:
        damaged = [
            {"file": one.file, "rows": one.rows, "state": one.state} for one in found.damaged
        ]
        said = {"path": str(path), "rows": found.rows, "files": found.files, "damaged": damaged}
        click.echo(json.dumps(said, indent=1))
    else:
        many = f"{found.files:,} file{'s' * (found.files != 1)}"
        click.echo(
            printable(
                f"{path}: {len(found.damaged):,} of {many} damaged; the command that wrote them "
                "makes them again"
                if found.damaged
                else f"{path}: {many}, {found.rows:,} images, all whole"
            )
        )
        for one in found.damaged:
            click.echo(printable(f"  {one.file}: {one.state} ({one.rows:,} images)"))
    if found.damaged:
        raise click.exceptions.Exit(1)
