"""The result of a comparison as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def show(result: pd.DataFrame) -> str:
    """The result as text; with several seeds, means and standard deviations."""
    import pandas as pd

    first = ["row", "model", "data set"]
    shown = result.drop(columns="seed")
    if result["seed"].nunique() > 1:
        by_row = shown.groupby(first, sort=False)
        mean, deviation = by_row.mean(), by_row.std()
        cells = {
            name: [f"{m:.3f} ±{d:.3f}" for m, d in zip(mean[name], deviation[name], strict=True)]
            for name in mean
        }
        shown = pd.DataFrame(cells, index=mean.index).reset_index()
    return str(shown.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
