"""What to do with rows: arithmetic on labels, groups and hashes. Never a pixel, never a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Keys, Labels, Positions
from ..errors import CellprepError, nearest

Groups = NDArray[np.int64]
"""(n,), the number of a row's group, -1 outside every group."""


def equal_rows(table: NDArray[Any]) -> Groups:
    """Groups of rows of an (n, k) table that are equal; a row like no other gets -1.

    >>> equal_rows(np.array([[1, 1], [2, 0], [1, 1]]))
    array([ 0, -1,  0])
    """
    order = np.lexsort(table.T)
    ordered = table[order]
    new = np.ones(len(table), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    run = np.cumsum(new) - 1
    shared = (np.bincount(run, minlength=1) > 1)[run]
    groups = np.full(len(table), -1, np.int64)
    groups[order[shared]] = np.unique(run[shared], return_inverse=True)[1]
    return groups


def conflicting(groups: Groups, labels: Labels) -> NDArray[np.bool_]:
    """(n,) True in groups whose labels disagree.

    >>> conflicting(np.array([0, -1, 0, 1, 1]), np.array([2, 2, 3, 5, 5]))
    array([ True, False,  True, False, False])
    """
    grouped = groups >= 0
    count = int(groups.max(initial=-1)) + 1
    low = np.full(count, np.iinfo(np.int64).max)
    high = np.full(count, -1)
    np.minimum.at(low, groups[grouped], labels[grouped])
    np.maximum.at(high, groups[grouped], labels[grouped])
    conflict = np.zeros(len(groups), bool)
    conflict[grouped] = (low != high)[groups[grouped]]
    return conflict


def votes(groups: Groups, labels: Labels, names: Sequence[str]) -> list[str]:
    """The labels of each group by how often they stand, from group 0.

    >>> votes(np.array([0, 0, 0, 1]), np.array([1, 0, 1, 0]), ["baso", "mono"])
    ['mono 2, baso 1', 'baso 1']
    """
    found, counts = np.unique(np.stack([groups, labels]), axis=1, return_counts=True)
    order = np.lexsort((found[1], -counts, found[0]))
    said: list[list[str]] = [[] for _ in range(int(groups.max(initial=-1)) + 1)]
    for (group, label), count in zip(found.T[order].tolist(), counts[order].tolist(), strict=True):
        said[group].append(f"{names[label]} {count}")
    return [", ".join(words) for words in said]


def resolve_duplicates(
    groups: Groups,
    labels: Labels,
    order: Positions,
    *,
    on_conflict: str,
    on_duplicate: str,
    max_copies: int | None,
) -> dict[str, Positions]:
    """The places of the rows that go, by reason.

    `order` lists all places by (id, copy); of a group that keeps one row, the first in that order
    stays.
    """
    grouped = groups >= 0
    inside = np.flatnonzero(grouped)
    group = groups[inside]
    size = np.bincount(group)[group] if len(group) else group
    reason = np.zeros(len(inside), np.int64)
    outlier, conflict, outvoted, repeat = 1, 2, 3, 4

    disputed = conflicting(groups, labels)[inside]
    if on_conflict == "drop":
        reason[disputed] = conflict
    elif on_conflict == "majority" and len(inside):
        votes = group * (labels.max() + 1) + labels[inside]
        _, vote, count = np.unique(votes, return_inverse=True, return_counts=True)
        wins = 2 * count[vote] > size
        decided = np.zeros(group.max() + 1, bool)
        decided[group[wins]] = True
        reason[disputed & ~decided[group]] = conflict
        reason[disputed & decided[group] & ~wins] = outvoted
    if max_copies is not None:
        reason[(size > max_copies) & (reason != conflict)] = outlier

    open_to_repeat = (reason == 0) & ~(disputed & (on_conflict == "keep"))
    if on_duplicate == "drop":
        reason[open_to_repeat] = repeat
    elif on_duplicate == "one":
        rank = np.empty(len(groups), np.int64)
        rank[order] = np.arange(len(groups))
        candidates = np.flatnonzero(open_to_repeat)
        by_rank = candidates[np.lexsort((rank[inside[candidates]], group[candidates]))]
        first = np.unique(group[by_rank], return_index=True)[1]
        stays = np.zeros(len(inside), bool)
        stays[by_rank[first]] = True
        reason[open_to_repeat & ~stays] = repeat
    words = {
        conflict: "equal images under conflicting labels",
        outvoted: "outvoted by the majority of equal images",
        outlier: f"in groups of more than {max_copies} equal images",
        repeat: "repeats of an equal image",
    }
    return {words[code]: inside[reason == code] for code in words}


def balance_counts(
    labels: Labels,
    class_names: Sequence[str],
    target: str | int | Mapping[Any, int],
    rank: Keys,
) -> NDArray[np.int64]:
    """How often each row is to stand, so that every class meets the target.

    Within a class the rows with the smallest `rank` get the odd copy, or stay when rows must go.

    >>> balance_counts(np.array([0, 0, 0, 1, 1]), ["a", "b"], "max", np.arange(5, dtype=np.uint64))
    array([1, 1, 1, 2, 1])
    """
    present = np.bincount(labels, minlength=len(class_names))
    wanted = _targets(present, class_names, target)
    order = np.lexsort((rank, labels))
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels)) - (np.cumsum(present) - present)[labels[order]]
    whole, odd = np.divmod(wanted, np.maximum(present, 1))
    return np.asarray(whole[labels] + (place < odd[labels]))


def _targets(
    present: NDArray[np.int64], names: Sequence[str], target: str | int | Mapping[Any, int]
) -> NDArray[np.int64]:
    wanted = present.copy()
    if isinstance(target, Mapping):
        for name, count in target.items():
            if str(name) not in names:
                raise CellprepError(f"`target` names class {name!r}; {nearest(str(name), names)}")
            wanted[list(names).index(str(name))] = count
    else:
        if (present == 0).any():
            raise CellprepError(
                f"class '{names[int(present.argmin())]}' has no images to balance; "
                "leave it out of class_names, or give a target by class"
            )
        amount = {"max": present.max(), "min": present.min(), "median": int(np.median(present))}
        wanted[:] = amount[target] if isinstance(target, str) else target
    for name, have, want in zip(names, present.tolist(), wanted.tolist(), strict=True):
        if have == 0 and want:
            raise CellprepError(f"class '{name}' has no images, {want} are wanted")
    return wanted


def merge_groups(n: int, *groupings: Groups) -> Groups:
    """Units that hold together whatever any of the groupings holds together, numbered from 0.

    >>> merge_groups(4, np.array([0, 0, -1, -1]), np.array([-1, 7, 7, -1]))
    array([0, 0, 0, 1])
    """
    unit = np.arange(n)
    links = []
    for groups in groupings:
        inside = np.flatnonzero(groups >= 0)
        links.append((inside, np.unique(groups[inside], return_inverse=True)[1]))
    while True:
        before = unit.copy()
        for inside, group in links:
            if len(inside):
                least = np.full(group.max() + 1, n)
                np.minimum.at(least, group, unit[inside])
                unit[inside] = least[group]
        unit = unit[unit]
        if (unit == before).all():
            return np.unique(unit, return_inverse=True)[1].astype(np.int64)


def assign_parts(
    labels: Labels,
    units: Groups,
    fractions: Mapping[str, float],
    rank: Keys,
    class_names: Sequence[str],
) -> NDArray[np.int64]:
    """(n,) the number of each row's part: whole units, classes in proportion.

    Units of several rows are placed first, largest first, each where its classes are missed most;
    single rows then fill each class's quota exactly. `rank`, one number a row, settles ties, so
    the order of rows does not matter.
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
    missed = np.stack([_apportion(int(count), share) for count in total], axis=1)
    least = np.full(n_units, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, unit, rank[several])
    part_of_unit = np.full(n_units, -1, np.int64)
    order = np.lexsort((least, -table.sum(axis=1)))
    _place_first_units(table, order, alone, missed, part_of_unit)
    weight = 1 / np.maximum(total, 1)
    for place in order[part_of_unit[order] < 0]:
        part_of_unit[place] = int(np.argmax(missed @ (table[place] * weight)))
        missed[part_of_unit[place]] -= table[place]

    part = np.empty(len(labels), np.int64)
    part[several] = part_of_unit[unit]
    single = single[np.lexsort((rank[single], labels[single]))]
    quotas = [_apportion(int(alone[c]), np.maximum(missed[:, c], 0)) for c in range(classes)]
    part[single] = np.repeat(np.tile(np.arange(len(share)), classes), np.concatenate(quotas))
    return part


def _place_first_units(
    table: NDArray[np.int64],
    order: Positions,
    alone: NDArray[np.int64],
    missed: NDArray[np.int64],
    part: NDArray[np.int64],
) -> None:
    """Give every part one unit of each class that lives in units, nearest to its quota."""
    for label in np.argsort((table > 0).sum(axis=0), kind="stable"):
        holders = order[table[order, label] > 0]
        if alone[label] >= len(missed):
            continue  # single rows will fill the quota
        for place in np.argsort(missed[:, label], kind="stable"):
            if (part[holders] == place).any():
                continue
            free = holders[part[holders] < 0]
            if len(free):
                unit = free[np.argmin(np.abs(table[free, label] - missed[place, label]))]
                part[unit] = place
                missed[place] -= table[unit]


def _check_units(
    held: NDArray[np.int64],
    images: NDArray[np.int64],
    names: Sequence[str],
    parts: Sequence[str],
) -> None:
    """Refuse a class with fewer units than there are parts."""
    for name, units, count in zip(names, held.tolist(), images.tolist(), strict=True):
        if units < len(parts):
            kind = "group" if units < count else "image"
            raise CellprepError(
                f"class '{name}' has {units or 'no'} {kind}{'s' * (units != 1)}, which cannot be "
                f"in all of {', '.join(parts)}; find more, leave the class out, or ask for fewer "
                "parts"
            )


def _apportion(total: int, weights: NDArray[Any]) -> NDArray[np.int64]:
    """Whole shares of a total by largest remainder, none empty while there is enough.

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
