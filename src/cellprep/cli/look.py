"""Commands that look at a data set: inspect, report, duplicates, leaks, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..dataset.read import read
from ..errors import CellprepError, counted
from ..steps.recipe import Recipe
from ..writing.check import check
from .commands import said
from .options import LIKENESS, PATH, READING, WORKING, options, reading, using
from .show import check_one_output, show_groups, tell, tell_json


@click.command()
@click.argument("input", type=PATH)
@options(*READING, *WORKING, "json")
@said
def inspect(input: Path, as_json: bool, **given: Any) -> None:
    """Print counts, sizes, values, repeats and conflicts of INPUT.

    Example: cellprep inspect train_data.npz
    """
    from ..report.inspect import describe
    from ..report.inspect import inspect as look

    with using(given, not as_json):
        found = look(input, **reading(given))
    tell_json(found) if as_json else tell(describe(found))


@click.command()
@click.argument("input", type=PATH)
@click.option(
    "-o", "--out", type=PATH, metavar="FILE", default=Path("report.html"), show_default=True
)
@click.option("--recipe", type=PATH, metavar="FILE", help="Show what its steps would do.")
@click.option("--test", type=PATH, metavar="PATH", help="Look for leaks into this set too.")
@click.option("--exact", is_flag=True, help="Equal pixels alone are duplicates.")
@options(*LIKENESS, *READING, *WORKING, "json")
@said
def report(
    input: Path,
    out: Path,
    recipe: Path | None,
    test: Path | None,
    exact: bool,
    near: int | None,
    symmetries: bool,
    hash: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Show INPUT on one page of HTML: what is in it and what is wrong with it.
    Without --near, --symmetries or --exact, --near 4 --symmetries is meant.

    Example: cellprep report smears/ -o report.html --recipe recipe.toml
    """
    from ..report import report as make_report
    from ..report.inspect import read_any

    steps = None if recipe is None else Recipe.from_toml(recipe)
    if exact and (near is not None or symmetries):
        raise CellprepError("`--exact` leaves out what `--near` and `--symmetries` ask for")
    if not exact and near is None and not symmetries:
        near, symmetries = 4, True
    how = reading(given)
    with using(given, not as_json):
        dataset, note = read_any(input, **how)
        if note:
            how["size"] = dataset.shape[1:3]
        done = make_report(
            dataset,
            out,
            recipe=steps,
            test=None if test is None else read(test, **how),
            near=near,
            symmetries=symmetries,
            hash=hash,
            notes=[f"{note[0].upper()}{note[1:]}."] if note else [],
        )
    tell_json({**vars(done), "path": str(done.path)}) if as_json else tell(str(done))


@click.command()
@click.argument("input", type=PATH)
@options(*LIKENESS, *READING, *WORKING, "csv", "json")
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
    """List images that stand more than once, conflicts first. Exit code 1 says
    that there are conflicts.

    Example: cellprep duplicates smears/ --near 4 --symmetries
    """
    from ..duplicates.search import find_duplicates
    from ..report.inspect import read_any

    check_one_output(as_csv, as_json)
    with using(given, not (as_json or as_csv)):
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
@options(*LIKENESS, *READING, *WORKING, "csv", "json")
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
    """List images of TRAIN that stand in TEST too. Exit code 1 says that there
    are some.

    Example: cellprep leaks out/train out/test --near 4
    """
    from ..duplicates.search import find_leaks

    check_one_output(as_csv, as_json)
    how = reading(given)
    with using(given, not (as_json or as_csv)):
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
@options(*WORKING, "json")
@said
def verify(path: Path, as_json: bool, **given: Any) -> None:
    """Check every file of PATH against its digest.

    Exit code 1 says that some are damaged. Nothing is changed: the command that
    wrote PATH makes them again.

    Example: cellprep verify out/train
    """
    with using(given, not as_json):
        found = check(path)
    if as_json:
        damaged = [
            {"file": one.file, "rows": one.rows, "state": one.state} for one in found.damaged
        ]
        said = {"path": str(path), "rows": found.rows, "files": found.files, "damaged": damaged}
        tell_json(said)
    else:
        many = counted(found.files, "file")
        lines = [f"{path}: {many}, {counted(found.rows, 'image')}, all whole"]
        if found.damaged:
            lines = [
                f"{path}: {len(found.damaged):,} of {many} damaged; the command that wrote them "
                "makes them again"
            ]
        lines += [f"  BAD {x.file}: {x.state} ({counted(x.rows, 'image')})" for x in found.damaged]
        tell("\n".join(lines))
    if found.damaged:
        raise click.exceptions.Exit(1)
