"""What callers pass as data, as a `cellprep.Dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cellprep
from cellprep import BadImagesError, CellprepError, Dataset

Data = str | Path | Dataset | tuple[Any, Any]
"""A path that `cellprep.read` reads, a Dataset, or images (n, height, width, 3) and labels."""


def as_dataset(data: Data, name: str, class_names: Sequence[str] | None = None) -> Dataset:
    """Open a path, or wrap a pair of arrays; a Dataset is returned as it is.

    Parameters
    ----------
    data : path, Dataset, or (images, labels)
    name : str
        The name used in error messages.
    class_names : sequence of str, optional
        For arrays: the names of the labels; needed if a class may have no image.

    Examples
    --------
    >>> import numpy as np
    >>> as_dataset((np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 1, 0]), "train").counts()
    {'0': 2, '1': 2}
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | Path):
        return cellprep.read(data)
    if isinstance(data, tuple) and len(data) == 2:
        try:
            return Dataset.from_arrays(data[0], data[1], class_names=class_names)
        except CellprepError as error:
            raise CellprepError(f"{name}: {error}") from None
    raise CellprepError(
        f"`{name}` must be a path, a cellprep.Dataset or a pair (images, labels), "
        f"got {type(data).__name__}"
    )


def readable(dataset: Dataset) -> Dataset:
    """The data set, after a check that every image can be read.

    So a bad file is reported before training starts and not in the middle of an epoch.
    """
    checked = dataset.readable()
    if checked.bad:
        raise BadImagesError(checked.bad, "To leave them out, pass cellprep.read(path).readable()")
    return checked


def recipe_of(dataset: Dataset) -> list[dict[str, Any]]:
    """The saved form of every step applied to the images since they were first read."""
    return list(dataset.provenance()["steps"])
