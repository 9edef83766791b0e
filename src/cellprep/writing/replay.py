"""`replay`: images recreated from their record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Images, Masks
from ..dataset.dataset import Dataset
from ..errors import CellprepError
from ..formats.index import index_at, load_index
from ..formats.written import load_manifest
from ..plan.nodes import transform
from ..steps.step import Step
from ..system.paths import as_os_errors, as_path

if TYPE_CHECKING:
    import pyarrow as pa


def replay(path: str | Path, dataset: Dataset, at: ArrayLike | None = None) -> Images:
    """Recreate images from their record alone, without sampling and without the recipe.

    Parameters
    ----------
    path : str or Path
        A folder or npz file that `write` wrote, from original images or from an earlier output.
    dataset : Dataset
        The original images.
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
            f"{str(dataset.source.path)!r} was written by cellprep, but its record starts from the "
            "original images; pass those"
        )
    try:
        with as_os_errors(path):
            saved = load_manifest(path)
            index = load_index(path, saved) if at is None else index_at(path, saved, at)
    except OSError as error:
        raise CellprepError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if "read.top" in index.column_names:
        dataset = _reading_the_middle(dataset, saved["stages"], path)
    row_of = {name: row for row, name in enumerate(dataset.ids.tolist())}
    try:
        rows = [row_of[name] for name in index["id"].to_pylist()]
    except KeyError as error:
        raise CellprepError(
            f"{str(path)!r} was made from image {error}, which is not in the data set; "
            "pass the data set it was made from"
        ) from None
    # masks that came with the images, or from an earlier write, replace automatic ones
    carried = any(stage.get("known_masks") for stage in saved["stages"])
    masks = dataset.masks[rows] if dataset.plan.pixels.has_masks else None
    if dataset.plan.pixels.has_masks and not carried:
        masks = None
    images = dataset.images[rows]
    for stage in saved["stages"]:
        settings = {k: v for k, v in stage.items() if k not in ("name", "known_masks")}
        step: Any = Step.from_dict(settings)
        try:
            images, masks = _apply(step, stage, index, images, masks, carried)
        except (TypeError, KeyError, IndexError, ValueError) as error:
            raise CellprepError(
                f"the record of {stage['name']!r} in {str(path)!r} is damaged ({error!r})"
            ) from error
    return images


def _reading_the_middle(dataset: Dataset, stages: list[Mapping[str, Any]], path: Path) -> Dataset:
    """The data set with only the window of each image that the first step read."""
    source = dataset.source.middle(int(stages[0]["size"])) if stages else None
    if source is None:
        raise CellprepError(
            f"{str(path)!r} was made from the middle of image files; pass these, as "
            "cellprep.read(folder) without size="
        )
    return Dataset(source)


def _apply(
    step: Any,
    stage: Mapping[str, Any],
    index: pa.Table,
    images: Images,
    masks: Masks | None,
    carried: bool,
) -> tuple[Images, Masks | None]:
    """Images and masks after a step, with the parameters that the index records for each row."""
    prefix = f"{stage['name']}."
    columns = {
        column.removeprefix(prefix): index[column]
        for column in index.column_names
        if column.startswith(prefix) and "." not in column.removeprefix(prefix)
    }
    touched = np.ones(len(index), bool)
    for column in columns.values():
        touched &= column.is_valid().to_numpy()
    rows, known_masks = np.flatnonzero(touched), bool(stage.get("known_masks"))
    values = {name: _values(column.drop_null(), len(rows)) for name, column in columns.items()}
    every = np.arange(len(index))
    return transform(step, images, every, rows, values, masks, known_masks, carried)


def _values(column: Any, n: int) -> NDArray[Any]:
    """A column of the index as the array that it was written from."""
    values: NDArray[Any] = column.to_numpy()
    if len(values) != n or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise ValueError(f"a column has {len(values)} values for {n} images, or infinite ones")
    return values.astype(np.str_) if values.dtype == object else values
