"""Which of a model's classes are allowed, and labels as indices of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellprep import CellprepError, Dataset
from cellprep.arrays import Labels
from cellprep.errors import nearest, one_of

Classes = str | Sequence[str]
"""All of them, those that are present in the test set, or their names."""


def allowed_classes(
    classes: Classes, known: Sequence[str], cells: Dataset | None = None
) -> tuple[str, ...]:
    """The names of the allowed classes, in the model's order.

    Parameters
    ----------
    classes : "all", "present" or sequence of str
    known : sequence of str
        The classes of the model.
    cells : Dataset, optional
        The test set; needed for "present".

    Raises
    ------
    CellprepError
        For a class that the model does not know.

    Examples
    --------
    >>> allowed_classes(["c", "a"], ["a", "b", "c"])
    ('a', 'c')
    """
    if isinstance(classes, str):
        one_of("classes", classes, ("all",) if cells is None else ("all", "present"))
    if classes == "all":
        return tuple(known)
    counts = cells.counts() if classes == "present" and cells is not None else {}
    wanted = [name for name, count in counts.items() if count] if counts else list(classes)
    for name in wanted:
        if name not in known:
            raise CellprepError(f"the model has no class {name!r}; {nearest(str(name), known)}")
    if not wanted:
        raise CellprepError("`classes` is empty; name at least one class of the model")
    return tuple(name for name in known if name in wanted)


def labels_among(allowed: Sequence[str], dataset: Dataset, name: str) -> Labels:
    """(n,) int64: labels as indices of the allowed classes; an image of another is refused."""
    for kind, count in dataset.counts().items():
        if count and kind not in allowed:
            raise CellprepError(
                f"{name} has {count:,} of class {kind!r}, which is not among the allowed classes "
                f"{', '.join(allowed)}; allow it with `classes`, or leave these images out"
            )
    position = {kind: k for k, kind in enumerate(allowed)}
    return np.array([position.get(kind, -1) for kind in dataset.class_names])[dataset.labels]
