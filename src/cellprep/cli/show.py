"""What commands print."""

from __future__ import annotations

import json
from typing import Any

import click

from ..errors import CellprepError
from ..write import Written


def check_one_output(as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise CellprepError("`--csv` and `--json` are two forms of one table; choose one")


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
        click.echo(json.dumps({**said, **counts, "groups": listed}, indent=1))
        return
    lines = [
        f"{said['path']}: {len(table):,} of {said['images']:,} images in {len(groups):,} groups, "
        f"{conflicts:,} of them under conflicting labels"
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
        lines.append(f"  and {len(groups) - 20:,} more groups; --csv or --json lists them all")
    lines += [f"  BAD {name}: {cause}" for name, cause in list(said["bad"].items())[:8]]
    click.echo(printable("\n".join(lines)))


def as_json_of(written: Written) -> dict[str, Any]:
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
    click.echo(f"{'step':16} {'rows in':>9} {'rows out':>9}  why")
    for step, rows_in, rows_out, why in changes.itertuples(index=False):
        click.echo(f"{step:16} {rows_in:9,} {rows_out:9,}  {why}")


def printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
