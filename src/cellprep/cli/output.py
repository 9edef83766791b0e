"""Tables and results of commands, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from ..errors import CellprepError, counted
from ..report.inspect import counted_labels, unread_lines
from ..writing.forecast import Forecast
from ..writing.target import TargetState
from ..writing.write import Written
from .shared import csv_text, in_bytes, in_time, print_json, print_text


def check_one_format(as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise CellprepError("`--csv` and `--json` print the same table; choose one")


def show_groups(table: Any, about: dict[str, Any], as_csv: bool, as_json: bool) -> None:
    """Print a table of duplicate groups.

    `about` has path, images, note, bad and unread files, and which images match.
    """
    groups = [group for _, group in table.groupby("group")]
    conflicts = sum(bool(group["conflict"].iloc[0]) for group in groups)
    if as_csv:
        click.echo(csv_text(table), nl=False)
        return
    if as_json:
        counts = {"duplicate_groups": len(groups), "conflicts": conflicts}
        print_json({**about, **counts, "groups": _groups_as_json(groups)})
        return
    lines = [
        f"{about['path']}: {len(table):,} of {counted(about['images'], 'image')} in "
        f"{counted(len(groups), 'group')} ({about['matching']}), {conflicts:,} with conflicting "
        "labels"
        if groups
        else f"{about['path']}: no duplicates among {counted(about['images'], 'image')}"
    ]
    if about["note"]:
        lines.append(f"  {about['note']}")
    for group in groups[:20]:
        mark = "CONFLICT" if group["conflict"].iloc[0] else ""
        found = ", ".join(dict.fromkeys(group["relation"]))
        ids = ", ".join(map(str, group["id"][:3])) + ", ..." * (len(group) > 3)
        labels = counted_labels(group["class_name"].value_counts(sort=False))
        lines.append(f"  {mark:8} {len(group):6,} images  {labels}  ({found}; ids {ids})")
    if len(groups) > 20:
        more = counted(len(groups) - 20, "more group")
        lines.append(f"  and {more}; use --csv or --json for all")
    print_text("\n".join([*lines, *_bad_lines(about["bad"]), *unread_lines(about["unread"])]))


def _groups_as_json(groups: list[Any]) -> list[dict[str, Any]]:
    return [
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


def _bad_lines(bad: Mapping[str, str]) -> list[str]:
    """The first of the images that cannot be read."""
    lines = [f"  BAD {name}: {cause}" for name, cause in list(bad.items())[:8]]
    if len(bad) > 8:
        lines.append(f"  and {len(bad) - 8:,} more bad; use --json for all")
    return lines


def written_as_json(written: Written) -> dict[str, Any]:
    return {
        "path": str(written.path),
        "rows": written.rows,
        "resumed": written.resumed,
        "repaired": written.repaired,
        "bad": dict(written.bad),
        "unread": dict(written.unread),
        "blank": [list(row) for row in written.blank],
        "quarantined": written.quarantined,
        "seconds": round(written.seconds, 2),
    }


def show_steps(changes: Any) -> None:
    """Print what each step did."""
    lines = [f"{'step':16} {'rows in':>9} {'rows out':>9}  why"]
    for step, rows_in, rows_out, why in changes.itertuples(index=False):
        lines.append(f"{step:16} {rows_in:9,} {rows_out:9,}  {why}")
    print_text("\n".join(lines))


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
        "planning_seconds": round(planning, 4),
        "seconds": round(found.seconds, 2),
        "cores": found.cores,
        "sampled": found.sampled,
    }


def show_forecasts(found: list[Forecast], bad: Mapping[str, str], planning: float) -> None:
    """Print a dry run: what would be written where, and how long it would take."""
    for one in found:
        shards = f" in {counted(one.shards, 'shard')}" * (one.shards > 1)
        size = f"{'~' * one.encoded}{in_bytes(one.bytes)}"
        lines = [f"{one.path}: {counted(one.rows, 'image')} as {one.format}{shards}, {size}"]
        if one.target is TargetState.OTHER:
            lines.append("  replaces the data set that cellprep wrote there")
        elif one.resumed:
            many = "all" if one.resumed == one.rows else f"{one.resumed:,}"
            lines.append(f"  {many} of them already written by an earlier run")
        print_text("\n".join(lines))
    if bad:
        headline = f"  {counted(len(bad), 'unreadable image')} would be left out:"
        print_text("\n".join([headline, *_bad_lines(bad)]), headline=False)
    seconds = planning + sum(one.seconds for one in found)
    cores = counted(max(one.cores for one in found), "core")
    sampled = counted(sum(one.sampled for one in found), "image")
    print_text(
        f"{in_time(seconds)} on {cores}, estimated from {sampled}; dry run, nothing was written",
        headline=False,
    )
