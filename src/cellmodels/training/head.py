"""The balanced head: after training, the head is retrained on all classes equally often.

With few images of a class, its features are learned as well as those of others, but the head
rarely predicts it. Hence the two are trained apart [1]_: features on the images as they are, the
head on balanced ones. Features do not change any more, so they are computed once per image.

References
----------
.. [1] B. Kang et al. Decoupling Representation and Classifier for Long-Tailed Recognition. ICLR
   2020 (classifier re-training).
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import Dataset
from cellprep.arrays import Labels

from ..models.build import backbone_layers
from ..models.outputs import batch_outputs
from .epochs import seed_dropout
from .phases import TRANSFER, compile_for
from .settings import Training

EPOCHS = 10
"""Passes over the features. The learning rate is that of the transfer phase."""


def retrain_head(model: Any, cells: Dataset, how: Training, progress: bool) -> None:
    """Replace the head of a trained model by one trained on balanced classes.

    It starts from random weights, so the result depends on the backbone, the data and the settings
    alone. Labels are neither mixed nor smoothed, and class weights are not needed.

    Parameters
    ----------
    model : keras.Model
        From `build`; its head is trained in place.
    cells : Dataset
        The training set.
    how : Training
    progress : bool
    """
    import keras
    from tqdm import tqdm

    layers = model.layers[len(backbone_layers(model)) :]
    backbone = keras.Model(model.input, layers[0].input)
    head = keras.Model(layers[0].input, model.output)
    _reset(layers, how.seed)
    hard = replace(how, transfer_epochs=EPOCHS, mixup=0.0, cutmix=0.0, label_smoothing=0.0)
    labels = cells.labels
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        features = _features(backbone, cells, Path(folder) / "features.npy")
        compile_for(head, hard, TRANSFER, len(balanced_rows(labels, how.seed, 0)))
        hidden = None if progress else True
        for epoch in tqdm(range(EPOCHS), desc="balanced head", unit="epoch", disable=hidden):
            seed_dropout(head, how.seed, how.total + epoch)
            rows = balanced_rows(labels, how.seed, epoch)
            for start in range(0, len(rows), how.batch_size):
                batch = rows[start : start + how.batch_size]
                head.train_on_batch(features[batch], labels[batch])
        del features  # Windows deletes no file that is mapped


def balanced_rows(labels: Labels, seed: int, epoch: int) -> NDArray[np.intp]:
    """Positions of images in random order, equally many of each class.

    Those of a rare class repeat, each equally often up to one.

    Examples
    --------
    >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    >>> np.bincount(labels[balanced_rows(labels, 0, 0)]).tolist()
    [4, 4]
    """
    random = np.random.default_rng((seed, epoch, 2))  # 2: other numbers than those of mixing
    classes = np.unique(labels)
    share = -(-len(labels) // len(classes))
    rows = [np.resize(random.permutation(np.flatnonzero(labels == k)), share) for k in classes]
    return random.permutation(np.concatenate(rows))


def _reset(layers: list[Any], seed: int) -> None:
    """Glorot's uniform weights, and no biases, for all dense layers."""
    random = np.random.default_rng((seed, 0, 3))
    for layer in layers:
        if layer.weights:
            shape = layer.kernel.shape
            limit = (6 / sum(shape)) ** 0.5
            layer.set_weights([random.uniform(-limit, limit, shape), np.zeros(shape[1])])


def _features(backbone: Any, cells: Dataset, path: Path) -> NDArray[np.float32]:
    """The output of the backbone for every image, in a file that is mapped into memory."""
    shape = (len(cells), *backbone.output_shape[1:])
    features = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    size, start = min(64, len(cells)), 0
    for images, _ in cells.batches(size):
        features[start : start + len(images)] = batch_outputs(backbone, images, size)
        start += len(images)
    return features
