"""A laboratory's ingestion service, which asks cellprep whether it has seen an image before.

    python ingest.py STORE      three deliveries of drawn cells, as they come in

What is the laboratory's own: where images lie, what a delivery is, who looks at conflicts. What it
imports: `Dedupe` within a delivery, and a `DuplicateIndex` of all that was accepted, which knows an
image again when it comes turned, flipped, compressed or resized, and needs no old pixels for it.
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
"""Hash distance up to which pixels are compared; see docs/duplicates.md."""


@dataclass(frozen=True)
class Store:
    """Accepted images, a file a delivery, and the index of their duplicates."""

    folder: Path

    @property
    def index_path(self) -> Path:
        return self.folder / "duplicates.npz"

    def accept(self, name: str, delivery: cp.Dataset) -> pd.DataFrame:
        """Keep what is new; a row for each image that is not, and why.

        The same delivery again changes nothing: all of its images are known then.
        """
        clean = cp.Recipe([cp.Dedupe(near=NEAR, symmetries=True)])(delivery)
        refused = [clean.removed()[["id", "class_name", "reason"]]]
        images, labels = clean.to_arrays()
        index, new = None, np.ones(len(images), bool)
        if self.index_path.exists():
            index = cp.DuplicateIndex.load(self.index_path)
            known = index.query(clean).drop_duplicates("id")
            known["reason"] = [
                f"{'in conflict with' if row.conflict else 'a copy of'} {row.of} "
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
        """All that was accepted, as one data set."""
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
    """Three drawn ones; the later two bring some of the first again, turned or mislabelled."""
    images, labels = draw_cells([30] * len(CLASS_NAMES), side=64, seed=0)
    order = np.random.default_rng(0).permutation(len(images))
    first, second, third = np.split(order, [100, 180])

    def delivery(name: str, rows: NDArray[np.int64], pictures: NDArray[np.uint8]) -> cp.Dataset:
        ids = [f"{name}-{number:03}" for number in range(len(rows))]
        return cp.Dataset.from_arrays(pictures, labels[rows], class_names=CLASS_NAMES, ids=ids)

    turned, again = first[:3], first[3:5]
    made = [delivery("a", first, images[first])]
    rows = np.concatenate([second, turned])
    made.append(
        delivery("b", rows, np.concatenate([images[second], np.rot90(images[turned], 1, (1, 2))]))
    )
    labels[again] = (labels[again] + 1) % len(CLASS_NAMES)
    rows = np.concatenate([third, third[:1], again])
    made.append(delivery("c", rows, images[rows]))
    return made


if __name__ == "__main__":
    store = Store(Path(sys.argv[1] if len(sys.argv) > 1 else "out/store"))
    store.folder.mkdir(parents=True, exist_ok=True)
    for number, delivered in enumerate(deliveries(), start=1):
        refused = store.accept(f"delivery-{number}", delivered)
        print(f"delivery {number}: {len(delivered) - len(refused)} accepted, {len(refused)} not")
        for row in refused.itertuples():
            print(f"  {row.id} ({row.class_name}): {row.reason}")
    print(f"the store holds {len(store.images())} images")
