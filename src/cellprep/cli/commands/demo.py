"""`cellprep demo`."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import click

from ...errors import CellprepError, check_seed, in_range
from ...writing.forecast import forecast
from ..arguments import WORKING, executor
from ..output import forecast_as_json, show_forecasts, show_steps, written_as_json
from ..shared import PATH, one_line_errors, options, print_json


@click.command()
@click.option(
    "--data", type=PATH, metavar="PATH", help="Your own images.  [default: synthetic cells]"
)
@click.option("--out", type=PATH, metavar="FOLDER", default=Path("out/demo"), show_default=True)
@click.option(
    "--images",
    type=int,
    metavar="N",
    default=2400,
    show_default=True,
    help="Number of synthetic cells.",
)
@options("seed", "size", *WORKING, "on_error", "dry_run", "json")
@one_line_errors
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
    """Run the whole job on synthetic cells or on your own images.

    Remove duplicates, split, balance, mask, augment, write; then make a contact sheet
    and a report.

    Example: cellprep demo --data out/demo/drawn_cells.npz --out out/again
    """
    from ..demo import plan_demo, run_demo

    began = time.perf_counter()
    in_range("images", images, 400, 1_000_000, whole=True)
    check_seed(seed)
    if size is not None and data is None:
        raise CellprepError("`size` needs `--data`; the synthetic cells are 96x96")
    how: Any = {"images": images, "size": size, "seed": seed, "on_error": on_error}
    log = functools.partial(click.echo, err=as_json)
    with executor(given, not as_json):
        if not dry_run:
            return _show(run_demo(out, data, **how, log=log), out, as_json)
        changes, jobs = plan_demo(out, data, **how, log=log)
        planning = time.perf_counter() - began
        found = {name: forecast(one) for name, one in jobs.items()}
        bad = jobs["train"].plan.bad
    if as_json:
        splits = {name: forecast_as_json(one, bad, planning) for name, one in found.items()}
        print_json({"dry_run": True, "parts": splits, "steps": changes.to_dict("records")})
    else:
        show_steps(changes)
        show_forecasts([*found.values()], bad, planning)


def _show(done: Any, out: Path, as_json: bool) -> None:
    """Print what the demo made."""
    if as_json:
        return print_json(
            {
                "parts": {name: written_as_json(w) for name, w in done.written.items()},
                "steps": done.changes.to_dict("records"),
                "contact_sheet": str(done.sheet),
                "report": None if done.report is None else str(done.report),
            }
        )
    click.echo()
    show_steps(done.changes)
    if done.report is not None:
        click.echo(f"\nreport:        {done.report}")
    click.echo(
        f"contact sheet: {done.sheet}\n"
        f"to train:      np.load('{out}/train/shard-00000.npy', mmap_mode='r'),\n"
        f"               labels in '{out}/train/index.parquet'\n"
        f"to compare:    cellmodels compare {out}/table.toml out/compare"
    )
