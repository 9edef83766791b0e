"""`Report`: the scores of a model on a test set and on shifted ones, as text, JSON or a figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import local
from .metrics import Scores


@dataclass(frozen=True)
class Report:
    """Scores on a test set and on shifted versions of it.

    Attributes
    ----------
    model : str
        Its name; those of several models with " + " between them.
    class_names : tuple of str
        The classes that were allowed.
    clean : Scores
    shifted : dict of str to Scores
        By suite of corruptions, or by the name of the shifted set.
    seed : int
        Seed of the corruptions.
    settings : dict
        The fields of `Prediction`, and `temperatures`: that of each model, or None.
    uncalibrated : dict of str to Scores
        The scores without temperatures, by test set ("clean" is the first); empty if no
        temperature was applied.
    """

    model: str
    class_names: tuple[str, ...]
    clean: Scores
    shifted: Mapping[str, Scores]
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    uncalibrated: Mapping[str, Scores] = field(default_factory=dict)

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON text, also written to `path` if one is given."""
        text = json.dumps(asdict(self), indent=1)
        if path is not None:
            local(path).write_text(text, "utf-8", newline="\n")
        return text

    def table(self) -> str:
        """The scores of each test set and class, and the most frequent mistakes, as text."""
        sets = self._sets()
        scores = {
            name: (s.accuracy, s.balanced_accuracy, s.precision, s.f1, s.macro_f1)
            for name, s in sets.items()
        }
        counts = {name: s.images for name, s in sets.items()}
        head = ("accuracy", "balanced", "precision", "F1", "macro F1")
        lines = _table("test set", head, scores, counts)
        classes = {c.name: (c.precision, c.recall, c.f1) for c in self.clean.classes}
        counts = {c.name: c.images for c in self.clean.classes}
        lines += ["", *_table("class", ("precision", "recall", "F1"), classes, counts)]
        lines += ["", *(self._mistakes()[:5] or ["no mistakes on the clean set"])]
        calibration = {name: [s.ece, s.nll] for name, s in sets.items()}
        for name, s in self.uncalibrated.items():
            calibration[name] += [s.ece, s.nll]
        head = ("ECE", "NLL", *(("ECE, T=1", "NLL, T=1") if self.uncalibrated else ()))
        return "\n".join([*lines, "", *_table("calibration", head, calibration)])

    def figure(self, path: str | Path) -> None:
        """Save the confusion matrix of the clean set and a reliability diagram as a figure."""
        from .figures import draw_scores

        draw_scores(local(path), self.model, self.class_names, self._sets(), self.uncalibrated)

    def _sets(self) -> dict[str, Scores]:
        return {"clean": self.clean, **self.shifted}

    def _mistakes(self) -> list[str]:
        """Pairs of classes that were confused, the most frequent first."""
        errors = np.array(self.clean.confusion)
        np.fill_diagonal(errors, 0)
        pairs = (divmod(k, len(errors)) for k in np.argsort(-errors, axis=None).tolist())
        return [
            f"{errors[a, b]:,} of class '{self.class_names[a]}' predicted as "
            f"'{self.class_names[b]}'"
            for a, b in pairs
            if errors[a, b]
        ]


def _table(
    title: str,
    head: Sequence[str],
    rows: Mapping[str, Sequence[float]],
    images: Mapping[str, int] | None = None,
) -> list[str]:
    """Lines of a table: a name, the number of images if given, and numbers."""
    width = max(12, *(len(name) for name in (title, *rows)))
    lines = [f"{title:{width}}" + " images" * bool(images)]
    lines[0] += "".join(f" {name:>9}" for name in head)
    for name, values in rows.items():
        count = "" if images is None else f" {images[name]:6,}"
        lines.append(f"{name:{width}}{count}" + "".join(f" {v:9.4f}" for v in values))
    return lines
