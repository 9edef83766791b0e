"""`Report`: the scores of a model on a test set and on shifted ones, as text, JSON or a figure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .metrics import Scores


@dataclass(frozen=True)
class Report:
    """Scores on a test set and on shifted versions of it.

    Attributes
    ----------
    model : str
    class_names : tuple of str
    clean : Scores
    shifted : dict of str to Scores
        By suite of corruptions, or by the name of the shifted set.
    seed : int
        Seed of the corruptions.
    """

    model: str
    class_names: tuple[str, ...]
    clean: Scores
    shifted: Mapping[str, Scores]
    seed: int

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON text, also written to `path` if one is given."""
        text = json.dumps(asdict(self), indent=1)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def table(self) -> str:
        """The scores of each test set and class, and the most frequent mistakes, as text."""
        head = f"{'test set':12} {'images':>7} {'accuracy':>9} {'precision':>9} {'recall':>9}"
        lines = [f"{head} {'F1':>9} {'macro F1':>9} {'ECE':>9}"]
        for name, s in self._sets().items():
            values = (s.accuracy, s.precision, s.recall, s.f1, s.macro_f1, s.ece)
            lines.append(f"{name:12} {s.images:7,} " + " ".join(f"{v:9.4f}" for v in values))
        width = max(len(name) for name in ("class", *self.class_names))
        lines += ["", f"{'class':{width}} {'images':>7} {'precision':>9} {'recall':>9} {'F1':>9}"]
        for c in self.clean.classes:
            scores = (c.precision, c.recall, c.f1)
            lines.append(f"{c.name:{width}} {c.images:7,} " + " ".join(f"{v:9.4f}" for v in scores))
        return "\n".join([*lines, "", *(self._mistakes()[:5] or ["no mistakes on the clean set"])])

    def figure(self, path: str | Path) -> None:
        """Save the confusion matrix of the clean set and a reliability diagram as a figure."""
        from .figures import draw_scores

        draw_scores(Path(path), self.model, self.class_names, self._sets())

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
