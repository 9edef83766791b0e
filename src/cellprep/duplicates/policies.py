"""What to do with groups of duplicates: arithmetic on groups and labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..arrays import Labels, Masks, Positions
from ..plan.groups import Groups

_OUTLIER, _CONFLICT, _OUTVOTED, _REPEAT = 1, 2, 3, 4


def conflicting(groups: Groups, labels: Labels) -> NDArray[np.bool_]:
    """(n,) True for rows of groups whose labels disagree.

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
    """The labels of each group with their counts, most frequent first, from group 0.

    >>> votes(np.array([0, 0, 0, 1]), np.array([1, 0, 1, 0]), ["baso", "mono"])
    ['mono 2, baso 1', 'baso 1']
    """
    found, counts = np.unique(np.stack([groups, labels]), axis=1, return_counts=True)
    order = np.lexsort((found[1], -counts, found[0]))
    texts: list[list[str]] = [[] for _ in range(int(groups.max(initial=-1)) + 1)]
    for (group, label), count in zip(found.T[order].tolist(), counts[order].tolist(), strict=True):
        texts[group].append(f"{names[label]} {count}")
    return [", ".join(words) for words in texts]


def undecided(groups: Groups, decided: Masks | None) -> Groups:
    """The groups in which there is a row that nobody has decided on; -1 for rows of the others.

    >>> undecided(np.array([0, 0, 1, 1]), np.array([True, True, True, False]))
    array([-1, -1,  1,  1])
    """
    if decided is None:
        return groups
    return np.where(np.isin(groups, groups[~decided]), groups, -1)


def resolve_duplicates(
    groups: Groups,
    labels: Labels,
    order: Positions,
    *,
    on_conflict: str,
    on_duplicate: str,
    max_copies: int | None,
) -> dict[str, Positions]:
    """Positions of the rows to remove, by reason.

    `order` lists all positions by (id, copy); of a group that keeps one row, the first in that
    order is kept.
    """
    inside = np.flatnonzero(groups >= 0)
    group = groups[inside]
    size = np.bincount(group)[group] if len(group) else group
    reason = np.zeros(len(inside), np.int64)
    disputed = conflicting(groups, labels)[inside]
    if on_conflict == "drop":
        reason[disputed] = _CONFLICT
    elif on_conflict == "majority" and len(inside):
        reason[disputed] = _minority(group, labels[inside], size)[disputed]
    if max_copies is not None:
        reason[(size > max_copies) & (reason != _CONFLICT)] = _OUTLIER

    repeats = (reason == 0) & ~(disputed & (on_conflict == "keep"))
    if on_duplicate == "drop":
        reason[repeats] = _REPEAT
    elif on_duplicate == "one":
        rank = np.empty(len(groups), np.int64)
        rank[order] = np.arange(len(groups))
        candidates = np.flatnonzero(repeats)
        by_rank = candidates[np.lexsort((rank[inside[candidates]], group[candidates]))]
        repeats[by_rank[np.unique(group[by_rank], return_index=True)[1]]] = False
        reason[repeats] = _REPEAT
    texts = {
        _CONFLICT: "equal images under conflicting labels",
        _OUTVOTED: "outvoted by the majority of equal images",
        _OUTLIER: f"in groups of more than {max_copies} equal images",
        _REPEAT: "repeats of an equal image",
    }
    return {text: inside[reason == code] for code, text in texts.items()}


def _minority(group: Groups, labels: Labels, size: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) 0 for rows under the label of their group's majority, else the reason to remove them."""
    votes = group * (labels.max() + 1) + labels
    _, vote, count = np.unique(votes, return_inverse=True, return_counts=True)
    wins = 2 * count[vote] > size
    decided = np.zeros(group.max() + 1, bool)
    decided[group[wins]] = True
    return np.where(wins, 0, np.where(decided[group], _OUTVOTED, _CONFLICT))
