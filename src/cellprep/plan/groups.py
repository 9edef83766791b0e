"""Groups of rows: equal rows of a table, and groups that several groupings join."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Masks

_SORTED = 1 << 22

Groups = NDArray[np.int64]
"""(n,), the number of each row's group, -1 for rows in no group."""


def equal_rows(table: NDArray[Any]) -> Groups:
    """Groups of equal rows of an (n, k) table; a row that occurs once gets -1.

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


def occur_again(values: NDArray[np.uint64]) -> Masks:
    """(n,) whether a value occurs more than once.

    Values are sorted a few million at a time, those with the same first bits together.

    >>> occur_again(np.array([5, 3, 5], np.uint64))
    array([ True, False,  True])
    """
    again = np.zeros(len(values), bool)
    bits = max(len(values) // _SORTED, 1).bit_length() - 1
    for first in range(1 << bits):
        # a shift by all 64 bits is undefined
        at = np.flatnonzero(values >> np.uint64(64 - bits) == first) if bits else slice(None)
        found = values[at]
        ordered = np.sort(found)
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        again[at] = np.isin(found, repeated)
    return again


def merge_groups(n: int, *groupings: Groups) -> Groups:
    """Units of rows that must stay together by any of the groupings, numbered from 0.

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
