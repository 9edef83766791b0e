"""`cellprep run` and `cellprep convert`: read, process, write."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from ...dataset.dataset import Dataset
from ...errors import CellprepError
from ...steps.recipe import Recipe
from ...writing.forecast import forecast
from ...writing.single_pass import needs_no_pixels
from ..arguments import READING, WRITING, executor, opened, write_job
from ..output import forecast_as_json, show_forecasts, show_steps, written_as_json
from ..shared import PATH, options, print_json, print_text, resumable


@click.command()
@click.argument("recipe", type=PATH)
@click.argument("input", type=PATH)
@click.argument("out", type=PATH)
@options("seed_of_recipe", "without", *READING, *WRITING)
@resumable
def run(recipe: Path, input: Path, out: Path, seed: int | None, **given: Any) -> None:
    """Apply RECIPE, a TOML file, to INPUT and write OUT.

    Example: cellprep run out/demo/recipe.toml out/demo/drawn_cells.npz out/all
    """
    began = time.perf_counter()
    steps = Recipe.from_toml(recipe)
    if seed is not None:
        steps = Recipe(steps.steps, seed)
    dataset = opened(input, given)
    made = steps(dataset)
    if given["on_error"] != "raise" or given["dry_run"]:
        made = made.readable()  # decides which classes have images
    with executor(given, not given["as_json"]):
        _check_trainable(made.chain[len(dataset.chain) - 1])
        _write(made, out, given, began, once=_reads_once(steps(dataset), given))


@click.command()
@click.argument("input", type=PATH)
@click.argument("out", type=PATH)
@options("without", *READING, *WRITING)
@resumable
def convert(input: Path, out: Path, **given: Any) -> None:
    """Write INPUT to OUT in another format, with the same pixels, labels and ids.

    Example: cellprep convert out/demo/test test.npz
    """
    began = time.perf_counter()
    dataset = opened(input, given)
    with executor(given, not given["as_json"]):
        _write(dataset, out, given, began, once=_reads_once(dataset, given))


def _reads_once(dataset: Dataset, given: dict[str, Any]) -> bool:
    """Whether a write reads images only while it writes them; a dry run lists bad ones first."""
    return given["on_error"] == "raise" and needs_no_pixels(dataset)


def _write(dataset: Dataset, out: Path, given: dict[str, Any], began: float, *, once: bool) -> None:
    """Write, or estimate what writing would take; and print what the steps did."""
    as_json = given["as_json"]
    job = write_job(dataset, out, given)
    changes = (dataset if job.unchecked else dataset.readable()).changes()
    # That bad images were left out is in the last line too.
    steps = {"steps": changes.to_dict("records")} if (changes["step"] != "read").any() else {}
    if given["dry_run"]:
        planning, bad = 0.0 if once else time.perf_counter() - began, job.plan.bad
        found = forecast(job)
        if as_json:
            return print_json({**forecast_as_json(found, bad, planning), **steps})
        if steps:
            show_steps(changes)
        return show_forecasts([found], bad, planning)
    written = job.run()
    if as_json:
        return print_json({**written_as_json(written), **steps})
    if steps:
        show_steps(changes)
    print_text(str(written), headline=False)


def _check_trainable(dataset: Dataset) -> None:
    """A classifier needs two classes, and more than one image of each."""
    counts = dataset.counts()
    if len(counts) < 2:
        raise CellprepError(
            f"the input has one class, '{next(iter(counts))}'; a training set needs at least two "
            "(a folder or a label number for each class)"
        )
    for name, count in counts.items():
        if count < 2:
            images = "one image" if count else "no images"
            raise CellprepError(
                f"class '{name}' has {images}, too few to learn from; add images or remove the "
                "class"
            )
