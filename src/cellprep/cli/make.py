"""Commands that write a data set: demo, run, convert, split."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import click

from ..dataset.dataset import Dataset
from ..dataset.read import read
from ..errors import CellprepError, check_seed, in_range, nearest
from ..formats import FORMATS
from ..steps.recipe import Recipe
from ..steps.split import split as split_dataset
from ..system.paths import as_path, open_binary
from ..writing.forecast import forecast
from .commands import resumable, said
from .options import PATH, READING, WORKING, WRITING, job_of, options, reading, using
from .show import forecast_as_json, show_forecasts, show_steps, tell, tell_json, written_as_json


@click.command()
@click.option("--data", type=PATH, metavar="PATH", help="Your own images.  [default: drawn cells]")
@click.option("--out", type=PATH, metavar="FOLDER", default=Path("out/demo"), show_default=True)
@click.option(
    "--images", type=int, metavar="N", default=2400, show_default=True, help="Cells to draw."
)
@options("seed", "size", *WORKING, "on_error", "dry_run", "json")
@said
def demo(
    data: Path | None,
    out: Path,
    images: int,
    seed: int,
    size: int | None,
    on_error: str,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Run the main job, on drawn cells or on your own images.

    Find repeats, split, balance, mask, augment, write; a picture and a report at the end.

    Example: cellprep demo --data smears/ --size 96 --out out/smears
    """
    from . import demo_job as job

    began = time.monotonic()
    in_range("images", images, 400, 1_000_000, whole=True)
    check_seed(seed)
    if size is not None and data is None:
        raise CellprepError("`size` is for images of your own; the drawn cells are 96x96")
    how: Any = {"images": images, "size": size, "seed": seed, "on_error": on_error}
    say = functools.partial(click.echo, err=as_json)
    with using(given, not as_json):
        if dry_run:
            changes, jobs = job.plan_demo(out, data, **how, say=say)
            planning = time.monotonic() - began
            found = {name: forecast(one) for name, one in jobs.items()}
            bad = jobs["train"].plan.bad
        else:
            done = job.run_demo(out, data, **how, say=say)
    if dry_run and as_json:
        parts = {name: forecast_as_json(one, bad, planning) for name, one in found.items()}
        tell_json({"dry_run": True, "parts": parts, "steps": changes.to_dict("records")})
    elif dry_run:
        show_steps(changes)
        show_forecasts([*found.values()], bad, planning)
    elif as_json:
        tell_json(
            {
                "parts": {name: written_as_json(w) for name, w in done.written.items()},
                "steps": done.changes.to_dict("records"),
                "contact_sheet": str(done.sheet),
                "report": None if done.report is None else str(done.report),
            }
        )
    else:
        click.echo()
        show_steps(done.changes)
        if done.report is not None:
            click.echo(f"\nreport:        {done.report}")
        click.echo(
            f"contact sheet: {done.sheet}\n"
            f"train on it:   np.load('{out}/train/shard-00000.npy', mmap_mode='r'),\n"
            f"               labels in '{out}/train/index.parquet'"
        )


@click.command()
@click.argument("recipe", type=PATH)
@click.argument("input", type=PATH)
@click.argument("out", type=PATH)
@options("seed_of_recipe", *READING, *WRITING)
@resumable
def run(recipe: Path, input: Path, out: Path, seed: int | None, **given: Any) -> None:
    """Apply RECIPE, a TOML file, to INPUT and write OUT.

    Example: cellprep run recipe.toml train_data.npz out/train
    """
    began = time.monotonic()
    steps = Recipe.from_toml(recipe)
    if seed is not None:
        steps = Recipe(steps.steps, seed)
    dataset = read(input, **reading(given)).readable()
    with using(given, not given["as_json"]):
        _check_trainable(dataset)
        _write(steps(dataset), out, given, began)


@click.command()
@click.argument("input", type=PATH)
@click.argument("out", type=PATH)
@options(*READING, *WRITING)
@resumable
def convert(input: Path, out: Path, **given: Any) -> None:
    """Write INPUT to OUT in another format. Pixels, labels and ids stay.

    Example: cellprep convert smears/ smears.npz --size 96
    """
    began = time.monotonic()
    dataset = read(input, **reading(given))
    with using(given, not given["as_json"]):
        _write(dataset, out, given, began)


def _write(dataset: Dataset, out: Path, given: dict[str, Any], began: float) -> None:
    """Write, or show what that would come to; and say what the steps did, if there are any."""
    as_json = given["as_json"]
    job = job_of(dataset, out, given)
    changes = dataset.changes()
    steps = {"steps": changes.to_dict("records")} if len(changes) else {}
    if given["dry_run"]:
        planning, bad = time.monotonic() - began, job.plan.bad
        found = forecast(job)
        if as_json:
            return tell_json({**forecast_as_json(found, bad, planning), **steps})
        if steps:
            show_steps(changes)
        return show_forecasts([found], bad, planning)
    written = job.run()
    if as_json:
        return tell_json({**written_as_json(written), **steps})
    if steps:
        show_steps(changes)
    tell(str(written), headline=False)


@click.command()
@click.argument("input", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--parts",
    default="train=0.8,val=0.1,test=0.1",
    metavar="SHARES",
    help="[default: train=0.8,val=0.1,test=0.1]",
)
@click.option("--groups", metavar="GROUPS", help="'parent', a pattern, or TABLE:COLUMN.")
@options("near", "symmetries", "seed", *READING, *WRITING)
@resumable
def split(
    input: Path,
    out: Path,
    parts: str,
    groups: str | None,
    near: int | None,
    symmetries: bool,
    seed: int,
    **given: Any,
) -> None:
    """Cut INPUT into stratified parts: OUT/train, OUT/val, ... Duplicates and
    groups (folders, patterns, columns) never straddle parts.

    Example: cellprep split train_data.npz out --parts train=0.9,test=0.1
    """
    began = time.monotonic()
    shares: dict[str, Any] = _parse_parts(parts)
    dataset = read(input, **reading(given)).readable()
    as_json, dry_run = given["as_json"], given["dry_run"]
    with using(given, not as_json):
        together = None if groups is None else _groups(groups, dataset)
        cut = split_dataset(
            dataset, seed=seed, groups=together, near=near, symmetries=symmetries, **shares
        )
        one_file = given["format"] is not None and FORMATS[given["format"]].is_file
        suffix = ".npz" if one_file else ""
        _check_holds_only(out, {f"{name}{suffix}" for name in cut})
        # All parts are looked at before the first is written.
        jobs = {name: job_of(part, out / f"{name}{suffix}", given) for name, part in cut.items()}
        planning = time.monotonic() - began
        if dry_run:
            found = {name: forecast(job) for name, job in jobs.items()}
        else:
            done = {name: job.run() for name, job in jobs.items()}
    why = {name: part.changes()["why"].iloc[-1] for name, part in cut.items()}
    if as_json:
        listed = (
            {name: forecast_as_json(one, dataset.bad, planning) for name, one in found.items()}
            if dry_run
            else {name: written_as_json(one) for name, one in done.items()}
        )
        about = {name: {"classes": cut[name].counts(), "why": why[name]} for name in cut}
        return tell_json({name: {**listed[name], **about[name]} for name in cut})
    for name in cut:
        tell(f"{name if dry_run else f'{name}: {done[name]}'}\n  {why[name]}", headline=False)
    if dry_run:
        show_forecasts([*found.values()], dataset.bad, planning)


def _groups(text: str, dataset: Dataset) -> Any:
    """What `split` takes: a word or pattern as it is, a column of a table by its ids."""
    name, _, column = text.rpartition(":")
    path = as_path(name)
    if not path.is_file():
        return text
    import pandas as pd

    try:
        with open_binary(path) as file:
            table = pd.read_parquet(file) if path.suffix == ".parquet" else pd.read_csv(file)
    except Exception as error:
        raise CellprepError(f"{name!r} cannot be read as a table: {error}") from error
    for wanted in ("id", column):
        if wanted not in table:
            raise CellprepError(
                f"{name!r} has no column {wanted!r}; {nearest(wanted, map(str, table))}"
            )
    ids = pd.Index(table["id"].astype(str))
    if ids.has_duplicates:
        raise CellprepError(f"{name!r} names id {ids[ids.duplicated()][0]!r} more than once")
    found = table[column].astype(str).set_axis(ids).reindex(dataset.ids.astype(str))
    if found.isna().any():
        raise CellprepError(f"{name!r} has no id {found.index[found.isna()][0]!r}")
    return found.to_numpy(dtype=str)


def _check_holds_only(out: Path, names: set[str]) -> None:
    """Parts of an earlier, other split must not come to lie beside these."""
    others = sorted({entry.name for entry in out.iterdir()} - names) if out.is_dir() else []
    if others:
        raise CellprepError(
            f"{str(out)!r} holds other things ({others[0]}); choose another path, or move them away"
        )


def _parse_parts(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = (word.strip() for word in item.partition("="))
        if name in shares:
            raise CellprepError(f"`--parts` names part {name!r} twice")
        try:
            shares[name] = float(share)
        except ValueError:
            raise CellprepError(
                f"`--parts` must look like train=0.8,test=0.2, got {text!r}"
            ) from None
        if not name.isidentifier():
            raise CellprepError(f"`--parts` names folders by plain words, got {name!r}")
        if name in ("dataset", "seed", "groups", "near", "symmetries"):
            raise CellprepError(f"`--parts` cannot name a part {name!r}; choose another word")
    return shares


def _check_trainable(dataset: Dataset) -> None:
    """A classifier needs two classes, and more than one image of each."""
    counts = dataset.counts()
    if len(counts) < 2:
        raise CellprepError(
            f"the input has one class, '{next(iter(counts))}'; a training set needs "
            "two or more (one folder, or one label number, a class)"
        )
    for name, count in counts.items():
        if count < 2:
            held = "one image" if count else "no images"
            raise CellprepError(
                f"class '{name}' has {held}, of which nothing can be learnt; add "
                "images, or take the class out"
            )
