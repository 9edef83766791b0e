"""Options that several commands share, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from ..dataset.dataset import Dataset
from ..errors import CellprepError
from ..formats import FORMATS
from ..kernels import HASHES
from ..system import executors
from ..system.paths import as_path
from ..writing.job import Job, plan_write
from .commands import OneOf


class _Place(click.Path):
    """A local path, or a URL."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return as_path(value)
        except CellprepError as error:
            self.fail(str(error), param, ctx)


PATH = _Place()

_OPTIONS = {
    "seed": click.option(
        "--seed", type=int, metavar="N", default=0, show_default=True, help="Random seed."
    ),
    "seed_of_recipe": click.option(
        "--seed", type=int, metavar="N", help="Random seed.  [default: the recipe's]"
    ),
    "size": click.option("--size", type=int, metavar="N", help="Bring all images to NxN pixels."),
    "from": click.option(
        "--from",
        "from_",
        type=OneOf([*FORMATS]),
        metavar="FORMAT",
        help="Of INPUT.  [default: what it looks like]",
    ),
    "arrays": click.option(
        "--arrays", metavar="NAMES", help="In npz or zarr.  [default: images,labels]"
    ),
    "part": click.option("--part", metavar="NAME", help="Of INPUT: train, val or test."),
    "format": click.option(
        "--format",
        type=OneOf([*FORMATS]),
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)}.  [default: by its ending]",
    ),
    "masks_in": click.option(
        "--drawn", type=PATH, metavar="FOLDER", help="Drawn masks: PNG files, same stems."
    ),
    "masks": click.option("--masks", is_flag=True, help="Write the masks too."),
    "rows": click.option(
        "--rows-per-shard",
        type=int,
        metavar="N",
        default=1024,
        show_default=True,
        help="Images a part.",
    ),
    "executor": click.option(
        "--executor",
        type=OneOf(executors.EXECUTORS),
        metavar="NAME",
        default="threads",
        show_default=True,
        help=f"{', '.join(executors.EXECUTORS)}.",
    ),
    "workers": click.option(
        "--workers", type=int, metavar="N", help="At a time.  [default: all cores]"
    ),
    "address": click.option(
        "--address", metavar="HOST:PORT", help="Of a Ray cluster, for --executor ray."
    ),
    "on_error": click.option(
        "--on-error",
        type=OneOf(["raise", "skip", "quarantine"]),
        metavar="HOW",
        default="raise",
        show_default=True,
        help="Bad images: raise, skip, quarantine.",
    ),
    "overwrite": click.option(
        "--overwrite", is_flag=True, help="Replace what cellprep wrote there."
    ),
    "near": click.option(
        "--near", type=int, metavar="BITS", help="Near duplicates too: BITS apart, such as 4."
    ),
    "symmetries": click.option("--symmetries", is_flag=True, help="Flipped and turned copies too."),
    "hash": click.option(
        "--hash",
        type=OneOf(HASHES),
        metavar="NAME",
        default="phash",
        show_default=True,
        help=f"{', '.join(HASHES)}.",
    ),
    "dry_run": click.option(
        "--dry-run", is_flag=True, help="Show rows, bytes and time; write nothing."
    ),
    "csv": click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV."),
    "json": click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
}


def options(*names: str) -> Callable[[Any], Any]:
    """Options that several commands share, under one name and with one meaning."""

    def add(function: Any) -> Any:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return add


READING = ("size", "from", "arrays", "part", "masks_in")
LIKENESS = ("near", "symmetries", "hash")
WORKING = ("executor", "workers", "address")
WRITING = (
    *("format", "rows", *WORKING),
    *("on_error", "overwrite", "masks", "dry_run", "json"),
)


def reading(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `read` among the options, taken out of them."""
    chosen = {"format": options.pop("from_"), "size": options.pop("size")}
    chosen["masks"] = options.pop("drawn")
    if (part := options.pop("part")) is not None:
        chosen["part"] = part
    arrays = options.pop("arrays")
    if arrays is not None:
        names = arrays.split(",")
        if len(names) != 2 or not all(names):
            raise CellprepError(
                f"`--arrays` must be two names, as in images,labels; got {arrays!r}"
            )
        chosen |= {"images": names[0].strip(), "labels": names[1].strip()}
    return chosen


def using(options: dict[str, Any], progress: bool) -> AbstractContextManager[None]:
    """Let all work inside go the way that `WORKING` says, and take these options out."""
    executor, workers, address = (options.pop(name) for name in WORKING)
    return executors.using(executor, workers, progress, address)


def job_of(dataset: Dataset, out: Path, options: dict[str, Any]) -> Job:
    chosen = {
        key: options[key] for key in ("format", "rows_per_shard", "on_error", "overwrite", "masks")
    }
    return plan_write(dataset, out, **chosen, dry=options["dry_run"])
