"""The result of a comparison as text and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..evaluation.figures import draw_bars

if TYPE_CHECKING:
    import pandas as pd

_ABOUT = ["row", "model", "data set", "way"]
_RUN = ["seed", "fold"]


def show(result: pd.DataFrame, base: str | None = None) -> str:
    """The result as text; with several seeds or folds, means and standard deviations.

    With a `base`, also the differences between each row and that row within the same seed and fold.
    """
    import pandas as pd

    run = _run(result)
    about, shown = _about(result), result.drop(columns=run)
    if len(result[run].drop_duplicates()) > 1:
        by_row = shown.groupby(about, sort=False)
        mean, deviation = by_row.mean(), by_row.std()
        cells = {
            name: [
                f"{m:.3f} ±{d:.3f}" if m == m else ""  # not measured this way
                for m, d in zip(mean[name], deviation[name], strict=True)
            ]
            for name in mean
        }
        shown = pd.DataFrame(cells, index=mean.index).reset_index()
    text = str(shown.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep=""))
    if base is None or base not in result["row"].to_numpy():
        return text
    found = differences(result, base)
    if found.empty:
        return text
    title = f"differences to {base!r} within each {' and '.join(run)}: mean (range)"
    return f"{text}\n\n{title}\n{found.to_string(index=False)}"


def differences(result: pd.DataFrame, base: str) -> pd.DataFrame:
    """The mean and range of each row's difference to a row with the same seed, fold and way.

    Returns
    -------
    DataFrame
        One row per row and way, without the base; its cells are text, such as
        "+0.021 (+0.010 to +0.034)".
    """
    import pandas as pd

    paired = [*_run(result), *(["way"] if "way" in result else [])]
    scores = [name for name in map(str, result) if name not in (*_ABOUT, *_RUN, "minutes")]
    of_base = result[result["row"] == base].set_index(paired)[scores]
    lines = []
    for key, group in result[result["row"] != base].groupby(_about(result), sort=False):
        here = group.set_index(paired)[scores]
        both = (here - of_base.reindex(here.index)).dropna(how="all")
        if len(both):
            line = {name: _range(both[name].dropna()) for name in scores}
            lines.append(dict(zip(_about(result), key, strict=True)) | line)
    return pd.DataFrame(lines)


def draw(result: pd.DataFrame, path: Path) -> None:
    """Save a figure of all rows, predicted as they are: bars of accuracies, with their range."""
    plain = result
    if "way" in result:
        plain = result[result["way"] == result["way"].iloc[0]]
    kinds = [
        name
        for name in map(str, plain)
        if name.endswith("accuracy") and not name.startswith(("val", "balanced"))
    ]
    by_row = plain.groupby("row", sort=False)
    bars = {
        "clean" if name == "accuracy" else name.removesuffix(" accuracy"): {
            str(row): values.tolist() for row, values in by_row[name]
        }
        for name in kinds
    }
    draw_bars(path, bars)


def _about(result: pd.DataFrame) -> list[str]:
    """The columns that name a line, except for the seed."""
    return [name for name in _ABOUT if name in result]


def _run(result: pd.DataFrame) -> list[str]:
    """The columns that tell the runs of a row apart."""
    return [name for name in _RUN if name in result]


def _range(values: pd.Series[float]) -> str:
    """The mean and the range of some differences as text."""
    if not len(values):
        return ""
    mean = f"{values.mean():+.3f}"
    return mean if len(values) == 1 else f"{mean} ({values.min():+.3f} to {values.max():+.3f})"
