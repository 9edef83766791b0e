"""Repeated images: found by digest, confirmed on pixels, shown as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from . import executors, measures, rules
from .arrays import Masks, Positions
from .dataset import Dataset, as_dataset, check_dataset
from .errors import CellprepError
from .plan import Pixels, Plan

if TYPE_CHECKING:
    import pandas as pd


def exact_groups(plan: Plan) -> tuple[Plan, rules.Groups]:
    """The plan with its digests measured, and the groups of rows with the same pixels.

    Digests propose, pixels decide: rows whose digests agree are compared byte by byte with the
    first of them, so a collision splits into the groups that it hid.
    """
    plan = plan.measure("digest", measures.digest)
    proposed = rules.equal_rows(plan.rows.columns["digest"])
    confirmed = np.full(len(plan), -1, np.int64)
    open_rows = np.flatnonzero(proposed >= 0)
    count = 0
    while len(open_rows):
        group = proposed[open_rows]
        names, first = np.unique(group, return_index=True)
        example = open_rows[first][np.searchsorted(names, group)]
        same = _equal_pixels(plan, open_rows, example)
        found = open_rows[same]
        several = np.bincount(proposed[found], minlength=group.max() + 1)[proposed[found]] > 1
        numbers = np.unique(proposed[found[several]], return_inverse=True)[1]
        confirmed[found[several]] = count + numbers
        count += int(numbers.max(initial=-1)) + 1
        open_rows = open_rows[~same]
    return plan, confirmed


def _equal_pixels(plan: Plan, rows: Positions, others: Positions) -> Masks:
    """Whether the image at each place equals the image at the other place, byte by byte."""
    same = np.ones(len(rows), bool)
    todo = np.flatnonzero(rows != others)
    spans = plan.spans(len(todo))
    calls = executors.run(_Equal(plan.pixels, rows[todo], others[todo]), spans, "comparing")
    for (start, stop), equal in zip(spans, calls, strict=True):
        same[todo[start:stop]] = equal
    return same


@dataclass(frozen=True)
class _Equal:
    """Whether the pairs of a span are equal."""

    pixels: Pixels
    rows: Positions
    others: Positions

    def __call__(self, span: executors.Span) -> list[bool]:
        images, _ = self.pixels.evaluate(self.rows[slice(*span)])
        examples, place = np.unique(self.others[slice(*span)], return_inverse=True)
        others, _ = self.pixels.evaluate(examples)
        pairs = zip(images, place.tolist(), strict=True)
        return [np.array_equal(image, others[other]) for image, other in pairs]


def find_duplicates(images: Dataset | ArrayLike, labels: ArrayLike | None = None) -> pd.DataFrame:
    """Every image that stands more than once, with the labels that it stands under.

    Images are duplicates when all their pixels are equal.

    Parameters
    ----------
    images : Dataset or (n, height, width, 3) uint8
    labels : (n,), (n, 1) or one-hot, optional
        With arrays; without labels nothing is in conflict.

    Returns
    -------
    DataFrame
        One row an image of a group: `id`, `copy`, `label`, `class_name`, `group`, `relation`
        ("exact") and `conflict` (the group's labels disagree). Conflicts come first, then large
        groups; groups are numbered in this order.

    Examples
    --------
    >>> images = np.zeros((3, 8, 8, 3), np.uint8)
    >>> images[1] = 255
    >>> find_duplicates(images, ["a", "b", "b"])[["id", "class_name", "group", "conflict"]]
       id class_name  group  conflict
    0   0          a      0      True
    1   2          b      0      True
    """
    plan, groups = exact_groups(as_dataset(images, labels)[0].plan)
    return _table(plan, groups)[0]


def find_leaks(a: Dataset, b: Dataset) -> pd.DataFrame:
    """Images that stand in both of two data sets, such as a training and a test set.

    Returns
    -------
    DataFrame
        Like that of `find_duplicates`, with the groups that reach over both sets, and a first
        column `part`: "a" or "b".

    Examples
    --------
    >>> image = np.zeros((1, 8, 8, 3), np.uint8)
    >>> train = Dataset.from_arrays(image, ["cell"])
    >>> find_leaks(train, train)["part"].tolist()
    ['a', 'b']
    """
    check_dataset(a)
    check_dataset(b)
    if a.plan.shape != b.plan.shape:
        raise CellprepError(
            f"images of {a.plan.shape} and {b.plan.shape} cannot be equal; read "
            "both with the same size="
        )
    plan, groups = exact_groups(Plan.joined(a.plan, b.plan))
    in_b = np.arange(len(plan)) >= len(a.plan)
    across = np.intersect1d(groups[in_b], groups[~in_b])
    groups = np.where(np.isin(groups, across), groups, -1)
    table, at = _table(plan, groups)
    table.insert(0, "part", np.where(in_b[at], "b", "a"))
    return table


def _table(plan: Plan, groups: rules.Groups) -> tuple[pd.DataFrame, Positions]:
    """The table of the grouped rows, conflicts and large groups first, and their places."""
    import pandas as pd

    rows, names = plan.rows, np.array(plan.class_names, dtype=object)
    conflict = rules.conflicting(groups, rows.labels)
    inside = np.flatnonzero(groups >= 0)
    size = np.bincount(groups[inside], minlength=1)
    rank = np.empty(len(rows), np.int64)
    rank[rows.order()] = np.arange(len(rows))
    first = np.full(len(size), len(rows))
    np.minimum.at(first, groups[inside], rank[inside])
    group = groups[inside]
    at = inside[np.lexsort((rank[inside], first[group], -size[group], ~conflict[inside]))]
    numbers, place = np.unique(groups[at], return_index=True)
    shown = np.empty(len(size), np.int64)
    shown[numbers[np.argsort(place)]] = np.arange(len(numbers))
    table = pd.DataFrame(
        {
            "id": rows.ids[at],
            "copy": rows.copies[at],
            "label": rows.labels[at],
            "class_name": names[rows.labels[at]],
            "group": shown[groups[at]],
            "relation": "exact",
            "conflict": conflict[at],
        }
    )
    return table, at
