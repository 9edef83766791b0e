"""Look-alikes and suspected labels that were found elsewhere, as groups of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions, one_form
from ..dataset.dataset import Dataset
from ..dataset.exchange.table_files import load_table
from ..duplicates import policies
from ..errors import CellprepError, nearest
from ..system.paths import as_path

if TYPE_CHECKING:
    import pandas as pd


def lookalikes(given: pd.DataFrame | str | Path, dataset: Dataset) -> pd.DataFrame:
    """A table of `find_lookalikes` with all columns of `find_duplicates`.

    Labels are those of the data set. Only `id` and `group` are needed; look-alikes across two sets
    are refused. Groups whose images have all been decided on are left out, as are those of which
    one image is left.
    """
    import pandas as pd

    table = _loaded(given, "lookalikes", "find_lookalikes", ("id", "group"))
    if "part" in table:
        raise CellprepError(
            "`lookalikes` has a column 'part', so it is about two sets; pass those within this one"
        )
    if table["group"].isna().any():
        raise CellprepError("`lookalikes` has rows without a group; give each image one")
    at = _rows_of(dataset, table["id"], "lookalikes")
    table, at = table[at >= 0], at[at >= 0]
    groups, decided = pd.factorize(table["group"])[0], dataset.plan.rows.decided
    shown = policies.undecided(groups, None if decided is None else decided[at]) >= 0
    shown &= np.bincount(groups, minlength=1)[groups] > 1
    table, at = table[shown], at[shown]
    groups = pd.factorize(table["group"])[0].astype(np.int64)  # the most certain first
    labels, names = dataset.labels[at], np.array(dataset.class_names, dtype=object)
    votes = policies.votes(groups, labels, dataset.class_names)
    made = pd.DataFrame(
        {
            "id": dataset.ids[at],
            "copy": dataset.copies[at],
            "label": labels,
            "class_name": names[labels],
            "group": groups,
            "relation": "lookalike",
            "symmetry": "identity",
            "distance": 0,
            "difference": 0.0,
            "conflict": policies.conflicting(groups, labels),
            "votes": np.array([*votes, ""], dtype=object)[groups],
        }
    )
    if "matches" in table:
        made["matches"] = _numbers(table, "matches", "lookalikes")
    return made


def suspected(given: pd.DataFrame | str | Path, dataset: Dataset) -> pd.DataFrame:
    """The rows of a table of `find_label_issues`: position, suggested class, score.

    Only `id` and `suggested` are needed. Rows that are not `suspected` are left out, as are those
    that have been decided on or removed, or whose label is the suggested one by now.
    """
    import pandas as pd

    table = _loaded(given, "label_issues", "find_label_issues", ("id", "suggested"))
    if "suspected" in table:
        table = table[table["suspected"].astype(str).str.lower().isin(("true", "1"))]
    at = _rows_of(dataset, table["id"], "label_issues")
    suggested = [one_form(str(name)) for name in table["suggested"]]
    for name in suggested:
        if name not in dataset.class_names:
            raise CellprepError(
                f"`label_issues` suggests the class {name!r}, which the set does not have; "
                f"{nearest(name, dataset.class_names)}"
            )
    made = pd.DataFrame({"at": at, "suggested": suggested})
    made["score"] = _numbers(table, "score", "label_issues") if "score" in table else np.nan
    labels = np.array(dataset.class_names, dtype=object)[dataset.labels[at]]
    doubted = (at >= 0) & (made["suggested"].to_numpy(object) != labels)
    if dataset.plan.rows.decided is not None:
        doubted &= ~dataset.plan.rows.decided[at]
    shown: pd.DataFrame = made[doubted]
    return shown


def _loaded(given: Any, name: str, made_by: str, needed: Sequence[str]) -> pd.DataFrame:
    table: Any = load_table(as_path(given)) if isinstance(given, str | Path) else given
    if not hasattr(table, "columns"):
        raise CellprepError(
            f"`{name}` must be a table of {made_by}, or a CSV file, got {type(given).__name__}"
        )
    for column in needed:
        if column not in table:
            raise CellprepError(
                f"`{name}` has no column {column!r}; it needs {' and '.join(needed)}, as from "
                f"{made_by}, got {', '.join(map(str, table.columns))}"
            )
    loaded: pd.DataFrame = table.reset_index(drop=True)
    return loaded


def _rows_of(dataset: Dataset, ids: Any, name: str) -> Positions:
    """The position of the first row of each id, -1 if an earlier step removed it.

    Ids that the data set never had are refused.
    """
    rows = {one_form(str(id)): -1 for id in dataset.source.rows.ids.tolist()}
    rows |= {one_form(str(id)): row for row, id in enumerate(dataset.ids.tolist())}
    given = [one_form(str(id)) for id in ids]
    unknown = [id for id in given if id not in rows]
    if unknown:
        raise CellprepError(
            f"`{name}` is about an image with the id {unknown[0]!r}, which this set does not have "
            f"({len(unknown):,} of {len(given):,}); its ids look like {next(iter(rows))!r}"
        )
    return np.array([rows[id] for id in given], np.int64)


def _numbers(table: pd.DataFrame, column: str, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(table[column], np.float64)
    except ValueError:
        raise CellprepError(f"`{name}` has a column {column!r} that is not numbers") from None
