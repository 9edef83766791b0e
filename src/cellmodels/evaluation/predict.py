"""`predict`: the probabilities that a model gives to images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import Dataset
from cellprep.errors import in_range

from ..data.checks import check_fits
from ..data.inputs import as_dataset, readable


def predict(
    model: Any, images: Any, *, batch_size: int = 64, progress: bool = False
) -> NDArray[np.float32]:
    """(n, classes) float32 probabilities of images.

    Parameters
    ----------
    model : keras.Model
    images : (n, height, width, 3) uint8, a path, or a Dataset
        Prepared like the training images: with the same Crop and KMeansMask.
    batch_size : int
    progress : bool

    Returns
    -------
    (n, classes) float32
        In the order of the model's class names.

    Raises
    ------
    CellprepError
        For images of another size, shape or dtype.

    Examples
    --------
    >>> names = np.array(model.card.class_names)  # doctest: +SKIP
    >>> names[predict(model, images).argmax(axis=1)]  # doctest: +SKIP
    """
    in_range("batch_size", batch_size, 1, 2**20, whole=True)
    if isinstance(images, Dataset | str | Path):
        cells = as_dataset(images, "images")
    else:
        n = len(images) if hasattr(images, "__len__") else 0
        cells = Dataset.from_arrays(images, np.zeros(n, np.int64), ["?"])
    check_fits(model, cells, "images", classes=False)
    return probabilities(model, readable(cells), batch_size, "predicting" if progress else None)


def probabilities(
    model: Any, dataset: Dataset, batch_size: int, title: str | None = None
) -> NDArray[np.float32]:
    """(n, classes) float32 probabilities in row order; with a title, a progress bar is shown."""
    from tqdm import tqdm

    batches = [
        model.predict_on_batch(images.astype(np.float32))
        for images, _ in tqdm(
            dataset.batches(batch_size),
            desc=title,
            total=-(-len(dataset) // batch_size),
            disable=None if title else True,
            unit="batch",
        )
    ]
    return np.concatenate(batches).astype(np.float32)
