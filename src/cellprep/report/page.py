"""Findings as one HTML file that asks for nothing else: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np

from .. import errors
from ..errors import counted
from . import charts
from .attention import Alert, passed
from .gather import FIELDS, MOST_TILES, TILES_AN_ALERT, Findings, Group, Tile
from .pictures import encode
from .quality import FAULTS

LIMIT = 5_000_000  # bytes of a page
_SHORT = 16  # letters of a name below a picture
_SPARE = 20_000  # what the second rendering may add


def require() -> None:
    """Refuse before any work what could not be rendered."""
    for module in ("jinja2", "matplotlib"):
        errors.require(module, "cellprep[report]")


def render(found: Findings, told: list[Alert]) -> tuple[bytes, int]:
    """The page, and how many pictures it shows."""
    from jinja2 import Environment, StrictUndefined

    folder = files(__package__) / "template"
    style, script, text = (
        (folder / name).read_text("utf-8") for name in ("report.css", "report.js", "report.html")
    )
    content = {**_content(found, told), "style": style, "script": script}
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"counted": counted, "titleless": _titleless}
    template = environment.from_string(text)

    def made(uris: Sequence[str], side: int) -> bytes:
        """The page with these pictures; without any, to know what room there is for them."""
        tiles = _Tiles(found, len(uris))
        rules = "".join(f".p{n}{{background-image:url({uri})}}\n" for n, uri in enumerate(uris))
        page = template.render(
            **content,
            tiles=tiles,
            data={**content["lists"], "tiles": tiles.rows},
            rules=rules,
            style_hashes=f"{_hash(style)} {_hash(rules)}",
            script_hash=_hash(script),
            side=side,
            rule=_rule(found, len(uris), side),
        )
        return page.encode("utf-8", "backslashreplace")  # a name may be of bytes that are no text

    uris, side = encode(found.shown.album, LIMIT - _SPARE - len(made([], 0)))
    return made(uris, side), len(uris)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@dataclass
class _Tiles:
    """What the template says of tiles, and the images behind those that it has shown."""

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
        id, copy, name = self.found.shown.rows[tile.rows[0]][:3]
        who = f"id {id}" + f", copy {copy}" * (copy > 0)
        words = [
            tile.title or name,
            who if len(tile.rows) == 1 else counted(len(tile.rows), "image"),
        ]
        return ", ".join([*words, tile.facts] if tile.facts else words)

    def named(self, tile: Tile) -> str:
        id, copy = self.found.shown.rows[tile.rows[0]][:2]
        short = str(id).rpartition("/")[2] or str(id)  # of a path the name; lists have all of it
        if len(short) > _SHORT:
            short = f"{short[:5]}…{short[6 - _SHORT :]}"  # names differ at their ends
        who = short + f", copy {copy}" * (copy > 0)
        return who if len(tile.rows) == 1 else f"{len(tile.rows):,} × {who} …"

    def listed(self, rows: Sequence[int]) -> str:
        """A line an image: id, label, and its file where that is not its id."""
        lines = []
        for id, copy, name, file, *facts in (self.found.shown.rows[row] for row in rows):
            part = "test set" if facts[-1:] == ["b"] else ""
            words = [str(id), f"copy {copy}" * (copy > 0), name, file * (file != str(id)), part]
            lines.append(" · ".join(filter(None, words)))
        return "\n".join(lines)


def _titleless(tiles: Sequence[Tile]) -> list[Tile]:
    """Under a heading that says what they are."""
    return [replace(tile, title="") for tile in tiles]


def _content(found: Findings, told: list[Alert]) -> dict[str, Any]:
    """All that the template shows, but for the pictures."""
    counts = [found.series[0][1], found.series[-1][1]] if found.series[1:] else [found.here]
    drawn = [
        (
            one,
            charts.bars(
                f"operations-{number}",
                [op.name.replace("_", " ") for op in one.drawn],
                [[op.count for op in one.drawn]],
                mark=one.expected * one.copies * one.slots,
            ),
        )
        for number, one in enumerate(found.operations, 1)
    ]
    cards = [group for group in found.duplicates.groups if group.tiles]
    leaks = found.leaks.groups if found.leaks is not None else []
    return {
        "f": found,
        "alerts": told,
        "passed": passed(found, told),
        "cards": _cards(found),
        "sections": _sections(found, told),
        "kinds": _kinds(cards),
        "most_tiles": f"{MOST_TILES:,}",
        "most_bars": charts.MOST_BARS,
        "searched": _searched(found),
        "class_chart": charts.bars("classes", found.class_names, counts),
        "operations": drawn,
        "measured": _measured(found),
        "lists": {
            "fields": FIELDS,
            "classes": found.class_names,
            "rows": [_without_twin(row) for row in found.shown.rows],
            "groups": {
                f"{prefix}{group.number}": group.rows
                for prefix, groups in (("g", cards), ("l", leaks))
                for group in groups
            },
            "alerts": {alert.key: alert.rows for alert in told},
        },
    }


def _without_twin(row: list[Any]) -> list[Any]:
    """A row whose file is its id, as in a folder, without saying it twice."""
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
        cards.append((f"{leaked:,}", "test images in this set too", "high" if leaked else ""))
    return cards


def _sections(found: Findings, told: list[Alert]) -> list[tuple[str, str, int | None]]:
    sections: list[tuple[str, str, int | None]] = [
        ("attention", "Attention", len(told)),
        ("classes", "Classes", len(found.class_names)),
        ("duplicates", "Duplicates", found.duplicates.count),
    ]
    if found.leaks is not None:
        sections.append(("leaks", "Leaks", found.leaks.count))
    if found.sections or found.changes:
        sections.append(("steps", "Steps", len(found.changes or found.sections)))
    if found.operations:
        sections.append(("operations", "RandAugment", None))
    last = (("gallery", "Gallery"), ("measures", "Measures"), ("record", "Record"))
    return [*sections, *((key, name, None) for key, name in last)]


def _kinds(groups: Sequence[Group]) -> list[tuple[str, str, int]]:
    """The filters of groups, and how many each shows."""
    counts = {
        "conflict": sum(group.conflict for group in groups),
        **{kind: sum(kind in g.kinds for g in groups) for kind in ("exact", "turned", "near")},
        "copies": sum(group.kinds != ["exact"] for group in groups),
    }
    if not (counts["turned"] and counts["near"]):
        del counts["copies"]  # the same as one of them
    names = {"conflict": "Conflicts", "copies": "Near or turned"}
    found = [(key, names.get(key, key.title()), count) for key, count in counts.items() if count]
    return [("all", "All", len(groups)), *found]


def _searched(found: Findings) -> str:
    """What counted as a duplicate."""
    search = found.search
    words = ["equal pixels"]
    if search.symmetries:
        words.append("equal pixels when flipped or turned")
    if search.near is not None:
        bits = f"hashes ({search.hash}) at most {counted(search.near, 'bit')} apart"
        words.append(f"processed copies, with {bits} and confirmed on pixels")
    return f"Images with {', '.join(words[:-1])}{' and ' * (len(words) > 1)}{words[-1]}."


@dataclass(frozen=True)
class _Numbers:
    limit: float
    rows: list[tuple[str, str]]


def _measured(found: Findings) -> list[tuple[Any, str, _Numbers]]:
    """Each fault with its histogram and the numbers behind it."""
    shown = []
    for number, fault in enumerate(FAULTS):
        values = found.qualities.values[:, number]
        limit = float(found.qualities.limits[number])
        names = ("lowest", "1 %", "median", "99 %", "highest")
        points = np.quantile(values, (0, 0.01, 0.5, 0.99, 1)).tolist()
        rows = [(name, f"{value:.3g}") for name, value in zip(names, points, strict=True)]
        rows.append((f"{fault.name} images", f"{len(found.marked[fault.name].rows):,}"))
        chart = charts.histogram(f"measure-{fault.name}", values, limit)
        shown.append((fault, chart, _Numbers(limit, rows)))
    return shown


def _rule(found: Findings, pictures: int, side: int) -> str:
    """What the page leaves out, and by which rule."""
    wanted = len(found.shown.album)
    said = [
        f"The page is kept below {LIMIT / 1e6:g} MB: its {counted(wanted, 'picture')} are kept at "
        f"{side} pixels, the most that fit",
        f"cards of groups have room for {MOST_TILES:,} pictures, each equal picture once",
        f"alerts show {TILES_AN_ALERT}, galleries some of each class",
    ]
    if pictures < wanted:
        said.insert(1, f"for the last {wanted - pictures:,} of them there was no room")
    return "; ".join(said) + "."
