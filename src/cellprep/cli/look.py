"""Commands that look at a data set: inspect, duplicates, leaks, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import counted
from ..formats import read
from ..verify import check
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
    from ..inspect import describe
    from ..inspect import inspect as look

    with using(given, not as_json):
        found = look(input, **reading(given))
    tell_json(found) if as_json else tell(describe(found))


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
    from ..duplicates import find_duplicates
    from ..inspect import read_any

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
    from ..duplicates import find_leaks

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
