"""Print results: text for people, JSON for programs, sizes and times in round units."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from ...dataset.exchange.spreadsheets import protected
from .terminal import printable, styled, wrapped


def print_text(text: str, *, headline: bool = True) -> None:
    """Print lines, the first in bold; CONFLICT and BAD at the start of a line in red."""
    for number, line in enumerate(printable(text).split("\n")):
        for piece in wrapped(line):
            if headline and not number:
                click.echo(styled(piece, bold=True))
            else:
                click.echo(re.sub(r"^  (CONFLICT|BAD)", lambda at: styled(at[0], fg="red"), piece))


def print_json(found: Any) -> None:
    click.echo(json.dumps(found, indent=1))


def csv_text(table: Any) -> str:
    """A DataFrame as CSV that a spreadsheet shows as it is.

    Text that a spreadsheet would run as a formula, such as the file name `=1+1.png`, gets an
    apostrophe in front.

    >>> import pandas as pd
    >>> print(csv_text(pd.DataFrame({"id": ["=1+1", "a"], "distance": [-1, 2]})), end="")
    id,distance
    '=1+1,-1
    a,2
    """

    def plain(value: Any) -> Any:
        return protected(value) if isinstance(value, str) else value

    text: str = table.rename(columns=plain).map(plain).to_csv(index=False, lineterminator="\n")
    return text


def in_bytes(size: float) -> str:
    """A size in bytes, kB, MB or GB.

    >>> in_bytes(900), in_bytes(179_756_686), in_bytes(2.5e12)
    ('900 B', '179.8 MB', '2,500.0 GB')
    """
    units = ["B", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:,.{int(units[0] != 'B')}f} {units[0]}"


def in_time(seconds: float) -> str:
    """A duration in seconds, minutes or hours.

    >>> in_time(0.4), in_time(12.4), in_time(600), in_time(9000)
    ('about 1 s', 'about 12 s', 'about 10 min', 'about 2.5 h')
    """
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
