"""What is measured of a trained model: its own test sets and other laboratories', in every way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cellprep import Dataset

from ..evaluation.adapt_norm import check_norm
from ..evaluation.evaluate import evaluate
from ..evaluation.neighbors import check_neighbors
from ..evaluation.report import Report
from .sets import Sets
from .table import AS_IS, Row


def measure(
    model: Any, sets: Sets, row: Row, splits: Mapping[str, Dataset], progress: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Scores of a trained model: one line per way of predicting, and the full reports.

    The first line also has the scores on the validation split and on shifted versions of it, made
    with another seed: by these, and not by the test sets, rows may be selected.
    """
    table = sets.table
    shifted, others = sets.shifted(row, "test"), sets.prepared_others(row)
    lines, reports = [], {}
    for name in row.ways or table.ways:
        how = dict(table.ways[name])
        which = how.pop("sets", "all")
        line: dict[str, Any] = {"way": name} if [*table.ways] != [AS_IS] else {}
        found: dict[str, Report] = {}
        if which != "others":
            own = {"shifted": shifted, "seed": sets.seed, "progress": progress, **how}
            found["test"] = evaluate(model, splits["test"], **own)
            line |= _own(found["test"])
        if which != "own":
            for other, cells in others.items():
                found[other] = evaluate(model, cells, classes="present", progress=progress, **how)
                line[f"{other} accuracy"] = found[other].clean.accuracy
                line[f"{other} balanced"] = found[other].clean.balanced_accuracy
        lines.append(line)
        reports[name] = {key: asdict(report) for key, report in found.items()}
    validation = evaluate(
        model, splits["val"], shifted=sets.shifted(row, "val"), seed=sets.seed, progress=progress
    )
    lines[0] |= {
        f"val {name} accuracy".replace("val clean", "val"): scores.accuracy
        for name, scores in {"clean": validation.clean, **validation.shifted}.items()
    }
    reports["validation"] = asdict(validation)
    return lines, reports


def check_ways(model: Any, sets: Sets, row: Row) -> None:
    """Refuse what `measure` would refuse once the model is trained.

    `adapt_norm` and `neighbors` are not for all models and sets.

    Raises
    ------
    CellprepError
    """
    for name in row.ways or sets.table.ways:
        way = sets.table.ways[name]
        which = way.get("sets", "all")
        own = {} if which == "others" else {"the test split": sets.splits["test"]}
        for cells, images in {**own, **({} if which == "own" else sets.others)}.items():
            if way.get("adapt_norm"):
                check_norm(model, images, cells)
            if way.get("neighbors"):
                check_neighbors(model, images, cells)


def _own(report: Report) -> dict[str, float]:
    """The columns of the row's own test sets."""
    clean = report.clean
    return {
        **{f"{name} accuracy": scores.accuracy for name, scores in report.shifted.items()},
        "accuracy": clean.accuracy,
        "balanced accuracy": clean.balanced_accuracy,
        "precision": clean.precision,
        "recall": clean.recall,
        "F1": clean.f1,
    }
