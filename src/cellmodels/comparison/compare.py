"""`compare`: train and evaluate every row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellprep.writing.output import writing_to

from ..atomic import atomic_write, local
from ..training.fit import fit
from .display import draw, show
from .measure import check_ways, measure
from .runs import Run, open_table
from .sets import Sets, open_sets

if TYPE_CHECKING:
    import pandas as pd


def compare(
    table: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    others: Mapping[str, str | Path] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and evaluate every row of a table; the same call resumes an interrupted comparison.

    Parameters
    ----------
    table : str or Path
        A TOML file; `examples/table1.toml` is an example.
    out : str or Path
        A folder: `data/` for the data sets that the recipes write, `rows/` for the trained models,
        their reports and records, and the result as `table.csv`, `table.json`, `table.txt` and
        `table.png`. These files are replaced after each row. Rows whose record is there are not
        trained again, even if their models are gone.
    data : str or Path, optional
        Used instead of the table's own `data`.
    others : dict of str to path, optional
        Used instead of the paths of the table's own `others`.
    progress : bool

    Returns
    -------
    DataFrame
        One row per row, seed, fold (if the table has folds) and way of predicting: model, data set,
        accuracy on each shifted set and on the test split, its balanced accuracy, precision, recall
        and F1 (weighted), accuracy and balanced accuracy on the sets of other laboratories, minutes
        of training, and accuracies on the validation split and on shifted versions of it, by which
        rows may be selected.
        `table.txt` has means and standard deviations over the seeds and folds, and differences to
        the row `base` within each of them.

    Raises
    ------
    CellprepError
        Before training starts: for errors in the table, data that cannot be read, weights that
        could not be downloaded, and a folder with a row of the same name and other settings, or
        in use by another process.

    Examples
    --------
    >>> compare("examples/table1.toml", "out/table1", data="train_data.npz")  # doctest: +SKIP
    """
    with writing_to(out, then="the same call continues the comparison"):
        return _compare(table, local(out), data, others, progress)


def _compare(
    table: str | Path,
    folder: Path,
    data: str | Path | None,
    others: Mapping[str, str | Path] | None,
    progress: bool,
) -> pd.DataFrame:
    """`compare`, as the only writer of the folder."""
    read, source, runs = open_table(table, folder, data, others)
    lines = [run.recorded() for run in runs]
    todo = [k for k, line in enumerate(lines) if line is None]
    # Report what cannot be read, built or measured before the first row is trained.
    sets = {
        (each.seed, each.fold): each
        for seed in sorted({runs[k].seed for k in todo})
        for each in open_sets(read, source, folder, seed)
    }
    for run in {runs[k].row.name: runs[k] for k in todo}.values():
        of_run = sets[run.seed, run.fold]
        check_ways(run.build(of_run.made(run.row, "train")), of_run, run.row)
    for k in todo:
        lines[k] = _run(runs[k], sets[runs[k].seed, runs[k].fold], progress)
        _save(folder, lines, read.base)
    return _save(folder, lines, read.base)


def _run(run: Run, sets: Sets, progress: bool) -> list[dict[str, Any]]:
    """Train and measure one run; returns its lines of the result, which are also saved."""
    splits = sets.written(run.row, progress)
    model = run.build(splits["train"])
    fitted = fit(
        model,
        splits["train"],
        splits["val"],
        test=splits["test"],
        out=run.folder,
        progress=progress,
        **{"seed": run.seed, **run.row.train},
    )
    measured, reports = measure(model, sets, run.row, splits, progress)
    about = {
        "row": run.row.name,
        "seed": run.seed,
        **({} if run.fold is None else {"fold": run.fold}),
        "model": run.row.model,
        "data set": run.row.recipe,
    }
    lines = [{**about, **line, "minutes": fitted.seconds / 60} for line in measured]
    run.record(lines, reports)
    return lines


def _save(folder: Path, lines: list[list[dict[str, Any]] | None], base: str | None) -> pd.DataFrame:
    """Save the result of all runs that were measured, as a table, as text and as a figure."""
    import pandas as pd

    from cellprep.cli.shared import csv_text

    result = pd.DataFrame([line for of_run in lines for line in of_run or ()])
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "table.csv") as path:
        path.write_text(csv_text(result), "utf-8", newline="\n")
    with atomic_write(folder / "table.json") as path:
        result.to_json(path, orient="records", indent=1)
    with atomic_write(folder / "table.txt") as path:
        path.write_text(show(result, base) + "\n", "utf-8", newline="\n")
    with atomic_write(folder / "table.png") as path:
        draw(result, path)
    return result
