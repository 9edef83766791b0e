"""Small data sets and models that the tests of cellmodels share."""

from __future__ import annotations

import numpy as np

import cellmodels as cm
import cellprep as cp
from cellprep.synthetic import CLASS_NAMES, draw_cells

SETTINGS = {"epochs": 3, "transfer_epochs": 2, "batch_size": 16, "class_weight": "balanced"}
NAMES = ("dark", "light", "red")


def synthetic_cells():
    """24 synthetic cells of three classes, 16x16."""
    images, labels = draw_cells([9, 7, 8, *[0] * 5], side=16, seed=5)
    return cp.Dataset.from_arrays(images, labels, class_names=CLASS_NAMES[:3])


def splits():
    """A training and a validation set of synthetic cells."""
    return cp.split(synthetic_cells(), train=0.7, val=0.3)


def tiny(seed=0, **settings):
    """A model with everything that has a state: convolution, batch normalisation, dropout."""
    import keras
    from keras import layers

    from cellmodels.models.build import add_head, penalise, seeded

    with seeded(seed):
        x = inputs = keras.Input((16, 16, 3))
        x = layers.Rescaling(1 / 255)(x)
        for _ in range(2):
            x = layers.Conv2D(4, 3, strides=2, name=None)(x)
            x = layers.BatchNormalization(momentum=0.5)(x)
        outputs = add_head(layers.Flatten()(x), 3, 8, 0.3)
        model = keras.Model(inputs, outputs, name="tiny")
    for layer in model.layers:
        penalise(layer, settings.get("l2", 1e-4))
    for layer in model.layers[: settings.get("frozen", 0)]:
        layer.trainable = False
    return model


def fit(model=None, data=None, **settings):
    """Train with short settings; by default the tiny model on synthetic cells."""
    data = data or splits()
    model = model or tiny()
    chosen = {**SETTINGS, "progress": False, **settings}
    return cm.fit(model, data["train"], data.get("val"), **chosen)


def pictures(n=12, side=16, seed=0):
    """Noise images of three classes that differ in colour only, and their labels."""
    labels = np.arange(n) % 3
    images = np.random.default_rng(seed).integers(0, 60, (n, side, side, 3), dtype=np.uint8)
    images[labels == 1] += 190
    images[labels == 2, ..., 0] += 190
    return images, labels


def run(*arguments, code=0):
    """What a command prints: standard output, or standard error if it fails with `code`."""
    from click.testing import CliRunner

    from cellmodels.cli import main

    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr
