"""The outputs of a model for many images, batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import Dataset
from cellprep.arrays import Images


def outputs(model: Any, dataset: Dataset, batch_size: int = 64) -> NDArray[np.float32]:
    """(n, classes) float32, in row order."""
    size = min(batch_size, len(dataset))
    batches = [batch_outputs(model, images, size) for images, _ in dataset.batches(size)]
    return np.concatenate(batches)


def batch_outputs(model: Any, images: Images, size: int) -> NDArray[np.float32]:
    """(n, classes) float32 for at most `size` images.

    A smaller batch is filled up to `size`: TensorFlow and JAX compile the model again for every
    other shape, which takes longer than many batches.
    """
    n = len(images)
    batch = np.zeros((size, *images.shape[1:]), np.float32)
    batch[:n] = images
    found: NDArray[np.float32] = model.predict_on_batch(batch)[:n].astype(np.float32)
    return found
