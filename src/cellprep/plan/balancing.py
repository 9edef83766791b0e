"""How often each row is repeated so that classes meet a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Keys, Masks
from ..errors import CellprepError, nearest

Target = str | int | Mapping[Any, int]


def check_classes(names: Sequence[str], source_counts: Sequence[int], target: Target) -> None:
    """Refuse a single class, and to fill a class with copies of its only source image.

    A target by class states what is wanted, so it is not checked.
    """
    if isinstance(target, Mapping):
        return
    if len(names) < 2:
        raise CellprepError(
            f"there is only one class, '{names[0]}', so nothing to balance; "
            "read data with two or more classes"
        )
    for name, count in zip(names, source_counts, strict=True):
        if count == 1 and target not in ("min", 1):
            raise CellprepError(
                f"class '{name}' has one image, and copies of a single image teach a model "
                "nothing; add images, omit the class, or give a target by class"
            )


def balance_counts(
    labels: NDArray[Any],
    present: NDArray[np.int64],
    class_names: Sequence[str],
    target: Target,
    rank: Keys,
) -> NDArray[Any]:
    """(n,) unsigned, the number of times each row occurs, so that every class meets the target.

    Within a class, rows of low `rank` get the surplus copies, or are kept when rows are dropped.

    `present` is the number of rows of each class.

    >>> labels, rank = np.array([0, 0, 0, 1, 1]), np.arange(5, dtype=np.uint64)
    >>> balance_counts(labels, np.array([3, 2]), ["a", "b"], "max", rank)
    array([1, 1, 1, 2, 1], dtype=uint8)
    """
    wanted = _targets(present, class_names, target)
    whole, surplus = np.divmod(wanted, np.maximum(present, 1))
    smallest = np.min_scalar_type(int(whole.max(initial=0)) + 1)
    counts = whole.astype(smallest)[labels]
    for label in np.flatnonzero(surplus).tolist():
        counts[_lowest(rank, labels == label, int(surplus[label]))] += 1
    return np.asarray(counts)


def _lowest(rank: Keys, among: Masks, n: int) -> Masks:
    """The n rows of lowest rank among some; of equal ranks, those that come first."""
    last = np.partition(rank[among], n - 1)[n - 1]
    lowest = among & (rank <= last)
    excess = np.count_nonzero(lowest) - n
    if excess:
        lowest[np.flatnonzero(lowest & (rank == last))[-excess:]] = False
    return np.asarray(lowest)


def _targets(present: NDArray[np.int64], names: Sequence[str], target: Target) -> NDArray[np.int64]:
    """(classes,) the number of rows that each class is to have."""
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
            raise CellprepError(f"class '{name}' has no images, but `target` asks for {want}")
    return wanted
