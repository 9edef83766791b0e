"""`cellprep verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...errors import counted
from ...writing.check import check
from ..arguments import WORKING, executor
from ..shared import PATH, one_line_errors, options, print_json, print_text


@click.command()
@click.argument("path", type=PATH)
@options(*WORKING, "json")
@one_line_errors
def verify(path: Path, as_json: bool, **given: Any) -> None:
    """Check every file of PATH against its recorded digest.

    Exit code 1 if some are damaged. Nothing is changed: rerun the command that
    wrote PATH to rebuild the damaged files.

    Example: cellprep verify out/demo/train
    """
    with executor(given, not as_json):
        found = check(path)
    if as_json:
        damaged = [
            {"file": one.file, "rows": one.rows, "state": one.state} for one in found.damaged
        ]
        checked = {"path": str(path), "rows": found.rows, "files": found.files}
        print_json({**checked, "damaged": damaged})
    else:
        files = counted(found.files, "file")
        lines = [f"{path}: {files}, {counted(found.rows, 'image')}, all intact"]
        if found.damaged:
            advice = "rerun the command that wrote them to rebuild these"
            if not found.rows:  # neither its manifest nor, in an archive, its directory is readable
                advice = (
                    "it cannot be repaired: move it away, and run the command again that wrote it"
                )
            lines = [f"{path}: {len(found.damaged):,} of {files} damaged; {advice}"]
        lines += [f"  BAD {x.file}: {x.state} ({counted(x.rows, 'image')})" for x in found.damaged]
        print_text("\n".join(lines))
    if found.damaged:
        raise click.exceptions.Exit(1)
