"""Images made again from their record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Images
from ..dataset.dataset import Dataset
from ..errors import CellprepError
from ..formats.manifest import load_index, load_manifest
from ..plan.nodes import transform
from ..steps.step import Step
from ..system.paths import as_os_errors, as_path


def replay(path: str | Path, dataset: Dataset, at: ArrayLike | None = None) -> Images:
    """Make images again from their record alone: no draws, no recipe.

    Parameters
    ----------
    path : str or Path
        A folder or npz file that `write` made, also one made from what it had written before.
    dataset : Dataset
        What the first of them was made from.
    at : (k,) int, optional
        Rows of the index. Default: all.

    Returns
    -------
    (k, height, width, 3) uint8
        Equal, byte for byte, to what was written.
    """
    path = as_path(path)
    if dataset.source.history.stages:
        raise CellprepError(
            f"{str(dataset.source.path)!r} was written by cellprep, and its record goes back to "
            "what it was made from; pass that"
        )
    try:
        with as_os_errors(path):
            saved, index = load_manifest(path), load_index(path)
    except OSError as error:
        raise CellprepError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if at is not None:
        index = index.take(np.arange(len(index))[at])  # type: ignore[index]
    names = index.column_names
    place = {name: row for row, name in enumerate(dataset.ids.tolist())}
    try:
        rows = [place[name] for name in index["id"].to_pylist()]
    except KeyError as error:
        raise CellprepError(
            f"{str(path)!r} was made from image {error}, which the data set does "
            "not hold; pass the one that it was made from"
        ) from None
    # masks that came with the images, or were written and read again, stand in for found ones
    carried = any(stage.get("known_masks") for stage in saved["stages"])
    masks = dataset.masks[rows] if dataset.plan.pixels.has_masks else None
    if dataset.plan.pixels.has_masks and not carried:
        masks = None
    images = dataset.images[rows]
    index_of_rows = np.arange(len(rows))
    for stage in saved["stages"]:
        name = f"{stage['name']}."
        setting = {k: v for k, v in stage.items() if k not in ("name", "known_masks")}
        step: Any = Step.from_dict(setting)
        columns = {
            column.removeprefix(name): index[column]
            for column in names
            if column.startswith(name) and "." not in column.removeprefix(name)
        }
        touched = np.ones(len(index), bool)
        for column in columns.values():
            touched &= column.is_valid().to_numpy()
        at_rows, drawn = np.flatnonzero(touched), bool(stage.get("known_masks"))
        try:
            values = {
                key: _values(column.drop_null(), len(at_rows)) for key, column in columns.items()
            }
            images, masks = transform(
                step, images, index_of_rows, at_rows, values, masks, drawn, carried
            )
        except (TypeError, KeyError, IndexError, ValueError) as error:
            raise CellprepError(
                f"the record of {stage['name']!r} in {str(path)!r} is damaged ({error!r})"
            ) from error
    return images


def _values(column: Any, n: int) -> NDArray[Any]:
    """A column of the index as the array that it was written from."""
    values: NDArray[Any] = column.to_numpy()
    if len(values) != n or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise ValueError(f"a column holds {len(values)} values for {n} images, or infinite ones")
    return values.astype(np.str_) if values.dtype == object else values
