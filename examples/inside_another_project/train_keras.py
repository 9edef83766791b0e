"""The project's own Keras training, on data sets that cellprep wrote.

    python ingest.py STORE
    python train_keras.py STORE

Images stay on disk: each batch is read from memory-mapped shards, all of its rows in one call.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import cellprep as cp
from ingest import Store
from prepare import prepare


class Batches(keras.utils.PyDataset):
    """Batches of a written data set, reshuffled every epoch."""

    def __init__(self, cells: cp.Dataset, size: int = 32) -> None:
        super().__init__()
        self.cells, self.size, self.epoch = cells, size, 0
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.cells) // self.size)

    def __getitem__(self, batch: int) -> Any:
        rows = self.order[batch * self.size : (batch + 1) * self.size]
        return self.cells.images[rows], self.cells.labels[rows]

    def on_epoch_end(self) -> None:
        self.order = np.random.default_rng(self.epoch).permutation(len(self.cells))
        self.epoch += 1


def network(classes: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.layers.Rescaling(1 / 127.5, -1),
            keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(classes),
        ]
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/store")
    cells = prepare(Store(folder), folder / "prepared")
    keras.utils.set_random_seed(0)
    model = network(len(cells["train"].class_names))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3), loss, metrics=["accuracy"])
    model.fit(Batches(cells["train"]), epochs=8, verbose=0)
    for name in ("test", "shifted"):
        score = model.evaluate(cells[name].images[:], cells[name].labels, verbose=0)[1]
        print(f"{name} {score:.2f}")
