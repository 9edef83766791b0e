"""A laboratory's ingestion service that uses cellprep to recognise images it has seen before.

    python ingest.py STORE      accept three deliveries of synthetic cells

The laboratory decides where images are stored, what a delivery is and who resolves conflicts. It
imports `Dedupe`, for duplicates within a delivery, and a `DuplicateIndex` of all accepted images,
which recognises rotated, flipped, compressed or resized copies without reading the old images.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import cellprep as cp
from cellprep.synthetic import CLASS_NAMES, draw_cells

NEAR = 4
"""Largest hash distance, in bits, at which pixels are compared; see docs/duplicates.md."""


@dataclass(frozen=True)
class Store:
    """Accepted images, one file per delivery, and the index for finding duplicates of them."""

    folder: Path

    @property
    def index_path(self) -> Path:
        return self.folder / "duplicates.npz"

    def accept(self, name: str, delivery: cp.Dataset) -> pd.DataFrame:
        """Keep the new images; return a row for each refused image, with the reason.

        Repeating a delivery changes nothing: all of its images are known by then.
        """
        clean = cp.Recipe([cp.Dedupe(near=NEAR, symmetries=True)])(delivery)
        refused = [clean.removed()[["id", "class_name", "reason"]]]
        images, labels = clean.to_arrays()
        index, new = None, np.ones(len(images), bool)
        if self.index_path.exists():
            index = cp.DuplicateIndex.load(self.index_path)
            known = index.query(clean).drop_duplicates("id")
            known["reason"] = [
                f"{'conflicts with' if row.conflict else 'a copy of'} {row.of} "
                f"({row.of_class_name}): {row.relation}, {row.symmetry}"
                for row in known.itertuples()
            ]
            refused.append(known[["id", "class_name", "reason"]])
            new = ~np.isin(clean.ids, known["id"])
        if new.any():
            accepted = cp.Dataset.from_arrays(
                images[new], labels[new], class_names=delivery.class_names, ids=clean.ids[new]
            )
            cp.write(accepted, self.folder / f"{name}.npz", progress=False)
            index = index.add(accepted) if index else _index_of(accepted)
            index.save(self.index_path)
        return pd.concat(refused, ignore_index=True)

    def images(self) -> cp.Dataset:
        """All accepted images as one data set."""
        deliveries = [cp.read(path) for path in sorted(self.folder.glob("delivery-*.npz"))]
        return cp.Dataset.from_arrays(
            np.concatenate([delivery.images[:] for delivery in deliveries]),
            np.concatenate([delivery.labels for delivery in deliveries]),
            class_names=deliveries[0].class_names,
            ids=np.concatenate([delivery.ids for delivery in deliveries]),
        )


def _index_of(accepted: cp.Dataset) -> cp.DuplicateIndex:
    return cp.DuplicateIndex.of(accepted, near=NEAR, symmetries=True)


def deliveries() -> list[cp.Dataset]:
    """Three synthetic deliveries; later ones repeat images of the first, rotated or mislabelled."""
    images, labels = draw_cells([30] * len(CLASS_NAMES), side=64, seed=0)
    order = np.random.default_rng(0).permutation(len(images))
    first, second, third = np.split(order, [100, 180])

    def delivery(name: str, rows: NDArray[np.int64], pictures: NDArray[np.uint8]) -> cp.Dataset:
        ids = [f"{name}-{number:03}" for number in range(len(rows))]
        return cp.Dataset.from_arrays(pictures, labels[rows], class_names=CLASS_NAMES, ids=ids)

    rotated, mislabelled = first[:3], first[3:5]
    made = [delivery("a", first, images[first])]
    rows = np.concatenate([second, rotated])
    made.append(
        delivery("b", rows, np.concatenate([images[second], np.rot90(images[rotated], 1, (1, 2))]))
    )
    labels[mislabelled] = (labels[mislabelled] + 1) % len(CLASS_NAMES)
    rows = np.concatenate([third, third[:1], mislabelled])
    made.append(delivery("c", rows, images[rows]))
    return made


if __name__ == "__main__":
    store = Store(Path(sys.argv[1] if len(sys.argv) > 1 else "out/store"))
    store.folder.mkdir(parents=True, exist_ok=True)
    for number, delivered in enumerate(deliveries(), start=1):
        refused = store.accept(f"delivery-{number}", delivered)
        accepted = len(delivered) - len(refused)
        print(f"delivery {number}: {accepted} accepted, {len(refused)} refused")
        for row in refused.itertuples():
            print(f"  {row.id} ({row.class_name}): {row.reason}")
    print(f"the store contains {len(store.images())} images")
