"""Options that several commands share, each with one name and one meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ...errors import CellprepError, nearest
from ...formats import FORMATS
from ...kernels import HASHES
from ...system import executors
from ...system.paths import as_path


class OneOf(click.Choice):  # type: ignore[type-arg]
    """One of several values; for any other, the error names the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            name = param.opts[0] if isinstance(param, click.Option) else self.name
            hint = nearest(str(value), self.choices)
            raise click.UsageError(f"{name} got {value!r}; {hint}", ctx)
        return str(value)


class _PathOrURL(click.Path):
    """A local path, or a URL."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return as_path(value)
        except CellprepError as error:
            self.fail(str(error), param, ctx)


PATH = _PathOrURL()
"""The type of an argument that may be a local path or a URL."""


def _all(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options under one name, in this order."""

    def add(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return add


_OPTIONS = {
    "seed": click.option(
        "--seed", type=int, metavar="N", default=0, show_default=True, help="Random seed."
    ),
    "seed_of_recipe": click.option(
        "--seed", type=int, metavar="N", help="Random seed.  [default: the recipe's]"
    ),
    "size": click.option("--size", type=int, metavar="N", help="Resize all images to NxN pixels."),
    "from": click.option(
        "--from",
        "from_",
        type=OneOf([*FORMATS, "table"]),
        metavar="FORMAT",
        help="Input format.  [default: detected]",
    ),
    "arrays": click.option(
        "--arrays", metavar="NAMES", help="Names in npz or zarr.  [default: images,labels]"
    ),
    "columns": _all(
        click.option(
            "--image", "column_image", metavar="NAME", help="Column or feature of the images."
        ),
        click.option("--label", "column_label", metavar="NAME", help="The same of the labels."),
        click.option("--id", "column_id", metavar="NAME", help="Column of ids, in a table."),
        click.option("--group", "column_group", metavar="NAME", help="Column of groups."),
        click.option("--mask", "column_mask", metavar="NAME", help="Column of mask files."),
    ),
    "class_names": click.option(
        "--class-names", metavar="NAMES", help="baso,mono in order of labels, or 1=baso,2=mono."
    ),
    "without": click.option(
        "--without", type=PATH, metavar="FILE", help="Leave out the images with the ids in a table."
    ),
    "decisions": click.option(
        "--decisions", type=PATH, metavar="FILE", help="Decisions that a report saved."
    ),
    "part": click.option(
        "--part", metavar="NAME", help="Split of INPUT to read: train, val, test or all."
    ),
    "format": click.option(
        "--format",
        type=OneOf([*FORMATS]),
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)}.  [default: from OUT's ending]",
    ),
    "masks_in": click.option(
        "--drawn", type=PATH, metavar="FOLDER", help="Annotated masks: PNG files, same stems."
    ),
    "masks": click.option("--masks", is_flag=True, help="Write the masks too."),
    "rows": click.option(
        "--rows-per-shard",
        type=int,
        metavar="N",
        default=1024,
        show_default=True,
        help="Images per file.",
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
        "--workers", type=int, metavar="N", help="Number of workers.  [default: all cores]"
    ),
    "address": click.option(
        "--address", metavar="HOST:PORT", help="Ray cluster to use, with --executor ray."
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
        "--overwrite", is_flag=True, help="Replace a data set that cellprep wrote."
    ),
    "about": click.option(
        "--about", type=PATH, metavar="FILE", help="TOML file with license, source and so on."
    ),
    "near": click.option(
        "--near",
        type=int,
        metavar="BITS",
        help="Match hashes up to BITS apart too, such as 4.",
    ),
    "symmetries": click.option(
        "--symmetries", is_flag=True, help="Match flipped and rotated copies too."
    ),
    "hash": click.option(
        "--hash",
        type=OneOf(HASHES),
        metavar="NAME",
        default="phash",
        show_default=True,
        help=f"{', '.join(HASHES)}.",
    ),
    "dry_run": click.option(
        "--dry-run", is_flag=True, help="Show rows, size and time; write nothing."
    ),
    "csv": click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV."),
    "json": click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
}


def options(*names: str) -> Callable[[Any], Any]:
    """A decorator that adds shared options to a command, in this order.

    Names: seed, seed_of_recipe, size, from, arrays, columns, class_names, part, format, masks_in,
    masks, rows, executor, workers, address, on_error, overwrite, about, near, symmetries, hash,
    dry_run, csv, json, without, decisions.
    """

    def add(function: Any) -> Any:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return add
