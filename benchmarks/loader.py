"""Is the loader fast enough? Images per second of the loader alone, and of a training step.

    python benchmarks/loader.py [--images 2000] [--model efficientnet_b0]

The two are timed in turns and the medians printed; the loader reads memory-mapped shards in the
shuffled order of an epoch.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import cellmodels
import cellprep
from cellmodels.training.batches import Batches


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--model", default="efficientnet_b0")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    shape = (chosen.images, chosen.side, chosen.side, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train"
        cells = cellprep.Dataset.from_arrays(images, np.arange(len(images)) % 8)
        cellprep.write(cells, path, progress=False)
        cells = cellprep.read(path)
        model = cellmodels.build(chosen.model, 8, shape[1:], weights=None)
        model.compile("adamw", "sparse_categorical_crossentropy")
        rates: dict[str, list[float]] = {"loader": [], "step": []}
        for epoch in range(chosen.rounds + 1):
            batches = Batches(cells, chosen.batch_size, cells.shuffled(0, epoch))
            start = time.perf_counter()
            loaded = [batches[k] for k in range(len(batches))]
            seconds = time.perf_counter() - start
            few = loaded[:6]
            stepping = time.perf_counter()
            for batch, labels in few:
                model.train_on_batch(batch, labels)
            done = time.perf_counter()
            if epoch:  # the first round compiles
                rates["loader"].append(len(cells) / seconds)
                rates["step"].append(len(few) * chosen.batch_size / (done - stepping))
    loader, step = (statistics.median(rates[name]) for name in ("loader", "step"))
    print(f"{chosen.model}, {chosen.side}x{chosen.side}, batches of {chosen.batch_size}")
    print(f"loader alone {loader:10,.0f} images/s")
    print(f"step alone   {step:10,.0f} images/s")
    print(f"ratio        {loader / step:10,.1f}")


if __name__ == "__main__":
    main()
