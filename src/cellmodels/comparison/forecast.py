"""What a comparison would take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic import local
from ..training.forecast import Forecast, forecast
from .runs import open_table
from .sets import open_sets

if TYPE_CHECKING:
    import pandas as pd


def plan_compare(
    table: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    others: Mapping[str, str | Path] | None = None,
) -> pd.DataFrame:
    """What `compare` would do: images, epochs and seconds of training of each run.

    Nothing is written; models start from random weights, and none are downloaded.
    """
    import pandas as pd

    read, source, runs = open_table(table, local(out), data, others)
    lines = [run.recorded() for run in runs]
    sets = open_sets(read, source, local(out), read.seeds[0])[0]
    found: dict[str, Forecast] = {}  # by row: its seeds and folds take equally long
    planned = []
    for run, line in zip(runs, lines, strict=True):
        row = run.row
        if line is None and row.name not in found:
            train, val = sets.made(row, "train"), sets.made(row, "val")
            model = run.build(train, weights=None, seed=0)
            found[row.name] = forecast(model, train, val, allow_leaks=True, **row.train)
        expected = None if line is not None else found[row.name]
        planned.append(
            {
                "row": row.name,
                "seed": run.seed,
                **({} if run.fold is None else {"fold": run.fold}),
                "model": row.model,
                "data set": row.recipe,
                "state": "done"
                if expected is None
                else "begun"
                if run.folder.exists()
                else "to do",
                "images": expected.images["train"] if expected else 0,
                "epochs": expected.epochs if expected else 0,
                "seconds": round(expected.seconds, 1) if expected else 0.0,
            }
        )
    return pd.DataFrame(planned)
