"""`cellprep split`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from ...dataset.dataset import Dataset
from ...dataset.exchange.table_files import column_by_id
from ...errors import CellprepError
from ...formats import FORMATS
from ...steps.split import split as split_dataset
from ...system.paths import as_path
from ...writing.forecast import forecast
from ..arguments import READING, WRITING, executor, opened, write_job
from ..output import forecast_as_json, show_forecasts, written_as_json
from ..shared import PATH, options, print_json, print_text, resumable

_ARGUMENTS = ("dataset", "seed", "groups", "near", "symmetries", "folds")
"""Arguments of `split`, which no split can be named after."""

_SHARES = "train=0.8,val=0.1,test=0.1"


@click.command()
@click.argument("input", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--parts",
    metavar="SHARES",
    help=f"[default: {_SHARES}; with --part all, the splits of INPUT]",
)
@click.option(
    "--folds", type=int, metavar="N", help="N equal splits instead, for cross-validation."
)
@click.option(
    "--groups", metavar="GROUPS", help="Keep together: 'parent', a pattern, TABLE:COLUMN."
)
@options("near", "symmetries", "seed", "without", *READING, *WRITING)
@resumable
def split(
    input: Path,
    out: Path,
    parts: str | None,
    folds: int | None,
    groups: str | None,
    near: int | None,
    symmetries: bool,
    seed: int,
    **given: Any,
) -> None:
    """Split INPUT into OUT/train, OUT/val, ..., stratified by class. Duplicates and
    groups (folders, patterns, columns) stay in one split.

    Example: cellprep split out/demo/drawn_cells.npz out/parts
    """
    began = time.perf_counter()
    shares: dict[str, Any] = _parse_shares(_SHARES if parts is None else parts)
    if folds is not None and parts is not None:
        raise CellprepError("`--folds` are equal splits; leave out `--parts`")
    dataset = opened(input, given).readable()
    if folds is not None or (parts is None and dataset.parts is not None):
        shares = {}
    as_json, dry_run = given["as_json"], given["dry_run"]
    with executor(given, not as_json):
        together = None if groups is None else _groups(groups, dataset)
        splits = split_dataset(
            dataset,
            seed=seed,
            groups=together,
            near=near,
            symmetries=symmetries,
            folds=folds,
            **shares,
        )
        one_file = given["format"] is not None and FORMATS[given["format"]].is_file
        suffix = ".npz" if one_file else ""
        _check_contains_only(out, {f"{name}{suffix}" for name in splits})
        # Every write is checked before the first begins.
        jobs = {
            name: write_job(one, out / f"{name}{suffix}", given) for name, one in splits.items()
        }
        planning = time.perf_counter() - began
        done: dict[str, Any] = {
            name: forecast(job) if dry_run else job.run() for name, job in jobs.items()
        }
    if as_json:
        return print_json(_as_json(splits, done, dataset.bad, planning, dry_run))
    for name, why in _reasons(splits).items():
        print_text(f"{name if dry_run else f'{name}: {done[name]}'}\n  {why}", headline=False)
    if dry_run:
        show_forecasts([*done.values()], dataset.bad, planning)


def _reasons(splits: dict[str, Dataset]) -> dict[str, str]:
    """What each split reports of itself."""
    return {name: one.changes()["why"].iloc[-1] for name, one in splits.items()}


def _as_json(
    splits: dict[str, Dataset],
    done: dict[str, Any],
    bad: dict[str, str],
    planning: float,
    dry_run: bool,
) -> dict[str, Any]:
    listed = {
        name: forecast_as_json(one, bad, planning) if dry_run else written_as_json(one)
        for name, one in done.items()
    }
    return {
        name: {**listed[name], "classes": splits[name].counts(), "why": why}
        for name, why in _reasons(splits).items()
    }


def _groups(text: str, dataset: Dataset) -> Any:
    """The argument `groups` of `split`: a word or pattern, or the values of a table's column."""
    name, _, column = text.rpartition(":")
    if not name.lower().endswith((".csv", ".tsv", ".txt", ".parquet", ".pq")):
        return text
    path = as_path(name)
    if not path.is_file():
        raise CellprepError(
            f"there is no table {name!r}; --groups is 'parent', a pattern or FILE:COLUMN"
        )
    return column_by_id(path, column, dataset.ids)


def _check_contains_only(out: Path, names: set[str]) -> None:
    """An earlier, different split must not be mixed with this one."""
    strange = sorted({entry.name for entry in out.iterdir()} - names) if out.is_dir() else []
    if strange:
        raise CellprepError(
            f"{str(out)!r} contains other files ({strange[0]}); choose another path or move them"
        )


def _parse_shares(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = (word.strip() for word in item.partition("="))
        if name in shares:
            raise CellprepError(f"`--parts` names {name!r} twice")
        try:
            shares[name] = float(share)
        except ValueError:
            raise CellprepError(
                f"`--parts` must look like train=0.8,test=0.2, got {text!r}"
            ) from None
        if not name.isidentifier():
            raise CellprepError(f"`--parts` needs plain words as names, got {name!r}")
        if name in _ARGUMENTS:
            raise CellprepError(f"`--parts` cannot use the name {name!r}; choose another")
    return shares
