"""The diagram of docs/choose.md: its table of questions as a flow chart.

    python docs/choose.py                   redraws docs/choose.svg

A light card, readable on a light and on a dark page. It needs no font but the reader's own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

PAGE = Path(__file__).parent / "choose.md"
WIDTH, LINE, TOP = 800, 74, 24
ASK, DO = (24, 318), (430, 346)  # left and width of the boxes
PAPER, INK, QUIET = "#fafafc", "#18181e", "#5c5c66"
BLUE, GREEN = "#205cc8", "#108048"


class Question(NamedTuple):
    """A row of the table."""

    ask: str
    do: str
    what: str


def questions(page: str) -> list[Question]:
    """The questions of the page, without their links."""
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| (.+?) \|", page, re.MULTILINE)
    return [Question(ask, do, re.sub(r"\[(.+?)\]\(.+?\)", r"\1", what)) for ask, do, what in rows]


def box(left: int, top: int, width: int, color: str, radius: int) -> str:
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="50" rx="{radius}" fill="#fff"'
        f' stroke="{color}" stroke-width="2"/>'
    )


def text(x: float, y: int, words: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y}"{more}>{escape(words)}</text>'


def arrow(x1: float, y1: int, x2: float, y2: int, word: str) -> str:
    """A line with a head, and a word beside it."""
    beside = (x1 + 10, y1 + 17) if x1 == x2 else (x1 + 28, y1 - 6)
    return (
        f'<line x1="{x1:g}" y1="{y1}" x2="{x2:g}" y2="{y2}" stroke="{QUIET}" stroke-width="2"'
        f' marker-end="url(#head)"/>' + text(*beside, word, f' fill="{QUIET}" font-size="13"')
    )


def diagram(rows: list[Question]) -> str:
    """A flow chart: questions on the left, what to do on the right."""
    height = 2 * TOP + LINE * len(rows) + 26
    middle = ASK[0] + ASK[1] / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="system-ui, sans-serif" font-size="15" fill="{INK}">',
        "<title>Which of these do I need?</title>",
        f'<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7"'
        f' markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="{QUIET}"/>'
        "</marker></defs>",
        f'<rect width="{WIDTH}" height="{height}" rx="14" fill="{PAPER}"/>',
    ]
    for n, row in enumerate(rows):
        top = TOP + n * LINE
        bold = f' font-weight="600" fill="{GREEN}"'
        parts += [
            box(ASK[0], top, ASK[1], BLUE, 25),
            text(middle, top + 30, row.ask, ' text-anchor="middle"'),
            arrow(ASK[0] + ASK[1], top + 25, DO[0], top + 25, "yes"),
            box(DO[0], top, DO[1], GREEN, 6),
            text(DO[0] + 14, top + 21, row.what, bold),
            text(DO[0] + 14, top + 41, row.do, ' font-size="14"'),
            arrow(middle, top + 50, middle, top + LINE, "no, or done"),
        ]
    last = TOP + len(rows) * LINE + 18
    parts += [text(middle, last, "train, and evaluate", ' text-anchor="middle"'), "</svg>"]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    drawn = diagram(questions(PAGE.read_text("utf-8")))
    PAGE.with_suffix(".svg").write_text(drawn, "utf-8")
