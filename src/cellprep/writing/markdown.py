"""Markdown from data: whatever text the data contain, it is shown and never interpreted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["bullets", "plain", "steps", "table"]


def plain(text: object) -> str:
    """A text on one line, with nothing in it that Markdown or HTML interprets.

    >>> print(plain("a|b <i>c</i> [d](e)"))
    a\\|b &lt;i&gt;c&lt;/i&gt; \\[d\\](e)
    >>> plain("https://example.org/a_b")
    '<https://example.org/a_b>'
    """
    line = " ".join(str(text).split())
    if re.fullmatch(r"https?://[\w.~:/?#@!$&'()+,;=%-]+", line):
        return f"<{line}>"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", line)


def table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """A table; numbers are aligned to the right.

    >>> print(table(("class", "images"), [("baso", 1200)]))
    | class | images |
    | --- | ---: |
    | baso | 1,200 |
    """
    rows = list(rows)
    right = [all(isinstance(row[at], int | float) for row in rows) for at in range(len(header))]
    lines = [[*header], ["---:" if is_number else "---" for is_number in right]]
    lines += [[f"{cell:,}" if isinstance(cell, int) else plain(cell) for cell in r] for r in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(texts: Mapping[str, object]) -> str:
    """A list of terms and what they are.

    >>> print(bullets({"Licence": "CC BY 4.0"}))
    - Licence: CC BY 4.0
    """
    return "\n".join(f"- {plain(name)}: {plain(text)}" for name, text in texts.items())


def steps(recipe: Iterable[Mapping[str, Any]]) -> str:
    """The saved steps of a recipe and their settings, a line each, indented as code.

    >>> print(steps([{"step": "Balance", "target": "max"}]))
        Balance {"target": "max"}
    """
    lines = []
    for step in recipe:
        settings = {name: value for name, value in step.items() if name != "step"}
        lines.append(f"    {step.get('step', '?')} {json.dumps(settings, sort_keys=True)}")
    return "\n".join(lines)
