"""The whole job, from a messy set to written splits, on synthetic cells or the user's images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

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
from ..writing.job import Job, Written, plan_write

SHARES: dict[str, Any] = {"train": 0.8, "val": 0.1, "test": 0.1}
_TRAIN = (Balance(), KMeansMask(), RandAugment(copies=3))


@dataclass(frozen=True)
class Demo:
    """Result of the demo.

    Attributes
    ----------
    written : dict of str to Written
        By split.
    changes : DataFrame
        What each step did to the training split.
    sheet : Path
    report : Path or None
        On the input; None if the extra that it needs is not installed.
    """

    written: dict[str, Written]
    changes: pd.DataFrame
    sheet: Path
    report: Path | None


def write_synthetic_cells(path: Path, images: int, seed: int) -> None:
    """Write synthetic cells with duplicates and conflicts to an npz file, labels (n, 1)."""
    pixels, labels = draw_messy_set(images, seed=seed)
    make_folder(path.parent)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, images=pixels, labels=labels[:, None], class_names=np.array(CLASS_NAMES))


def run_demo(
    out: Path,
    data: Path | None = None,
    *,
    images: int = 2400,
    size: int | None = None,
    seed: int = 0,
    on_error: str = "raise",
    log: Callable[[str], None] = print,
) -> Demo:
    """Deduplicate, split, balance, mask, augment, write; then make a contact sheet and a report.

    Everything is written below `out` and replaces an earlier demo there.
    """
    _check_out(out)
    synthetic = data is None
    if data is None:
        data = out / "drawn_cells.npz"
        began = time.perf_counter()
        write_synthetic_cells(data, images, seed)
        log(f"{images:,} synthetic cells in {time.perf_counter() - began:.1f} s: {data}")
    cells, resized = read_any(data, size)
    if resized:
        log(resized)
    sets, jobs = _jobs(cells, out, seed, on_error)
    written = {}
    for name, job in jobs.items():
        written[name] = job.run()
        log(f"{name}: {written[name]}")
    recipe = Recipe([Dedupe(), *_TRAIN], seed)
    recipe.to_toml(out / "recipe.toml")
    _write_table(out / "table.toml", data, cells.shape[1:3] if resized else size)
    title = "cellprep: what each step did" + (" (synthetic cells)" if synthetic else "")
    sheet = contact_sheet(sets["train"], out / "contact_sheet.png", title)
    page: Path | None = None
    try:
        notes = [f"{resized[0].upper()}{resized[1:]}."] if resized else []
        notes.append("Steps are shown on all images; the splits that were written have fewer each.")
        page = report(cells, out / "report.html", recipe=recipe, notes=notes).path
    except MissingExtraError as error:
        log(f"no report: {error}")
    return Demo(written, sets["train"].changes(), sheet, page)


def plan_demo(
    out: Path,
    data: Path | None = None,
    *,
    images: int = 2400,
    size: int | None = None,
    seed: int = 0,
    on_error: str = "raise",
    log: Callable[[str], None] = print,
) -> tuple[pd.DataFrame, dict[str, Job]]:
    """What `run_demo` would do to the training split, and the jobs of all splits, not yet run."""
    _check_out(out)
    if data is None:
        pixels, labels = draw_messy_set(images, seed=seed)
        cells, resized = Dataset.from_arrays(pixels, labels, CLASS_NAMES), ""
    else:
        cells, resized = read_any(data, size)
    if resized:
        log(resized)
    sets, jobs = _jobs(cells, out, seed, on_error, dry=True)
    return sets["train"].changes(), jobs


def _jobs(
    cells: Dataset, out: Path, seed: int, on_error: str, *, dry: bool = False
) -> tuple[dict[str, Dataset], dict[str, Job]]:
    """The splits and their writes, all checked before any of them begins."""
    if on_error != "raise":
        cells = cells.readable()
    splits = split(Recipe([Dedupe()], seed)(cells), seed=seed, **SHARES)
    # Validation and test images get the preprocessing of prediction time, and nothing random.
    train, other = Recipe(_TRAIN, seed), Recipe([KMeansMask()], seed)
    sets = {name: (train if name == "train" else other)(one) for name, one in splits.items()}
    jobs = {
        name: plan_write(dataset, out / name, overwrite=True, on_error=on_error, dry=dry)
        for name, dataset in sets.items()
    }
    return sets, jobs


def _write_table(path: Path, data: Path, size: Any) -> None:
    """The table of `cellmodels compare`: a small network, without and with augmented copies."""
    copies = [step.to_dict() for step in _TRAIN if isinstance(step, RandAugment)]
    table = {
        "data": str(data),
        **({"size": size} if size else {}),
        "before": [Dedupe().to_dict()],
        "parts": SHARES,
        "shifted": ["heavy"],
        "recipes": {"plain": [], "augmented": copies},
        "rows": [
            {
                "name": f"baseline, {recipe}",
                "model": "baseline_cnn",
                "recipe": recipe,
                "build": {"weights": False},
                "train": {"images": 6000},
            }
            for recipe in ("plain", "augmented")
        ],
    }
    with atomic_write(path) as temporary:
        temporary.write_text(
            "# Does augmentation help? Both rows see the same number of images.\n"
            f"#   cellmodels compare {path} out/compare\n\n{tomli_w.dumps(table)}",
            "utf-8",
            newline="\n",
        )


def _check_out(out: Path) -> None:
    """Refuse a folder that is neither new nor that of an earlier demo."""
    if not out.is_dir():
        return
    ours = {
        "drawn_cells.npz",
        "recipe.toml",
        "table.toml",
        "contact_sheet.png",
        "report.html",
        *SHARES,
    }
    found = {entry.name for entry in out.iterdir()}
    earlier = any(name in found for name in ("drawn_cells.npz", "train"))
    if found and not (earlier and found <= ours):
        strange = sorted(found - ours or found)[0]
        raise CellprepError(f"{str(out)!r} contains other files ({strange}); choose another --out")
