"""Options as arguments of the library: how to read, how to run, what to write."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..dataset.dataset import Dataset
from ..dataset.exchange.table_files import ids_in
from ..dataset.read import read
from ..errors import CellprepError, parse_toml
from ..system import executors
from ..system.paths import shown
from ..writing.job import Job, plan_write

READING = ("size", "from", "arrays", "columns", "class_names", "part", "masks_in")
MATCHING = ("near", "symmetries", "hash")
WORKING = ("executor", "workers", "address")
WRITING = (
    *("format", "rows", *WORKING),
    *("on_error", "overwrite", "masks", "about", "dry_run", "json"),
)


def read_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options of `READING` and return them as arguments of `read`."""
    chosen = {"format": options.pop("from_"), "size": options.pop("size")}
    chosen["masks"] = options.pop("drawn")
    if (part := options.pop("part")) is not None:
        chosen["part"] = part
    for name in ("image", "label", "id", "group", "mask"):
        if (column := options.pop(f"column_{name}")) is not None:
            chosen[name] = column
    chosen["class_names"] = _class_names(options.pop("class_names"))
    arrays = options.pop("arrays")
    if arrays is not None:
        names = arrays.split(",")
        if len(names) != 2 or not all(names):
            raise CellprepError(
                f"`--arrays` must be two names, as in images,labels; got {arrays!r}"
            )
        chosen |= {"images": names[0].strip(), "labels": names[1].strip()}
    return chosen


def opened(path: Path, options: dict[str, Any]) -> Dataset:
    """INPUT, without the images that `--without` names."""
    ids = left_out(options)
    dataset = read(path, **read_arguments(options))
    return dataset if ids is None else dataset.without(ids)


def left_out(options: dict[str, Any]) -> list[str] | None:
    """Remove the option `--without` and return the ids that it names."""
    table = options.pop("without")
    return None if table is None else ids_in(table)


def _class_names(text: str | None) -> list[str] | dict[int | str, str] | None:
    """Names separated by commas, or VALUE=NAME.

    >>> _class_names("baso,mono"), _class_names("1=baso,2=mono")
    (['baso', 'mono'], {1: 'baso', 2: 'mono'})
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all("=" in name for name in names):
        return names
    pairs = [name.split("=", 1) for name in names]
    return {int(value) if value.isdecimal() else value: name for value, name in pairs}


def executor(options: dict[str, Any], progress: bool) -> AbstractContextManager[None]:
    """Remove the options of `WORKING` and run everything inside `with` as they say."""
    name, workers, address = (options.pop(option) for option in WORKING)
    return executors.using(name, workers, progress, address)


def write_job(dataset: Dataset, out: Path, options: dict[str, Any]) -> Job:
    """The write of a data set with the options of `WRITING`."""
    chosen = {
        key: options[key] for key in ("format", "rows_per_shard", "on_error", "overwrite", "masks")
    }
    file = options["about"]
    about = None if file is None else parse_toml(_text(file), "statements about a data set")
    return plan_write(dataset, out, **chosen, about=about, dry=options["dry_run"])


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CellprepError(f"`--about`: {shown(path)!r} cannot be read: {error}") from error
