"""Figures of reports and saliency maps, by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellprep import CellprepError
from cellprep.arrays import Images

from .metrics import Scores


def draw_scores(
    path: Path,
    title: str,
    class_names: Sequence[str],
    sets: Mapping[str, Scores],
    uncalibrated: Mapping[str, Scores],
) -> None:
    """Confusion matrix of the first set, coloured by row, and reliability diagram of all sets.

    Dotted: the reliability of the uncalibrated sets, as far as there are any.
    """
    figure = _figure(11, 5)
    first = next(iter(sets.values()))
    counts = np.array(first.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    left.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        dark = shares[row, column] > 0.5
        left.text(
            column,
            row,
            f"{counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else "black",
        )
    numbers = range(len(class_names))
    left.set_xticks(numbers, class_names, rotation=45, ha="right")
    left.set_yticks(numbers, class_names)
    left.set(xlabel="predicted", ylabel="true")
    left.set_title(f"{title}: accuracy {first.accuracy:.4f}")
    right.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for number, (name, scores) in enumerate(sets.items()):
        color = f"C{number}"
        label = f"{name}: ECE {scores.ece:.3f}"
        right.plot(*_reliability(scores), marker="o", color=color, label=label)
        if name in uncalibrated:
            before = uncalibrated[name]
            label = f"without temperature: ECE {before.ece:.3f}"
            right.plot(*_reliability(before), color=color, linestyle=":", label=label)
    right.set(xlabel="highest probability", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    right.legend(fontsize=8)
    _save(figure, path)


def draw_saliency(
    path: Path, images: Images, maps: NDArray[np.float32], titles: Sequence[str]
) -> None:
    """Each image above its map, and the map overlaid on the image."""
    n = len(images)
    figure = _figure(1.6 * n + 0.2, 5.2)
    rows = figure.subplots(3, n, squeeze=False)
    for k in range(n):
        top = np.quantile(maps[k], 0.995) or 1.0
        rows[0, k].imshow(images[k])
        rows[1, k].imshow(maps[k], cmap="inferno", vmin=0, vmax=top)
        rows[2, k].imshow(images[k])
        shown = np.clip(maps[k] / top, 0, 1)
        rows[2, k].imshow(maps[k], cmap="inferno", vmin=0, vmax=top, alpha=0.9 * shown)
        rows[0, k].set_title(titles[k], fontsize=7)
    for axes in rows.flat:
        axes.axis("off")
    _save(figure, path)


def _reliability(scores: Scores) -> tuple[list[float], list[float]]:
    """Confidence and accuracy of each bin."""
    bins = scores.reliability
    return [b.confidence for b in bins], [b.accuracy for b in bins]


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise CellprepError(
            "figures need matplotlib; install it with pip install 'cellprep[models]'"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:  # a suffix that matplotlib does not know
        raise CellprepError(f"the figure cannot be saved as {str(path)!r}: {error}") from None


def draw_bars(path: Path, bars: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Horizontal bars of means, one panel per kind and one bar per row, with the single values."""
    rows = list(dict.fromkeys(row for values in bars.values() for row in values))
    figure = _figure(2.2 + 2.1 * len(bars), 0.9 + 0.32 * len(rows))
    panels = figure.subplots(1, len(bars), squeeze=False, sharey=True)[0]
    for axes, (kind, values) in zip(panels, bars.items(), strict=True):
        means = [float(np.mean(values.get(row, [np.nan]))) for row in rows]
        axes.barh(range(len(rows)), means, color="C0", alpha=0.75, height=0.7)
        for k, row in enumerate(rows):
            axes.plot(values.get(row, []), [k] * len(values.get(row, [])), "k.", markersize=4)
            axes.text(0.02, k, f"{means[k]:.3f}", va="center", fontsize=8)
        axes.set(xlim=(0, 1), title=kind)
        axes.xaxis.grid(True, alpha=0.3)
    panels[0].set_yticks(range(len(rows)), rows, fontsize=9)
    panels[0].invert_yaxis()
    _save(figure, path)
