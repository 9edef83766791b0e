"""What of a data set needs attention, the most pressing first, and what was found to be well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import counted
from .catalog import Tile
from .findings import TILES_PER_ALERT, Findings, Group
from .quality import FAULTS

OUTLIER = 10  # images of a group above which the picture is no photograph, as in Dedupe
_RATIOS = (3, 10)  # of the largest class to the smallest, from which on classes are uneven
_FEW = 20  # images of a class, of which little can be learnt
_COMMON = 0.1  # share of the images from which on a fault is a property of the set
_ADVICE = {
    "empty": "Look at them; an empty field under a cell's label teaches the wrong thing",
    "dark": "Look at them; take out those in which nothing can be seen",
    "blurred": "Look at them; take out those in which you could not tell the class",
}


@dataclass(frozen=True)
class Alert:
    """One thing to look at.

    Attributes
    ----------
    key : str
    severity : "high", "medium" or "low"
    title : str
    text : str
        What was found.
    advice : str
        What to do.
    rows : list of int
        The images, as the page numbers them.
    tiles : list of Tile
        Some of them.
    show : str
        The filter of the groups that shows them.
    lines : list of (str, str)
        Names and causes.
    """

    key: str
    severity: str
    title: str
    text: str
    advice: str
    rows: list[int] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    show: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)


def alerts(found: Findings) -> list[Alert]:
    """Everything that needs attention, high severity first."""
    order = ("high", "medium", "low")
    made = [*_files(found), *_duplicates(found), *_classes(found), *_looks(found)]
    return sorted(made, key=lambda alert: order.index(alert.severity))


def passed(found: Findings, told: list[Alert]) -> list[str]:
    """What was looked for and not found."""
    keys = {alert.key for alert in told}
    checks = {
        "bad": "every file can be read",
        "conflict": "no duplicates under different labels",
        "outlier": f"no picture more than {OUTLIER} times",
        "repeat": "no repeated images",
        "copies": "no near or turned copies" if found.search else "",
        "leak": "no leaks into the test set" if found.leaks is not None else "",
        "balance": f"no class {_RATIOS[0]} times as large as another",
        "few": f"{_FEW} images or more of every class",
        "odd": "no odd sizes",
        **{fault.name: f"no {fault.name} images" for fault in FAULTS},
    }
    return [text for key, text in checks.items() if text and key not in keys]


def _files(found: Findings) -> Iterator[Alert]:
    if found.bad:
        yield Alert(
            "bad",
            "high",
            f"{counted(len(found.bad), 'file')} cannot be used",
            "They are left out of everything else on this page.",
            'Mend them, or leave them out with on_error="skip" or "quarantine"',
            lines=sorted(found.bad.items()),
        )
    odd = found.flagged["odd"]
    if odd.rows:
        yield Alert(
            "odd",
            "low",
            f"{counted(len(odd.rows), 'image')} of an odd size",
            "Their size or proportions lie more than three times the distance between the "
            "quartiles outside of these.",
            "Look whether they were cut out differently, or show something else",
            odd.rows,
            odd.tiles,
        )


def _duplicates(found: Findings) -> Iterator[Alert]:
    groups = found.duplicates.groups
    conflicts = [group for group in groups if group.conflict]
    if conflicts:
        yield Alert(
            "conflict",
            "high",
            f"{counted(found.duplicates.conflicts, 'group')} of duplicates under different labels",
            f"{counted(found.duplicates.in_conflict, 'image')}: the same picture cannot be of two "
            "classes, and a classifier that learns from both learns neither.",
            'Dedupe() drops them; Dedupe(on_conflict="majority") keeps what most labels say',
            _rows(conflicts),
            _first(conflicts),
            "conflict",
        )
    large = [group for group in groups if len(group.rows) > OUTLIER]
    if large:
        most = max(len(group.rows) for group in large)
        yield Alert(
            "outlier",
            "high",
            f"{counted(len(large), 'picture')} more than {OUTLIER} times, up to {most:,} times",
            "A picture that stands so often is hardly a photograph, even where its labels agree.",
            f"Dedupe(max_copies={OUTLIER}), the default, takes them out whole",
            _rows(large),
            _first(large),
            "all",
        )
    leaks = found.leaks.groups if found.leaks is not None else []
    if found.leaks is not None and leaks:
        said = found.catalog.rows
        rows = [row for group in leaks for row in group.rows if said[row][-1] == "b"]
        yield Alert(
            "leak",
            "high",
            f"{counted(found.leaks.images, 'image')} of the test set in this set too",
            "Scores on the test set are too good by what was learnt by heart.",
            "Split again with cellprep split, which keeps duplicates on one side",
            rows,
            _first(leaks),
        )
    whole = found.duplicates.listed == found.duplicates.images
    listed = "" if whole else " These are those among the groups that the page lists."
    plain = [g for g in groups if not g.conflict and len(g.rows) <= OUTLIER]
    repeated = [group for group in plain if "exact" in group.kinds]
    if repeated:
        yield Alert(
            "repeat",
            "medium",
            f"{counted(len(repeated), 'image')} repeated under one label",
            f"Their labels agree; a split that parts them leaks.{listed}",
            "Dedupe() keeps one of each; split keeps them on one side",
            _rows(repeated),
            _first(repeated),
            "exact",
        )
    copies = [group for group in plain if group.kinds != ["exact"]]
    if copies:
        kinds = {kind for group in copies for kind in group.kinds if kind != "exact"}
        settings = f"near={found.search.near}, symmetries={found.search.symmetries}"
        yield Alert(
            "copies",
            "medium",
            f"{counted(len(copies), 'group')} of near or turned copies",
            "Compressed, resized, moved, lit, flipped or turned versions of one image, or the same "
            f"cell taken twice.{listed}",
            f"Dedupe({settings}) and split({settings}) know them",
            _rows(copies),
            _first(copies),
            "copies" if len(kinds) == 2 else kinds.pop(),
        )


def _rows(groups: Sequence[Group]) -> list[int]:
    return [row for group in groups for row in group.rows]


def _first(groups: Sequence[Group]) -> list[Tile]:
    """A picture of each of the first groups."""
    return [group.tiles[0] for group in groups if group.tiles][:TILES_PER_ALERT]


def _classes(found: Findings) -> Iterator[Alert]:
    counts = dict(zip(found.class_names, found.counts, strict=True))
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    few = [name for name, count in counts.items() if count < _FEW]
    if few:
        empty = [name for name in few if not counts[name]]
        said = ", ".join(f"{name} ({counts[name]:,})" for name in few[:8])
        yield Alert(
            "few",
            "high" if empty else "medium",
            f"{counted(len(few), 'class', 'classes')} of fewer than {_FEW} images",
            said + (f" and {len(few) - 8} more" if few[8:] else "") + ".",
            "Find more, or leave the class out; copies of so few do not stand in for photographs",
        )
    ratio = counts[most] / max(1, counts[least])
    if ratio >= _RATIOS[0]:
        yield Alert(
            "balance",
            "high" if ratio >= _RATIOS[1] else "medium",
            f"The largest class is {ratio:,.1f} times as large as the smallest",
            f"{most} has {counted(counts[most], 'image')}, {least} {counts[least]:,}.",
            "Balance() on the training part, or class_weights(labels) in training",
        )


def _looks(found: Findings) -> Iterator[Alert]:
    for number, fault in enumerate(FAULTS):
        marked = found.flagged[fault.name]
        if not marked.rows:
            continue
        common = len(marked.rows) > _COMMON * found.sources
        limit, middle = found.qualities.limits[number], found.qualities.medians[number]
        text = f"{fault.measure[0].upper()}{fault.measure[1:]}: below {limit:.3g}"
        text += f", where the set's middle image has {middle:.3g}."
        yield Alert(
            fault.name,
            "low" if common else "medium",
            counted(len(marked.rows), f"{fault.name} image"),
            text,
            "So many are rather a property of the set" if common else _ADVICE[fault.name],
            marked.rows,
            marked.tiles,
        )
