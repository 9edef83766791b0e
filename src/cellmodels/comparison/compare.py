"""`compare`: train and evaluate every row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellprep
from cellprep import Dataset

from ..evaluation.evaluate import evaluate
from ..evaluation.shift import shift
from ..training.fit import fit
from .display import show
from .runs import Run, open_table
from .table import SPLITS, Row, Table, folder_name

if TYPE_CHECKING:
    import pandas as pd


def compare(
    table: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and evaluate every row of a table; the same call resumes an interrupted comparison.

    Parameters
    ----------
    table : str or Path
        A TOML file; `examples/table1.toml` is an example.
    out : str or Path
        A folder: `data/` for the data sets that the recipes write, `rows/` for the trained models
        and their reports, and `table.csv`, `table.json` and `table.txt` with the result.
    data : str or Path, optional
        Used instead of the table's own `data`.
    progress : bool

    Returns
    -------
    DataFrame
        One row per row and seed: model, data set, accuracy on each shifted set and on the test
        split, precision, recall and F1 (weighted), and minutes of training. `table.txt` has means
        and standard deviations over the seeds.

    Raises
    ------
    CellprepError
        Before training starts: for errors in the table, data that cannot be read, weights that
        could not be downloaded, and a folder with a row of the same name and other settings.

    Examples
    --------
    >>> compare("examples/table1.toml", "out/table1", data="train_data.npz")  # doctest: +SKIP
    """
    import pandas as pd

    folder = Path(out)
    read, source, runs = open_table(table, folder, data)
    lines = [run.recorded() for run in runs]
    todo = [k for k, line in enumerate(lines) if line is None]
    written = {}
    for seed in sorted({runs[k].seed for k in todo}):
        rows = [runs[k].row for k in todo if runs[k].seed == seed]
        path = folder / "data" / f"seed-{seed}"
        written[seed] = _write_data(read, source, path, rows, seed, progress)
    for k in todo:  # report what cannot be built before the first row is trained
        runs[k].build(written[runs[k].seed][runs[k].row.recipe]["val"])
    for k in todo:
        lines[k] = _measure(runs[k], written[runs[k].seed][runs[k].row.recipe], progress)
    result = pd.DataFrame(lines)
    folder.mkdir(parents=True, exist_ok=True)
    result.to_csv(folder / "table.csv", index=False)
    result.to_json(folder / "table.json", orient="records", indent=1)
    (folder / "table.txt").write_text(show(result) + "\n", encoding="utf-8")
    return result


def _write_data(
    table: Table, source: str, folder: Path, rows: list[Row], seed: int, progress: bool
) -> dict[str, dict[str, Dataset]]:
    """The splits of each recipe, written unless they exist already, and its shifted test sets.

    The training set of rows with fresh copies, "fresh", is not written.

    Shifted sets are corrupted first: their crops and masks are found in the corrupted images, as
    they would be with another camera.
    """
    cells = table.steps(table.before, seed)(cellprep.read(source, size=table.size))
    fractions: dict[str, Any] = dict(table.parts)
    splits = cellprep.split(cells, seed=seed, groups=table.groups, **fractions)
    written: dict[str, dict[str, Dataset]] = {}
    fixed = {row.recipe for row in rows if not row.fresh}
    for name in sorted({row.recipe for row in rows}):
        written[name] = {"fresh": table.recipe(name, "train", seed)(splits["train"])}
        for split in SPLITS if name in fixed else SPLITS[1:]:
            path = folder / folder_name(name) / split
            made = table.recipe(name, split, seed)(splits[split])
            cellprep.write(made, path, progress=progress)
            written[name][split] = cellprep.read(path)
        for suite in table.shifted:
            shifted = shift(splits["test"], suite, seed=seed)
            written[name][suite] = table.recipe(name, "test", seed)(shifted)
    return written


def _measure(run: Run, data: Mapping[str, Dataset], progress: bool) -> dict[str, Any]:
    """Train and evaluate one run; returns its line of the result, which is also saved."""
    train = data["fresh" if run.row.fresh else "train"]
    model = run.build(train)
    fitted = fit(
        model,
        train,
        data["val"],
        test=data["test"],
        out=run.folder,
        progress=progress,
        **{"seed": run.seed, **run.row.train},
    )
    shifted = {suite: data[suite] for suite in run.table.shifted}
    report = evaluate(model, data["test"], shifted=shifted, seed=run.seed, progress=progress)
    report.to_json(run.folder / "report.json")
    line = {
        "row": run.row.name,
        "seed": run.seed,
        "model": run.row.model,
        "data set": run.row.recipe,
        **{f"{suite} accuracy": report.shifted[suite].accuracy for suite in run.table.shifted},
        "accuracy": report.clean.accuracy,
        "precision": report.clean.precision,
        "recall": report.clean.recall,
        "F1": report.clean.f1,
        "minutes": fitted.seconds / 60,
    }
    run.record(line)
    return line
