"""Options that several commands share, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from .. import executors
from ..dataset import Dataset
from ..errors import CellprepError
from ..formats import FORMATS
from ..kernels import HASHES
from ..place import as_path
from ..write import Job, plan_write


class _Place(click.Path):
    """A local path, or a URL."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return as_path(value)
        except CellprepError as error:
            self.fail(str(error), param, ctx)


PATH = _Place()


def options(*names: str) -> Callable[[Any], Any]:
    """Options that several commands share, under one name and with one meaning."""
    known = {
        "seed": click.option(
            "--seed",
            type=int,
            default=None,
            help="Random seed.  [default: 0, or the recipe's]",
        ),
        "size": click.option("--size", type=int, help="Bring all images to SIZExSIZE."),
        "from": click.option(
            "--from",
            "from_",
            type=click.Choice(list(FORMATS)),
            metavar="FORMAT",
            help="Of INPUT.  [default: what it looks like]",
        ),
        "arrays": click.option(
            "--arrays",
            metavar="IMAGES,LABELS",
            help="In npz or zarr.  [default: images,labels]",
        ),
        "part": click.option("--part", help="Of INPUT: train, val or test."),
        "format": click.option(
            "--format",
            type=click.Choice(list(FORMATS)),
            metavar="FORMAT",
            help=f"{', '.join(FORMATS)}.  [default: by its ending]",
        ),
        "masks_in": click.option(
            "--drawn",
            type=PATH,
            help="Folder of drawn masks (PNG, same stems).",
        ),
        "masks": click.option("--masks", is_flag=True, help="Write the masks too."),
        "rows": click.option("--rows-per-shard", type=int, default=1024, show_default=True),
        "executor": click.option(
            "--executor",
            type=click.Choice(executors.EXECUTORS),
            metavar="NAME",
            default="threads",
            show_default=True,
            help=f"{', '.join(executors.EXECUTORS)}.",
        ),
        "workers": click.option("--workers", type=int, help="[default: all cores]"),
        "address": click.option(
            "--address", metavar="HOST:PORT", help="Of a Ray cluster, for --executor ray."
        ),
        "on_error": click.option(
            "--on-error",
            type=click.Choice(["raise", "skip", "quarantine"]),
            metavar="BAD_IMAGES",
            default="raise",
            show_default=True,
            help="raise, skip, quarantine.",
        ),
        "overwrite": click.option(
            "--overwrite", is_flag=True, help="Replace what cellprep wrote there."
        ),
        "near": click.option(
            "--near",
            type=int,
            metavar="BITS",
            help="Near duplicates too: BITS apart, such as 4.",
        ),
        "symmetries": click.option(
            "--symmetries", is_flag=True, help="Flipped and turned copies too."
        ),
        "hash": click.option(
            "--hash",
            type=click.Choice(HASHES),
            default="phash",
            show_default=True,
            help="Hash of near duplicates.",
        ),
        "csv": click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV."),
        "json": click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    }

    def add(function: Any) -> Any:
        for name in reversed(names):
            function = known[name](function)
        return function

    return add


READING = ("size", "from", "arrays", "part", "masks_in")
LIKENESS = ("near", "symmetries", "hash")
WRITING = (
    *("format", "rows", "executor", "workers", "address"),
    *("on_error", "overwrite", "masks", "json"),
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


def using(options: dict[str, Any]) -> AbstractContextManager[None]:
    progress = not options["as_json"]
    return executors.using(options["executor"], options["workers"], progress, options["address"])


def job_of(dataset: Dataset, out: Path, options: dict[str, Any]) -> Job:
    chosen = {
        key: options[key] for key in ("format", "rows_per_shard", "on_error", "overwrite", "masks")
    }
    return plan_write(dataset, out, **chosen)
