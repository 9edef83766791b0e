"""What needs attention in a data set, most urgent first, and which checks passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import counted
from .catalog import Tile
from .findings import TILES_PER_ALERT, Findings, Group
from .quality import FAULTS

OUTLIER = 10  # a picture repeated more often is probably not a real sample, as in Dedupe
_RATIOS = (3, 10)  # largest class to smallest: imbalanced, severely imbalanced
_FEW = 20  # images of a class, below which little can be learnt from it
_UNREAD = 200  # unread files that are listed
_COMMON = 0.1  # share of the images above which a fault is a property of the set
_ADVICE = {
    "empty": "Check them; an empty image with a cell's label teaches the wrong thing",
    "dark": "Check them; remove those in which nothing is visible",
    "blurred": "Check them; remove those whose class you could not name",
}


@dataclass(frozen=True)
class Alert:
    """One problem to check.

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
        The images concerned, by their number on the page.
    tiles : list of Tile
        Pictures of some of them.
    show : str
        The filter that shows their groups.
    lines : list of (str, str)
        Names of files and what is wrong with them.
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
    checks = (_files, _conflicts, _outliers, _leaks, _repeats, _classes, _quality)
    made = [alert for check in checks for alert in check(found)]
    return sorted(made, key=lambda alert: order.index(alert.severity))


def passed(found: Findings, failed: list[Alert]) -> list[str]:
    """The checks that found nothing."""
    keys = {alert.key for alert in failed}
    checks = {
        "bad": "every file can be read",
        "unread": "no other files in the input",
        "conflict": "no duplicates with conflicting labels",
        "outlier": f"no picture more than {OUTLIER} times",
        "repeat": "no repeated images",
        "copies": "no near, flipped or rotated copies" if found.search else "",
        "leak": "no leaks into the test set" if found.leaks is not None else "",
        "balance": f"no class {_RATIOS[0]} times the size of another",
        "few": f"at least {_FEW} images of every class",
        "odd": "no unusual sizes",
        **{fault.name: f"no {fault.name} images" for fault in FAULTS},
    }
    return [text for key, text in checks.items() if text and key not in keys]


def _files(found: Findings) -> Iterator[Alert]:
    if found.bad:
        yield Alert(
            "bad",
            "high",
            f"{counted(len(found.bad), 'file')} cannot be used",
            "They are ignored in the rest of this page.",
            'Fix them, or skip them with on_error="skip" or "quarantine"',
            lines=sorted(found.bad.items()),
        )
    if found.unread:
        listed = sorted(found.unread.items())[:_UNREAD]
        more = len(found.unread) - len(listed)
        yield Alert(
            "unread",
            "low",
            f"{counted(len(found.unread), 'file')} not read",
            "They are in the input, but are not images of it." + f" {more:,} more." * (more > 0),
            "Check whether images are among them: rename or convert those",
            lines=listed,
        )
    odd = found.flagged["odd"]
    if odd.rows:
        yield Alert(
            "odd",
            "low",
            f"{counted(len(odd.rows), 'image')} of unusual size",
            "Their size or aspect ratio is more than three interquartile ranges outside the "
            "quartiles of the set.",
            "Check whether they were cropped differently or show something else",
            odd.rows,
            odd.tiles,
        )


def _conflicts(found: Findings) -> Iterator[Alert]:
    groups = [group for group in found.duplicates.groups if group.conflict]
    if groups:
        yield Alert(
            "conflict",
            "high",
            f"{counted(found.duplicates.conflicts, 'group')} of duplicates with conflicting labels",
            f"{counted(found.duplicates.in_conflict, 'image')}: one picture cannot belong to two "
            "classes; a classifier trained on both learns neither.",
            'Dedupe() removes them; Dedupe(on_conflict="majority") keeps the majority label',
            _rows(groups),
            _first(groups),
            "conflict",
        )


def _outliers(found: Findings) -> Iterator[Alert]:
    groups = [group for group in found.duplicates.groups if len(group.rows) > OUTLIER]
    if groups:
        most = max(len(group.rows) for group in groups)
        pictures = counted(len(groups), "picture")
        yield Alert(
            "outlier",
            "high",
            f"{pictures} repeated more than {OUTLIER} times, up to {most:,} times",
            "A picture repeated this often is probably not a real sample, even if its labels "
            "agree.",
            f"Dedupe(max_copies={OUTLIER}), the default, removes all of its copies",
            _rows(groups),
            _first(groups),
            "all",
        )


def _leaks(found: Findings) -> Iterator[Alert]:
    if found.leaks is not None and found.leaks.groups:
        groups, known = found.leaks.groups, found.catalog.rows
        yield Alert(
            "leak",
            "high",
            f"{counted(found.leaks.images, 'image')} of the test set also in this set",
            "A model can memorise these images, so test scores look better than they are.",
            "Split again with cellprep split, which keeps duplicates in one split",
            [row for group in groups for row in group.rows if known[row][-1] == "b"],
            _first(groups),
        )


def _repeats(found: Findings) -> Iterator[Alert]:
    """Duplicates with one label: equal images, then near, flipped or rotated copies."""
    groups = found.duplicates.groups
    complete = found.duplicates.listed == found.duplicates.images
    listed = "" if complete else " Only the groups listed on this page are counted."
    plain = [g for g in groups if not g.conflict and len(g.rows) <= OUTLIER]
    repeated = [group for group in plain if "exact" in group.kinds]
    if repeated:
        yield Alert(
            "repeat",
            "medium",
            f"{counted(len(repeated), 'image')} repeated with the same label",
            f"A random split would leak them into the test set.{listed}",
            "Dedupe() keeps one of each; split() keeps them in one split",
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
            f"{counted(len(copies), 'group')} of near, flipped or rotated copies",
            "Compressed, resized, shifted, relit, flipped or rotated versions of one image, or two "
            f"photographs of the same cell.{listed}",
            f"Use Dedupe({settings}) and split({settings})",
            _rows(copies),
            _first(copies),
            "copies" if len(kinds) == 2 else kinds.pop(),
        )


def _rows(groups: Sequence[Group]) -> list[int]:
    return [row for group in groups for row in group.rows]


def _first(groups: Sequence[Group]) -> list[Tile]:
    """One picture of each of the first groups."""
    return [group.tiles[0] for group in groups if group.tiles][:TILES_PER_ALERT]


def _classes(found: Findings) -> Iterator[Alert]:
    counts = dict(zip(found.class_names, found.counts, strict=True))
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    few = [name for name, count in counts.items() if count < _FEW]
    if few:
        empty = [name for name in few if not counts[name]]
        listed = ", ".join(f"{name} ({counts[name]:,})" for name in few[:8])
        yield Alert(
            "few",
            "high" if empty else "medium",
            f"{counted(len(few), 'class', 'classes')} with fewer than {_FEW} images",
            listed + (f" and {len(few) - 8} more" if few[8:] else "") + ".",
            "Collect more or drop the class; augmented copies do not replace real images",
        )
    ratio = counts[most] / max(1, counts[least])
    if ratio >= _RATIOS[0]:
        yield Alert(
            "balance",
            "high" if ratio >= _RATIOS[1] else "medium",
            f"The largest class has {ratio:,.1f} times as many images as the smallest",
            f"{most} has {counted(counts[most], 'image')}, {least} {counts[least]:,}.",
            "Use Balance() on the training split, or class_weights(labels) in training",
        )


def _quality(found: Findings) -> Iterator[Alert]:
    for number, fault in enumerate(FAULTS):
        flagged = found.flagged[fault.name]
        if not flagged.rows:
            continue
        common = len(flagged.rows) > _COMMON * found.sources
        threshold, middle = found.qualities.thresholds[number], found.qualities.medians[number]
        advice = _ADVICE[fault.name]
        text = f"{fault.measure[0].upper()}{fault.measure[1:]}: below {threshold:.3g}"
        text += f"; the median of the set is {middle:.3g}."
        yield Alert(
            fault.name,
            "low" if common else "medium",
            counted(len(flagged.rows), f"{fault.name} image"),
            text,
            "So many are affected that it is a property of the set" if common else advice,
            flagged.rows,
            flagged.tiles,
        )
