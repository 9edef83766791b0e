"""Render findings as one self-contained HTML file: no network, no other files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from ..dataset.decisions import FIELDS as FIELDS_OF_DECISIONS
from ..errors import counted, require
from . import charts
from .attention import Alert, passed
from .catalog import FIELDS, Tile
from .duplicate_groups import MOST_TILES
from .findings import TILES_PER_ALERT, Findings, Group
from .pictures import encode
from .quality import FAULTS

LIMIT = 5_000_000  # bytes of a page
_SHORT = 16  # characters of a name below a picture
_SPARE = 20_000  # bytes that the second rendering may add


def check_libraries() -> None:
    """Check for the libraries that rendering needs before any work is done."""
    for module in ("jinja2", "matplotlib"):
        require(module, "cellprep[report]")


def render(found: Findings, alerts: list[Alert]) -> tuple[bytes, int]:
    """The page, and the number of pictures on it."""
    template, style, script = _template()
    content = {**_content(found, alerts), "style": style, "script": script}

    def rendered(uris: Sequence[str], side: int) -> bytes:
        """The page with these pictures; with none, to measure the space left for them."""
        tiles = _Tiles(found, len(uris))
        rules = "".join(f".p{n}{{background-image:url({uri})}}\n" for n, uri in enumerate(uris))
        page: str = template.render(
            **content,
            tiles=tiles,
            data={**content["lists"], "tiles": tiles.rows},
            rules=rules,
            style_hashes=f"{_hash(style)} {_hash(rules)}",
            script_hash=_hash(script),
            side=side,
            omitted=_omitted(found, len(uris), side),
        )
        return page.encode("utf-8", "backslashreplace")  # names need not be UTF-8

    uris, side = encode(found.catalog.album, LIMIT - _SPARE - len(rendered([], 0)))
    return rendered(uris, side), len(uris)


@cache
def _template() -> tuple[Any, str, str]:
    """The compiled template, the style sheet and the script."""
    from jinja2 import Environment, StrictUndefined

    folder = files(__package__) / "template"
    style, script, text = (
        (folder / name).read_text("utf-8") for name in ("report.css", "report.js", "report.html")
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"counted": counted, "titleless": _titleless}
    return environment.from_string(text), style, script


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@dataclass
class _Tiles:
    """Texts for the template's tiles, and the images behind each tile shown so far."""

    found: Findings
    pictures: int

    def __post_init__(self) -> None:
        self.rows: list[list[int]] = []
        self._numbers: dict[tuple[int, ...], int] = {}

    def number(self, tile: Tile) -> int:
        number = self._numbers.setdefault(tuple(tile.rows), len(self.rows))
        if number == len(self.rows):
            self.rows.append(tile.rows)
        return number

    def shape(self, tile: Tile) -> str:
        return f"p{tile.picture}" if tile.picture < self.pictures else "none"

    def alt(self, tile: Tile) -> str:
        id, copy, name = self.found.catalog.rows[tile.rows[0]][:3]
        who = f"id {id}" + f", copy {copy}" * (copy > 0)
        words = [
            tile.title or name,
            who if len(tile.rows) == 1 else counted(len(tile.rows), "image"),
        ]
        return ", ".join([*words, tile.facts] if tile.facts else words)

    def named(self, tile: Tile) -> str:
        id, copy = self.found.catalog.rows[tile.rows[0]][:2]
        short = str(id).rpartition("/")[2] or str(id)  # lists have the whole path
        if len(short) > _SHORT:
            short = f"{short[:5]}…{short[6 - _SHORT :]}"  # names tend to differ at the end
        who = short + f", copy {copy}" * (copy > 0)
        return who if len(tile.rows) == 1 else f"{len(tile.rows):,} × {who} …"

    def listed(self, rows: Sequence[int]) -> str:
        """One line per image: id, label, and its file if that is not the id."""
        lines = []
        for id, copy, name, file, *facts in (self.found.catalog.rows[row] for row in rows):
            part = "test set" if facts[-1:] == ["b"] else ""
            words = [str(id), f"copy {copy}" * (copy > 0), name, file * (file != str(id)), part]
            lines.append(" · ".join(filter(None, words)))
        return "\n".join(lines)


def _titleless(tiles: Sequence[Tile]) -> list[Tile]:
    """Tiles below a heading that already names their class."""
    return [replace(tile, title="") for tile in tiles]


def _content(found: Findings, alerts: list[Alert]) -> dict[str, Any]:
    """Everything that the template shows except the pictures."""
    counts = [found.series[0][1], found.series[-1][1]] if found.series[1:] else [found.counts]
    sampled = [
        (
            one,
            charts.bars(
                f"operations-{number}",
                [op.name.replace("_", " ") for op in one.sampled],
                [[op.count for op in one.sampled]],
                mark=one.expected * one.copies * one.slots,
            ),
        )
        for number, one in enumerate(found.operations, 1)
    ]
    cards = [group for group in found.duplicates.groups if group.tiles]
    leaks = found.leaks.groups if found.leaks is not None else []
    review = found.review
    decidable = [
        ("g", found.duplicates.groups),
        ("k", review.lookalikes.groups if review.lookalikes is not None else []),
        ("s", review.suspected or []),
    ]
    return {
        "f": found,
        "alerts": alerts,
        "passed": passed(found, alerts),
        "cards": _cards(found),
        "sections": _sections(found, alerts),
        "kinds": _kinds(cards),
        "most_tiles": f"{MOST_TILES:,}",
        "most_bars": charts.MOST_BARS,
        "searched": _searched(found),
        "class_chart": charts.bars("classes", found.class_names, counts),
        "operations": sampled,
        "measured": _measured(found),
        "deciding": any(group.tiles for _, groups in decidable for group in groups),
        "lists": {
            "fields": FIELDS,
            "classes": found.class_names,
            "rows": [_without_repeated_id(row) for row in found.catalog.rows],
            "groups": {
                f"{prefix}{group.number}": group.rows
                for prefix, groups in (*decidable, ("l", leaks))
                for group in groups
                if group.tiles
            },
            "review": {
                "set": found.review.identity,
                "fields": FIELDS_OF_DECISIONS,
                "digests": found.review.digests,
                "made": [
                    [one.get(name, "") for name in FIELDS_OF_DECISIONS]
                    for one in found.review.decisions
                ],
                "reasons": {
                    f"{prefix}{group.number}": _reason(prefix, group)
                    for prefix, groups in decidable
                    for group in groups
                    if group.tiles
                },
                "suggested": {
                    f"s{group.number}": group.suggested
                    for group in found.review.suspected or ()
                    if group.tiles
                },
            },
            "alerts": {alert.key: alert.rows for alert in alerts},
        },
    }


def _reason(prefix: str, group: Group) -> str:
    """What a decision on a group is about, for the file of decisions."""
    kinds = ", ".join(group.kinds)
    what = {"g": f"duplicates ({kinds})", "k": "look-alikes", "s": f"suggested: {group.suggested}"}
    return f"{what[prefix]}; {group.votes}"


def _without_repeated_id(row: list[Any]) -> list[Any]:
    """A row with 0 for a file name that equals the id, as in folders, to save space."""
    return [*row[:3], 0, *row[4:]] if row[3] == row[0] else row


def _cards(found: Findings) -> list[tuple[str, str, str]]:
    height, width = found.shape
    repeats = found.duplicates
    cards = [
        (f"{found.images:,}", "images", ""),
        (f"{len(found.class_names):,}", "classes", ""),
        (f"{height}×{width}", "pixels, height × width", ""),
        (
            f"{repeats.images:,}",
            f"repeated images, in {counted(repeats.count, 'group')}",
            "medium" if repeats.images else "",
        ),
        (
            f"{repeats.conflicts:,}",
            "groups with conflicting labels",
            "high" if repeats.conflicts else "",
        ),
        (f"{len(found.bad):,}", "files that cannot be used", "high" if found.bad else ""),
    ]
    if found.leaks is not None:
        leaked = found.leaks.images
        cards.append((f"{leaked:,}", "test images also in this set", "high" if leaked else ""))
    return cards


def _sections(found: Findings, alerts: list[Alert]) -> list[tuple[str, str, int | None]]:
    sections: list[tuple[str, str, int | None]] = [
        ("attention", "Attention", len(alerts)),
        ("classes", "Classes", len(found.class_names)),
        ("duplicates", "Duplicates", found.duplicates.count),
    ]
    if found.leaks is not None:
        sections.append(("leaks", "Leaks", found.leaks.count))
    if found.review.lookalikes is not None:
        sections.append(("lookalikes", "Look-alikes", found.review.lookalikes.count))
    if found.review.suspected is not None:
        sections.append(("suspected", "Suspected labels", len(found.review.suspected)))
    if found.sections or found.changes:
        sections.append(("steps", "Steps", len(found.changes or found.sections)))
    if found.operations:
        sections.append(("operations", "Operations", None))
    last = (("gallery", "Gallery"), ("measures", "Measures"), ("record", "Record"))
    return [*sections, *((key, name, None) for key, name in last)]


def _kinds(groups: Sequence[Group]) -> list[tuple[str, str, int]]:
    """The filters of groups, and the number of groups that each shows."""
    counts = {
        "conflict": sum(group.conflict for group in groups),
        **{kind: sum(kind in g.kinds for g in groups) for kind in ("exact", "symmetry", "near")},
        "copies": sum(group.kinds != ["exact"] for group in groups),
    }
    if not (counts["symmetry"] and counts["near"]):
        del counts["copies"]  # equals one of them
    names = {
        "conflict": "Conflicts",
        "copies": "Near, flipped or rotated",
        "symmetry": "Flipped or rotated",
    }
    found = [(key, names.get(key, key.title()), count) for key, count in counts.items() if count]
    return [("all", "All", len(groups)), *found]


def _searched(found: Findings) -> str:
    """What counts as a duplicate."""
    search = found.search
    words = ["equal pixels"]
    if search.symmetries:
        words.append("equal pixels after flips or quarter turns")
    if search.near is not None:
        bits = f"perceptual hashes ({search.hash}) at most {counted(search.near, 'bit')} apart"
        words.append(f"{bits}, confirmed on pixels")
    return f"Duplicates: images with {', '.join(words[:-1])}{' or ' * (len(words) > 1)}{words[-1]}."


@dataclass(frozen=True)
class _Numbers:
    threshold: float
    rows: list[tuple[str, str]]


def _measured(found: Findings) -> list[tuple[Any, str, _Numbers]]:
    """Each fault with its histogram and the figures behind it."""
    shown = []
    for number, fault in enumerate(FAULTS):
        values = found.qualities.values[:, number]
        threshold = float(found.qualities.thresholds[number])
        names = ("lowest", "1 %", "median", "99 %", "highest")
        points = np.quantile(values, (0, 0.01, 0.5, 0.99, 1)).tolist()
        rows = [(name, f"{value:.3g}") for name, value in zip(names, points, strict=True)]
        rows.append((f"{fault.name} images", f"{len(found.flagged[fault.name].rows):,}"))
        chart = charts.histogram(f"measure-{fault.name}", values, threshold)
        shown.append((fault, chart, _Numbers(threshold, rows)))
    return shown


def _omitted(found: Findings, pictures: int, side: int) -> str:
    """What the page leaves out, and why."""
    total = len(found.catalog.album)
    rules = [
        f"The page is limited to {LIMIT / 1e6:g} MB: its {counted(total, 'picture')} are stored at "
        f"{side} pixels, the largest size that fits",
        f"groups show up to {MOST_TILES:,} distinct pictures",
        f"alerts show {TILES_PER_ALERT}, galleries some of each class",
    ]
    if pictures < total:
        rules.insert(1, f"the last {total - pictures:,} did not fit")
    return "; ".join(rules) + "."
