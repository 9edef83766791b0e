"""The main job from end to end, on drawn cells or on the user's own images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..dataset.dataset import Dataset
from ..errors import CellprepError, MissingExtraError
from ..report import report
from ..report.contact_sheet import contact_sheet
from ..report.inspect import read_any
from ..steps import Balance, Dedupe, KMeansMask, RandAugment
from ..steps.recipe import Recipe
from ..steps.split import split
from ..synthetic import CLASS_NAMES, draw_messy_set
from ..system.paths import atomic_write, make_folder
from ..writing.write import Job, Written, plan_write

SHARES: dict[str, Any] = {"train": 0.8, "val": 0.1, "test": 0.1}
_TRAIN = (Balance(), KMeansMask(), RandAugment(copies=3))


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Attributes
    ----------
    written : dict of str to Written
        By part.
    changes : DataFrame
        What each step did to the training part.
    sheet : Path
    report : Path or None
        Of the input; None where the extra that it needs is not installed.
    """

    written: dict[str, Written]
    changes: pd.DataFrame
    sheet: Path
    report: Path | None


def draw_input(path: Path, images: int, seed: int) -> None:
    """Drawn cells with the planted mess as an npz file, its labels (n, 1) as in the wild."""
    drawn, labels = draw_messy_set(images, seed=seed)
    make_folder(path.parent)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, images=drawn, labels=labels[:, None], class_names=np.array(CLASS_NAMES))


def run_demo(
    out: Path,
    data: Path | None = None,
    *,
    images: int = 2400,
    size: int | None = None,
    seed: int = 0,
    on_error: str = "raise",
    say: Callable[[str], None] = print,
) -> Demo:
    """Find repeats, split, balance, mask, augment, write; then a contact sheet and a report.

    Everything goes below `out`. An earlier demo there is replaced.
    """
    _check_out(out)
    drawn = data is None
    if data is None:
        data = out / "drawn_cells.npz"
        began = time.monotonic()
        draw_input(data, images, seed)
        say(f"drew {images:,} cells (synthetic) in {time.monotonic() - began:.1f} s: {data}")
    cells, resized = read_any(data, size)
    if resized:
        say(resized)
    sets, jobs = _jobs(cells, out, seed, on_error)
    written = {}
    for name, job in jobs.items():
        written[name] = job.run()
        say(f"{name}: {written[name]}")
    recipe = Recipe([Dedupe(), *_TRAIN], seed)
    recipe.to_toml(out / "recipe.toml")
    title = "cellprep: what each step did" + (" (drawn cells)" if drawn else "")
    sheet = contact_sheet(sets["train"], out / "contact_sheet.png", title)
    made: Path | None = None
    try:
        notes = [f"{resized[0].upper()}{resized[1:]}."] if resized else []
        made = report(cells, out / "report.html", recipe=recipe, notes=notes).path
    except MissingExtraError as error:
        say(f"no report: {error}")
    return Demo(written, sets["train"].changes(), sheet, made)


def plan_demo(
    out: Path,
    data: Path | None = None,
    *,
    images: int = 2400,
    size: int | None = None,
    seed: int = 0,
    on_error: str = "raise",
    say: Callable[[str], None] = print,
) -> tuple[pd.DataFrame, dict[str, Job]]:
    """What `run_demo` would do to the training part, and the jobs of all parts; none is run."""
    _check_out(out)
    if data is None:
        drawn, labels = draw_messy_set(images, seed=seed)
        cells, resized = Dataset.from_arrays(drawn, labels, CLASS_NAMES), ""
    else:
        cells, resized = read_any(data, size)
    if resized:
        say(resized)
    sets, jobs = _jobs(cells, out, seed, on_error, dry=True)
    return sets["train"].changes(), jobs


def _jobs(
    cells: Dataset, out: Path, seed: int, on_error: str, *, dry: bool = False
) -> tuple[dict[str, Dataset], dict[str, Job]]:
    """The parts, and what is to be written; what is refused is refused before anything is."""
    if on_error != "raise":
        cells = cells.readable()
    parts = split(Recipe([Dedupe()], seed)(cells), seed=seed, **SHARES)
    # Validation and test images get what a photograph gets at prediction time, and nothing random.
    train, other = Recipe(_TRAIN, seed), Recipe([KMeansMask()], seed)
    sets = {name: (train if name == "train" else other)(part) for name, part in parts.items()}
    jobs = {
        name: plan_write(made, out / name, overwrite=True, on_error=on_error, dry=dry)
        for name, made in sets.items()
    }
    return sets, jobs


def _check_out(out: Path) -> None:
    """Only a new folder, or that of an earlier demo, is written to."""
    if not out.is_dir():
        return
    ours = {"drawn_cells.npz", "recipe.toml", "contact_sheet.png", "report.html", *SHARES}
    held = {entry.name for entry in out.iterdir()}
    begun = any(name in held for name in ("drawn_cells.npz", "train"))
    if held and not (begun and held <= ours):
        strange = sorted(held - ours or held)[0]
        raise CellprepError(f"{str(out)!r} holds other files ({strange}); choose another --out")
