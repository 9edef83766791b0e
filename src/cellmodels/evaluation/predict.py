"""`predict`: the probabilities that models give to images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cellprep
from cellprep import CellprepError, Dataset

from ..data.inputs import readable
from .classes import allowed_classes
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
        Prepared like the training images: with the same Crop and KMeansMask. A path may be a folder
        of images without class folders, an npz file without labels, or a single image.
    classes : sequence of str, optional
        The classes that can occur. All others get a probability of 0, and the rest sums to 1.
    progress : bool
    **settings
        The fields of `Prediction`: tta, adapt, adapt_color, adapt_norm, temperature, batch_size.

    Returns
    -------
    (n, classes) float32
        In the order of the model's class names.

    Raises
    ------
    CellprepError
        For images of another size, shape or dtype, unknown classes and settings out of range.

    Examples
    --------
    >>> names = np.array(model.card.class_names)  # doctest: +SKIP
    >>> names[predict(model, images, tta="dihedral").argmax(axis=1)]  # doctest: +SKIP
    """
    how, models = Prediction.of(settings), as_models(model)
    if isinstance(images, Dataset):
        cells = images
    elif isinstance(images, str | Path):
        cells = cellprep.read(images, labels=None)
    else:
        n = len(images) if hasattr(images, "__len__") else 0
        cells = Dataset.from_arrays(images, np.zeros(n, np.int64), ["?"])
    check_images(models, cells, how, "images", classes=False)
    columns = None if classes is None else _columns(models, classes)
    found, _ = probabilities(models, readable(cells), how, "predicting", columns, progress)
    if columns is None:
        return found.astype(np.float32)
    every = np.zeros((len(found), models[0].output_shape[-1]), np.float32)
    every[:, columns] = found
    return every


def _columns(models: Sequence[Any], classes: Sequence[str]) -> list[int]:
    """The columns of the allowed classes."""
    known = known_classes(models)
    if known is None:
        raise CellprepError(
            "`classes` needs class names, which the model lacks; load one that fit saved"
        )
    return [known.index(name) for name in allowed_classes(classes, known)]
