"""Text for a terminal: colours, line breaks, printable names."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import Any

import click


def styled(text: str, *, err: bool = False, **style: Any) -> str:
    """The text in colour, if the stream is a terminal and NO_COLOR is not set."""
    stream = sys.stderr if err else sys.stdout
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not stream.isatty() else click.style(text, **style)


def wrapped(line: str, *, err: bool = False) -> list[str]:
    """A line broken between words to the width of a terminal; unchanged if piped."""
    width = shutil.get_terminal_size().columns
    if not (sys.stderr if err else sys.stdout).isatty() or len(line) <= width:
        return [line]
    hang = max(len(line) - len(line.lstrip()) + 2, line[: width // 2].rfind("  ") + 2)
    indent = " " * hang
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def printable(text: str) -> str:
    """The text with bytes that are not UTF-8, as in file names, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
