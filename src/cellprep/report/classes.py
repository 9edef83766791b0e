"""Images per class: how many at each stage, and a gallery of each class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..dataset.dataset import Dataset
from .catalog import Catalog
from .findings import Strip
from .quality import Qualities

_GALLERY = 640  # pictures of all classes together, but at least 8 per class


def counts_by_stage(
    dataset: Dataset, processed: Dataset, source_counts: Mapping[str, int]
) -> list[tuple[str, list[int]]]:
    """Images per class at each known stage, first to last.

    `source_counts` are those that an earlier write recorded of its input, if any.
    """
    names = dataset.class_names
    stages: list[tuple[str, Mapping[str, int]]] = []
    if source_counts.keys() == {*names}:
        stages.append(("read by the recipe", source_counts))
    if len(dataset.chain) > 1:
        stages.append(("read", dataset.chain[0].counts()))
    stages.append(("in this set", dataset.counts()))
    if processed is not dataset:
        stages.append(("after the recipe", processed.counts()))
    return [(stage, [counts[label] for label in names]) for stage, counts in stages]


def galleries(dataset: Dataset, qualities: Qualities, catalog: Catalog) -> list[Strip]:
    """Some images of each class, evenly spaced in order of id, no picture twice."""
    order = dataset.plan.rows.order()
    labels = dataset.labels[order]
    most = max(8, _GALLERY // len(dataset.class_names))
    strips = []
    for label, name in enumerate(dataset.class_names):
        rows = order[labels == label]
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
        distinct = {qualities.digests[row].tobytes(): row for row in chosen[::-1].tolist()}
        tiles = [
            catalog.tile(dataset, row, qualities.digests[row])
            for row in reversed(distinct.values())
        ]
        strips.append(Strip(name, tiles))
    return strips
