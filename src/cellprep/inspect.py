"""A look at a data set: what it holds, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import executors
from .dataset import Dataset
from .duplicates import find_duplicates
from .formats import folder, read
from .plan import Plan


def read_any(
    path: str | Path, size: int | tuple[int, int] | None = None, format: str | None = None
) -> tuple[Dataset, str]:
    """`read`, with a folder of images of many sizes brought to 96x96; and a word where it was."""
    dataset = read(path, format=format, size=size)
    source = dataset.source
    if size is None and isinstance(source, folder.FolderSource) and source.size is None:
        sizes = source.sizes()
        if len(sizes) > 1:
            resized = read(path, format=format, size=96)
            return resized, f"images of {len(sizes)} sizes, brought to 96x96"
    return dataset, ""


def inspect(
    path: str | Path, size: int | tuple[int, int] | None = None, format: str | None = None
) -> dict[str, Any]:
    """Counts, sizes, value ranges, duplicates and bad files of a data set, ready for JSON."""
    dataset, resized = read_any(path, size, format)
    raw = dataset.source
    dataset = dataset.readable()
    sizes = raw.sizes() if isinstance(raw, folder.FolderSource) else {raw.shape[:2]: len(raw.rows)}
    table = find_duplicates(dataset)
    groups = []
    for number, (_, group) in enumerate(table.groupby("group")):
        votes = group["class_name"].value_counts(sort=False)
        groups.append(
            {
                "group": number,
                "images": len(group),
                "conflict": bool(group["conflict"].iloc[0]),
                "labels": {str(name): int(count) for name, count in votes.items()},
                "ids": [value.item() if hasattr(value, "item") else value for value in group["id"]],
            }
        )
    return {
        "path": str(path),
        "images": len(dataset),
        "note": resized,
        "classes": dataset.counts(),
        "sizes": {f"{height}x{width}": count for (height, width), count in sizes.items()},
        "values": _values(dataset.plan),
        "duplicate_groups": len(groups),
        "duplicate_images": len(table),
        "conflicts": sum(group["conflict"] for group in groups),
        "groups": groups,
        "bad": dataset.bad,
        "written_by_cellprep": bool(dataset.source.past.steps),
    }


def _values(plan: Plan) -> dict[str, Any]:
    """Smallest, largest and mean value of each channel."""

    def look(span: executors.Span) -> tuple[Any, Any, Any]:
        images = plan.evaluate(np.arange(*span))[0]
        axes = (0, 1, 2)
        return images.min(axes), images.max(axes), images.sum(axes, dtype=np.int64)

    low, high, total = zip(*executors.run(look, plan.spans(), "values"), strict=True)
    pixels = len(plan) * plan.shape[0] * plan.shape[1]
    return {
        "min": np.min(low, axis=0).tolist(),
        "max": np.max(high, axis=0).tolist(),
        "mean": np.round(np.sum(total, axis=0) / pixels, 2).tolist(),
    }
