"""What commands print."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import click

from ..errors import CellprepError, counted
from ..writing.forecast import Forecast
from ..writing.target import TargetState
from ..writing.write import Written
from .commands import fitted, paint, printable


def check_one_output(as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise CellprepError("`--csv` and `--json` are two forms of one table; choose one")


def tell(text: str, *, headline: bool = True) -> None:
    """Print what was found: the first line as a headline, and what is wrong in red."""
    for number, line in enumerate(printable(text).split("\n")):
        for piece in fitted(line):
            if headline and not number:
                click.echo(paint(piece, bold=True))
            else:
                click.echo(re.sub(r"^  (CONFLICT|BAD)", lambda at: paint(at[0], fg="red"), piece))


def tell_json(found: Any) -> None:
    click.echo(json.dumps(found, indent=1))


def show_groups(table: Any, said: dict[str, Any], as_csv: bool, as_json: bool) -> None:
    """A table of duplicate groups, as asked."""
    groups = [group for _, group in table.groupby("group")]
    conflicts = sum(bool(group["conflict"].iloc[0]) for group in groups)
    if as_csv:
        click.echo(table.to_csv(index=False), nl=False)
        return
    if as_json:
        listed = [
            {
                "group": number,
                "images": len(group),
                "conflict": bool(group["conflict"].iloc[0]),
                "votes": group["votes"].iloc[0],
                "rows": json.loads(
                    group.drop(columns=["group", "conflict", "votes"]).to_json(orient="records")
                ),
            }
            for number, group in enumerate(groups)
        ]
        counts = {"duplicate_groups": len(groups), "conflicts": conflicts}
        tell_json({**said, **counts, "groups": listed})
        return
    lines = [
        f"{said['path']}: {len(table):,} of {counted(said['images'], 'image')} in "
        f"{counted(len(groups), 'group')}, {conflicts:,} of them under conflicting labels"
        if groups
        else f"{said['path']}: no repeats among {counted(said['images'], 'image')}"
    ]
    if said["note"]:
        lines.append(f"  {said['note']}")
    for group in groups[:20]:
        mark = "CONFLICT" if group["conflict"].iloc[0] else ""
        found = ", ".join(dict.fromkeys(group["relation"]))
        ids = ", ".join(map(str, group["id"][:3])) + ", ..." * (len(group) > 3)
        votes = group["votes"].iloc[0]
        lines.append(f"  {mark:8} {len(group):6,} x  {votes}  ({found}; ids {ids})")
    if len(groups) > 20:
        more = counted(len(groups) - 20, "more group")
        lines.append(f"  and {more}; --csv or --json lists them all")
    tell("\n".join([*lines, *bad_lines(said["bad"], "--json lists them all")]))


def bad_lines(bad: Mapping[str, str], all_of_them: str) -> list[str]:
    """The first of the images that cannot be read."""
    lines = [f"  BAD {name}: {cause}" for name, cause in list(bad.items())[:8]]
    if len(bad) > 8:
        lines.append(f"  and {len(bad) - 8:,} more bad; {all_of_them}")
    return lines


def written_as_json(written: Written) -> dict[str, Any]:
    return {
        "path": str(written.path),
        "rows": written.rows,
        "resumed": written.resumed,
        "repaired": written.repaired,
        "bad": dict(written.bad),
        "quarantined": written.quarantined,
        "seconds": round(written.seconds, 2),
    }


def show_steps(changes: Any) -> None:
    """What each step did."""
    lines = [f"{'step':16} {'rows in':>9} {'rows out':>9}  why"]
    for step, rows_in, rows_out, why in changes.itertuples(index=False):
        lines.append(f"{step:16} {rows_in:9,} {rows_out:9,}  {why}")
    tell("\n".join(lines))


def forecast_as_json(found: Forecast, bad: Mapping[str, str], planning: float) -> dict[str, Any]:
    return {
        "dry_run": True,
        "path": str(found.path),
        "format": found.format,
        "target": found.target.value,
        "rows": found.rows,
        "resumed": found.resumed,
        "parts": found.shards,
        "bytes": found.bytes,
        "bytes_are_estimated": found.encoded,
        "bad": dict(bad),
        "planning_seconds": round(planning, 2),
        "seconds": round(found.seconds, 2),
        "cores": found.cores,
        "sampled": found.sampled,
    }


def show_forecasts(found: list[Forecast], bad: Mapping[str, str], planning: float) -> None:
    """A dry run: what would be written where, in what time."""
    for one in found:
        parts = f" in {counted(one.shards, 'part')}" * (one.shards > 1)
        size = f"{'~' * one.encoded}{in_bytes(one.bytes)}"
        lines = [f"{one.path}: {counted(one.rows, 'image')} as {one.format}{parts}, {size}"]
        if one.target is TargetState.OTHER:
            lines.append("  replaces what cellprep wrote there")
        elif one.resumed:
            many = "all" if one.resumed == one.rows else f"{one.resumed:,}"
            lines.append(f"  {many} of them are there from an earlier run")
        tell("\n".join(lines))
    if bad:
        said = f"  {counted(len(bad), 'image')} that cannot be read would be left out:"
        tell("\n".join([said, *bad_lines(bad, "--json lists them all")]), headline=False)
    seconds = planning + sum(one.seconds for one in found)
    cores = counted(max(one.cores for one in found), "core")
    sampled = counted(sum(one.sampled for one in found), "image")
    tell(
        f"{in_time(seconds)} on {cores}, from {sampled}; a dry run: nothing was written",
        headline=False,
    )


def in_bytes(size: float) -> str:
    """
    >>> in_bytes(900), in_bytes(179_756_686), in_bytes(2.5e12)
    ('900 B', '179.8 MB', '2,500.0 GB')
    """
    units = ["B", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:,.{int(units[0] != 'B')}f} {units[0]}"


def in_time(seconds: float) -> str:
    """
    >>> in_time(0.4), in_time(12.4), in_time(600), in_time(9000)
    ('about 1 s', 'about 12 s', 'about 10 min', 'about 2.5 h')
    """
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
