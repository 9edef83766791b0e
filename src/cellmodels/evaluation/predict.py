"""`predict`: the probabilities that models give to images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import CellprepError, Dataset

from ..data.inputs import readable
from .classes import allowed_classes
from .prepared import open_prepared, prepared
from .probabilities import Prediction, probabilities
from .together import as_models, check_images, known_classes


def predict(
    model: Any,
    images: Any,
    *,
    classes: Sequence[str] | None = None,
    progress: bool = False,
    **settings: Any,
) -> NDArray[np.float32]:
    """(n, classes) float32 probabilities of images.

    Parameters
    ----------
    model : keras.Model, or list of them
        Of several models the mean is returned; they need the same classes and image size.
    images : (n, height, width, 3) uint8, a path, or a Dataset
        A path may be a folder of images without class folders, an npz file without labels, or a
        single image. Files are resized to the model's size and get the Crop and KMeansMask of the
        training images, as its card has them; so do images that are no files but of another size.
        Arrays of the model's size are taken as they are.
    classes : sequence of str, optional
        The classes that can occur. All others get a probability of 0, and the rest sums to 1.
    progress : bool
    **settings
        The fields of `Prediction`: tta, adapt, adapt_color, adapt_norm, neighbors, temperature,
        batch_size.

    Returns
    -------
    (n, classes) float32
        In the order of the model's class names.

    Raises
    ------
    CellprepError
        For images of another size, shape, dtype or preparation, unknown classes and settings out of
        range.

    Examples
    --------
    >>> names = np.array(model.card.class_names)  # doctest: +SKIP
    >>> names[predict(model, images, tta="dihedral").argmax(axis=1)]  # doctest: +SKIP
    """
    how, models = Prediction.of(settings), as_models(model)
    if isinstance(images, str | Path):
        cells = open_prepared(models, images)
    else:
        cells = prepared(models, _as_dataset(images))
    check_images(models, cells, how, "images", classes=False)
    columns = None if classes is None else _columns(models, classes)
    found, _ = probabilities(models, readable(cells), how, "predicting", columns, progress)
    if columns is None:
        return found.astype(np.float32)
    every = np.zeros((len(found), models[0].output_shape[-1]), np.float32)
    every[:, columns] = found
    return every


def _as_dataset(images: Any) -> Dataset:
    if isinstance(images, Dataset):
        return images
    n = len(images) if hasattr(images, "__len__") else 0
    return Dataset.from_arrays(images, np.zeros(n, np.int64), ["?"])


def _columns(models: Sequence[Any], classes: Sequence[str]) -> list[int]:
    """The columns of the allowed classes."""
    known = known_classes(models)
    if known is None:
        raise CellprepError(
            "`classes` needs class names, which the model lacks; load one that fit saved"
        )
    return [known.index(name) for name in allowed_classes(classes, known)]
