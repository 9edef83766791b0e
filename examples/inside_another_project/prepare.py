"""Turn the store into training and test sets; no deep learning framework is needed."""

from __future__ import annotations

from pathlib import Path

import cellprep as cp
from ingest import NEAR, Store


def prepare(store: Store, out: Path) -> dict[str, cp.Dataset]:
    """Write splits without leaks; the training split is balanced and augmented."""
    parts = cp.split(store.images(), train=0.7, test=0.3, seed=0, near=NEAR, symmetries=True)
    recipe = cp.Recipe([cp.Balance(), cp.RandAugment(copies=3, magnitude=0.3)], seed=0)
    shifted = cp.Recipe([cp.Corrupt()], seed=0)
    made = {
        "train": recipe(parts["train"]),
        "test": parts["test"],
        "shifted": shifted(parts["test"]),
    }
    leaks = cp.find_leaks(parts["train"], parts["test"], near=NEAR, symmetries=True)
    assert leaks.empty, leaks
    for name, part in made.items():
        cp.write(part, out / name, progress=False)
    return {name: cp.read(out / name) for name in made}
