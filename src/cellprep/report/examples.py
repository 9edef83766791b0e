"""A few images of a data set before and after each step, for contact sheets and reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..arrays import Images, Positions
from ..dataset.dataset import Dataset
from ..plan.plan import Change
from ..plan.rows import SAME

COLUMNS = 8


class Example(NamedTuple):
    """One image, its data set and row, and a caption."""

    image: Images
    dataset: Dataset
    row: int
    caption: str


class Strip(NamedTuple):
    """Images that belong together."""

    name: str
    examples: list[Example]


class Section(NamedTuple):
    """What one step did."""

    step: str
    heading: str
    why: str
    strips: list[Strip]


def sections(dataset: Dataset) -> Iterator[Section]:
    """The input, then for each step the images that it removed, or some before and after it."""
    first = dataset.chain[0]
    given = _strip("", first, _by_class(first, first.plan.rows.order()))
    yield Section("read", "input", f"{len(first):,} images", [given])
    for before, after in zip(dataset.chain, dataset.chain[1:], strict=False):
        change = after.plan.changes[-1]
        if after.plan.step.startswith("split"):
            continue  # no visible effect
        heading = f"{change.step}: {change.rows_in:,} to {change.rows_out:,} images"
        touched = after.plan.touched.any()
        strips = _before_and_after(before, after) if touched else _removed(before, change)
        yield Section(change.step, heading, change.why, strips)


def _strip(name: str, dataset: Dataset, rows: list[int], captions: bool = True) -> Strip:
    names = dataset.class_names
    return Strip(
        name,
        [
            Example(dataset.images[row], dataset, row, names[dataset.labels[row]] * captions)
            for row in rows
        ],
    )


def _by_class(dataset: Dataset, rows: Positions) -> list[int]:
    """The first row of each class, then further rows, as many as there are columns."""
    labels = dataset.labels[rows]
    first = np.sort(np.unique(labels, return_index=True)[1])
    chosen = rows[first[np.argsort(labels[first])]].tolist()
    shown = {dataset.ids[row] for row in chosen}
    for row in rows.tolist()[:2000]:
        if dataset.ids[row] not in shown:
            shown.add(dataset.ids[row])
            chosen.append(row)
    return list(chosen)[:COLUMNS]


def _removed(before: Dataset, change: Change) -> list[Strip]:
    """The removed pictures by reason, most frequent first, with their number of copies."""
    strips = []
    keys = before.plan.rows.keys
    for reason, removed in change.removed.items():
        rows = removed.rows
        # Equal images are one picture; a step that ignores pixels leaves no such column.
        look = rows.columns.get(SAME, np.arange(len(rows)))
        _, first, which, count = np.unique(
            look, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        examples = []
        for picture in np.argsort(-count, kind="stable")[:COLUMNS]:
            labels = np.unique(rows.labels[which.reshape(-1) == picture])
            under = f"{len(labels)} labels" if len(labels) > 1 else before.class_names[labels[0]]
            times = f"{count[picture]}x, " if count[picture] > 1 else ""
            row = int(np.flatnonzero(keys == rows.keys[first[picture]])[0])
            examples.append(Example(before.images[row], before, row, times + under))
        strips.append(Strip(reason, examples))
    return strips


def _before_and_after(before: Dataset, after: Dataset) -> list[Strip]:
    """Originals above their results; up to three copies for a step that makes copies."""
    touched = after.plan.touched
    order = after.plan.rows.order()
    order = order[touched[order]]
    chosen = _by_class(after, order)
    same = [np.flatnonzero(before.ids == after.ids[row]) for row in chosen]
    origins = [int(rows[np.argmin(before.copies[rows])]) for rows in same]
    strips = [_strip("before", before, origins)]
    copies = [order[after.ids[order] == after.ids[row]][:3].tolist() for row in chosen]
    many = min(map(len, copies)) if len(after) > len(before) else 1
    for number in range(many):
        rows = [one[number] for one in copies]
        strips.append(_strip("" if number else "after", after, rows, captions=False))
    return strips
