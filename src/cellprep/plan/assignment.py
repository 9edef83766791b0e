"""Which split each row goes to: groups stay whole, classes in proportion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Keys, Labels, Positions
from ..errors import CellprepError
from .groups import Groups


def assign_splits(
    labels: Labels,
    units: Groups,
    fractions: Mapping[str, float],
    rank: Keys,
    class_names: Sequence[str],
) -> NDArray[np.int64]:
    """(n,) the number of each row's split: units stay whole, classes in proportion.

    Units of several rows are assigned first, in decreasing size, each to the split that lacks most
    of its classes; single rows then fill each class's quota exactly. `rank`, one number per row,
    breaks ties, so the order of rows does not matter.
    """
    classes = len(class_names)
    in_several = (np.bincount(units) > 1)[units]
    single, several = np.flatnonzero(~in_several), np.flatnonzero(in_several)
    unit = np.unique(units[several], return_inverse=True)[1]
    n_units = int(unit.max(initial=-1)) + 1
    table = np.bincount(unit * classes + labels[several], minlength=n_units * classes)
    table = table.reshape(n_units, classes)
    alone = np.bincount(labels[single], minlength=classes)
    total = alone + table.sum(axis=0)
    _check_units(alone + (table > 0).sum(axis=0), total, class_names, list(fractions))

    share = np.array(list(fractions.values()))
    missing = np.stack([_apportion(int(count), share) for count in total], axis=1)
    least = np.full(n_units, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, unit, rank[several])
    split_of_unit = np.full(n_units, -1, np.int64)
    order = np.lexsort((least, -table.sum(axis=1)))
    _assign_first_units(table, order, alone, missing, split_of_unit)
    weight = 1 / np.maximum(total, 1)
    for number in order[split_of_unit[order] < 0]:
        split_of_unit[number] = int(np.argmax(missing @ (table[number] * weight)))
        missing[split_of_unit[number]] -= table[number]

    split = np.empty(len(labels), np.int64)
    split[several] = split_of_unit[unit]
    single = single[np.lexsort((rank[single], labels[single]))]
    quotas = [_apportion(int(alone[c]), np.maximum(missing[:, c], 0)) for c in range(classes)]
    split[single] = np.repeat(np.tile(np.arange(len(share)), classes), np.concatenate(quotas))
    return split


def _assign_first_units(
    table: NDArray[np.int64],
    order: Positions,
    alone: NDArray[np.int64],
    missing: NDArray[np.int64],
    split_of_unit: NDArray[np.int64],
) -> None:
    """Give every split one unit of each class with too few single rows, nearest to its quota."""
    for label in np.argsort((table > 0).sum(axis=0), kind="stable"):
        holders = order[table[order, label] > 0]
        if alone[label] >= len(missing):
            continue  # single rows will fill the quota
        for number in np.argsort(missing[:, label], kind="stable"):
            if (split_of_unit[holders] == number).any():
                continue
            free = holders[split_of_unit[holders] < 0]
            if len(free):
                unit = free[np.argmin(np.abs(table[free, label] - missing[number, label]))]
                split_of_unit[unit] = number
                missing[number] -= table[unit]


def _listed(splits: Sequence[str]) -> str:
    return ", ".join(splits) if len(splits) <= 5 else f"{len(splits)} splits"


def _check_units(
    available: NDArray[np.int64],
    images: NDArray[np.int64],
    names: Sequence[str],
    splits: Sequence[str],
) -> None:
    """Refuse a class with fewer units than there are splits."""
    for name, units, count in zip(names, available.tolist(), images.tolist(), strict=True):
        if units < len(splits):
            kind = "group" if units < count else "image"
            raise CellprepError(
                f"class '{name}' has {units or 'no'} {kind}{'s' * (units != 1)}, which cannot be "
                f"in all of {_listed(splits)}; find more, leave the class out, or ask for fewer "
                "splits"
            )


def _apportion(total: int, weights: NDArray[Any]) -> NDArray[np.int64]:
    """Whole shares of a total by largest remainder, none empty if there is enough for all.

    >>> _apportion(10, np.array([0.8, 0.1, 0.1])), _apportion(3, np.array([0.8, 0.1, 0.1]))
    (array([8, 1, 1]), array([1, 1, 1]))
    """
    weights = weights / weights.sum() if weights.sum() else np.full(len(weights), 1 / len(weights))
    exact = total * weights
    shares = np.floor(exact + 1e-9).astype(np.int64)
    odd = np.argsort(-(exact - shares), kind="stable")[: total - shares.sum()]
    shares[odd] += 1
    for empty in np.flatnonzero((shares == 0) & (weights > 0)):
        if shares.max() > 1:
            shares[shares.argmax()] -= 1
            shares[empty] = 1
    return shares
