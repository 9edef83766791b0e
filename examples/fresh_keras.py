"""A Keras training with fresh copies every epoch.

    python examples/fresh_keras.py

No image is written: tf.data computes each copy when it is needed. `cellmodels.fit(..., fresh=True)`
does the same for its models, and resumes after an interruption.
"""

from __future__ import annotations

import keras
from keras import layers

import cellprep as cp
from cellprep.synthetic import draw_cells

EPOCHS, BATCH = 8, 32


def network(classes: int) -> keras.Model:
    return keras.Sequential(
        [
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(16, 5, strides=2, activation="relu"),
            layers.BatchNormalization(momentum=0.9),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.BatchNormalization(momentum=0.9),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes),
        ]
    )


if __name__ == "__main__":
    cells = cp.Dataset.from_arrays(*draw_cells([60] * 8, side=48, seed=0))
    parts = cp.split(cells, train=0.7, test=0.3, seed=0)
    augment = cp.RandAugment(copies=2, magnitude=0.3, keep_originals=False)
    train = cp.Recipe([cp.Dedupe(), cp.Balance(), augment])(parts["train"])

    keras.utils.set_random_seed(0)
    model = network(len(train.class_names))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3), loss, metrics=["accuracy"])
    model.fit(
        train.to_tf(BATCH, shuffle=True, epochs=EPOCHS),  # one pipeline over all epochs
        steps_per_epoch=-(-len(train) // BATCH),
        epochs=EPOCHS,
        verbose=0,
    )
    score = model.evaluate(parts["test"].to_tf(64), verbose=0)[1]
    print(f"test {score:.2f}")
