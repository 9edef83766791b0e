"""Text in CSV files that spreadsheets open: no cell is run as a formula."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def protected(text: str) -> str:
    """The text, with an apostrophe in front if a spreadsheet would run it as a formula.

    Text that looks protected gets another one, so that `unprotected` restores any text.

    >>> protected("=1+1.png"), protected("'=1+1.png"), protected("a.png")
    ("'=1+1.png", "''=1+1.png", 'a.png')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unprotected(text: str) -> str:
    """The text that `protected` was given.

    >>> unprotected("'=1+1.png"), unprotected("'a'.png")
    ('=1+1.png', "'a'.png")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
