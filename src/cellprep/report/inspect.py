"""`cellprep inspect`: the contents of a data set and its problems, as text and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images
from ..dataset.dataset import Dataset
from ..dataset.read import read
from ..duplicates.search import find_duplicates
from ..errors import CellprepError, counted
from ..plan.plan import Plan
from ..plan.readable import Measures
from ..plan.source import Size, frequencies


def read_any(
    path: str | Path,
    size: int | tuple[int, int] | None = None,
    measures: Callable[[Dataset], Measures] | None = None,
    without: Sequence[str] | None = None,
    **options: Any,
) -> tuple[Dataset, str]:
    """`read`, with images of several sizes resized to 96x96, and a note if they were.

    If `measures` says what to measure, images are decoded, which shows their sizes. Images with
    the ids `without` are left out.
    """

    def opened(size: int | tuple[int, int] | None) -> Dataset:
        found = read(path, size=size, **options)
        return found if without is None else found.without(without)

    dataset = opened(size)
    source = dataset.source
    if size is None and not (source.trusted or source.resizes()):
        if measures is not None:
            with suppress(CellprepError):  # no size is that of most images, or all are bad
                dataset.measured(measures(dataset)).plan  # noqa: B018
        sizes = stored_sizes(dataset)
        if len(sizes) > 1:
            dataset = opened(96)
            if measures is not None:
                dataset.measured(measures(dataset))
            return dataset, f"images of {len(sizes)} sizes, resized to 96x96"
    elif measures is not None:
        dataset.measured(measures(dataset))
    return dataset, ""


def stored_sizes(dataset: Dataset) -> dict[Size, int]:
    """How many images are stored in each size, the most frequent first."""
    sizes = dataset.source.image_sizes()
    return frequencies(sizes[row] for row in dataset.plan.origin(np.arange(len(dataset))).tolist())


def folders_note(dataset: Dataset) -> str:
    """What to check if the same folders are in every class folder; an empty text if they are not.

    `original/EOSINOPHIL/` and `augmented/EOSINOPHIL/` are read as the classes original and
    augmented, `EOSINOPHIL/slide1/` and `MONOCYTE/slide1/` as the classes EOSINOPHIL and MONOCYTE.
    """
    inside: dict[str, set[str]] = {}
    for id in dataset.ids.tolist() if dataset.source.holds_files() else ():
        folders = str(id).split("/")[:-1]
        inside.setdefault(folders[0] if folders else "", set()).add("/".join(folders[1:2]))
    if len(inside) < 2 or {*inside} != {*dataset.class_names}:
        return ""
    shared = set.intersection(*inside.values()) - {""}
    if len(shared) < 2 or any(shared != found for found in inside.values()):
        return ""
    listed = ", ".join(sorted(shared)[:4]) + ", ..." * (len(shared) > 4)
    return (
        f"every class folder contains the folders {listed}: if these are the classes, read "
        f"{sorted(inside)[0]}/ and the others separately; if they are slides or patients, keep "
        "them together with groups"
    )


def inspect(
    path: str | Path, size: int | tuple[int, int] | None = None, **options: Any
) -> dict[str, Any]:
    """Counts, sizes, value ranges, duplicates, bad and unread files of a data set, for JSON."""
    dataset, resized = read_any(path, size, lambda _: {"range": _range}, **options)
    listed, dataset = dataset, dataset.readable()
    table = find_duplicates(dataset)  # decodes the images, after which their sizes are known
    sizes = stored_sizes(listed)
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
        "folders": folders_note(dataset),
        "classes": dataset.counts(),
        "sizes": {f"{height}x{width}": count for (height, width), count in sizes.items()},
        "values": _values(dataset.plan),
        "duplicate_groups": len(groups),
        "duplicate_images": len(table),
        "conflicts": sum(group["conflict"] for group in groups),
        "groups": groups,
        "bad": dataset.bad,
        "unread": dataset.unread,
        "steps": [step["step"] for step in dataset.source.history.steps],
    }


def _values(plan: Plan) -> dict[str, Any]:
    """Smallest, largest and mean value of each channel."""
    low, high, total = plan.measure("range", _range).rows.columns["range"].transpose(1, 0, 2)
    pixels = len(plan) * plan.shape[0] * plan.shape[1]
    return {
        "min": low.min(axis=0).tolist(),
        "max": high.max(axis=0).tolist(),
        "mean": np.round(total.sum(axis=0) / pixels, 2).tolist(),
    }


def _range(images: Images) -> NDArray[np.int64]:
    """(n, 3, channels): the smallest and the largest value of each channel, and their sum."""
    n, height, width, channels = images.shape
    rows = images.reshape(n, height, width * channels)  # long rows are reduced many times faster
    reduced = rows.min(1), rows.max(1), rows.sum(1, dtype=np.uint32)
    low, high, total = (values.reshape(n, width, channels) for values in reduced)
    found = low.min(1), high.max(1), total.sum(1, dtype=np.int64)
    return np.stack([values.astype(np.int64) for values in found], axis=1)


def describe(found: dict[str, Any]) -> str:
    """The result of `inspect` as text for a terminal; long lists are truncated."""
    sizes = [f"{name} ({count:,})" for name, count in found["sizes"].items()]
    lines = [
        f"{found['path']}: {counted(found['images'], 'image')}, "
        f"{counted(len(found['classes']), 'class', 'classes')}",
        "sizes    " + ", ".join(sizes[:5]) + (f" and {len(sizes) - 5} more" if sizes[5:] else ""),
    ]
    if found["note"]:
        lines.append(f"         {found['note']} for the figures below")
    values = found["values"]
    channels = zip(("red", "green", "blue"), *values.values(), strict=True)
    ranges = [f"{name} {low}-{high} (mean {mean:.0f})" for name, low, high, mean in channels]
    lines.append("values   " + ", ".join(ranges))
    most = max(1, *found["classes"].values())
    for name, count in found["classes"].items():
        lines.append(f"  {name[:28]:28} {count:9,}  {'#' * round(30 * count / most)}")
    if found["folders"]:
        lines.append(f"folders  {found['folders']}")
    lines.append(
        f"repeats  {counted(found['duplicate_images'], 'image')} in "
        f"{counted(found['duplicate_groups'], 'group')} (equal pixels), "
        f"{found['conflicts']:,} with conflicting labels"
        if found["groups"]
        else "repeats  none"
    )
    for group in found["groups"][:8]:
        labels = counted_labels(group["labels"])
        mark = "CONFLICT" if group["conflict"] else ""
        ids = ", ".join(map(str, group["ids"][:3])) + ", ..." * (group["images"] > 3)
        lines.append(f"  {mark:8} {group['images']:6,} images  {labels}  (ids {ids})")
    lines += [f"  BAD {name}: {cause}" for name, cause in list(found["bad"].items())[:8]]
    for what in ("groups", "bad"):
        if len(found[what]) > 8:
            lines.append(f"  and {len(found[what]) - 8:,} more {what}; use --json for all")
    return "\n".join([*lines, *unread_lines(found["unread"])])


def counted_labels(labels: Mapping[str, int]) -> str:
    """Labels and how many images have each, as text.

    >>> counted_labels({"mono": 3, "baso": 1})
    'mono x3, baso x1'
    """
    return ", ".join(f"{name} x{count}" for name, count in labels.items())


def unread_lines(unread: Mapping[str, str]) -> list[str]:
    """What is in the input but not read, by cause, and the first names.

    >>> unread_lines({"a/5": "has no extension", "b/5": "has no extension"})
    ['not read 2 files: 2 x has no extension', '  a/5: has no extension', '  b/5: has no extension']
    """
    if not unread:
        return []
    causes = Counter(unread.values()).most_common()
    listed = ", ".join(f"{count:,} x {cause}" for cause, count in causes[:5])
    lines = [f"not read {counted(len(unread), 'file')}: {listed}" + ", ..." * (len(causes) > 5)]
    lines += [f"  {name}: {cause}" for name, cause in list(unread.items())[:8]]
    if len(unread) > 8:
        lines.append(f"  and {len(unread) - 8:,} more not read; use --json for all")
    return lines
