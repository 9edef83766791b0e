"""`evaluate` and `predict`: a model's scores on a test set, as it is and shifted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cellprep
from cellprep import CellprepError, Dataset, Recipe
from cellprep.errors import check_seed, in_range, one_of
from cellprep.system import executors

from .data import (
    Data,
    as_dataset,
    check_apart,
    check_classes,
    check_fits,
    check_preparation,
    whole,
)
from .metrics import Scores, score

SUITES = ("heavy", "microscopy")


@dataclass(frozen=True)
class Report:
    """Scores on a test set, and on the same set shifted.

    Attributes
    ----------
    model : str
    class_names : tuple of str
    clean : Scores
    shifted : dict of str to Scores
        By suite of corruptions.
    seed : int
        Of the corruptions.
    """

    model: str
    class_names: tuple[str, ...]
    clean: Scores
    shifted: Mapping[str, Scores]
    seed: int

    def to_json(self, path: str | Path | None = None) -> str:
        """All of it as JSON text, also written to `path` if one is given."""
        text = json.dumps(asdict(self), indent=1)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def table(self) -> str:
        """Scores of each test set, each class and each kind of mistake, as text."""
        sets = self._sets()
        head = f"{'test set':12} {'images':>7} {'accuracy':>9} {'precision':>9} {'recall':>9}"
        lines = [f"{head} {'F1':>9} {'macro F1':>9} {'ECE':>9}"]
        for name, s in sets.items():
            values = (s.accuracy, s.precision, s.recall, s.f1, s.macro_f1, s.ece)
            lines.append(f"{name:12} {s.images:7,} " + " ".join(f"{v:9.4f}" for v in values))
        wide = max(len(name) for name in ("class", *self.class_names))
        lines += ["", f"{'class':{wide}} {'images':>7} {'precision':>9} {'recall':>9} {'F1':>9}"]
        for c in self.clean.classes:
            found = (c.precision, c.recall, c.f1)
            lines.append(f"{c.name:{wide}} {c.images:7,} " + " ".join(f"{v:9.4f}" for v in found))
        errors = np.array(self.clean.confusion)
        np.fill_diagonal(errors, 0)
        wrong = [
            f"{errors[a, b]:,} of class '{self.class_names[a]}' taken for '{self.class_names[b]}'"
            for a, b in (divmod(k, len(errors)) for k in np.argsort(-errors, axis=None).tolist())
            if errors[a, b]
        ]
        return "\n".join([*lines, "", *(wrong[:5] or ["no mistakes on the clean set"])])

    def figure(self, path: str | Path) -> None:
        """Confusion matrix and reliability diagram of the clean set, as a picture file."""
        from .figures import draw_scores

        draw_scores(Path(path), self.model, self.class_names, self._sets())

    def _sets(self) -> dict[str, Scores]:
        return {"clean": self.clean, **self.shifted}


def evaluate(
    model: Any,
    data: Data,
    *,
    shifted: Sequence[str] | Mapping[str, Data] = (),
    severity: int | None = None,
    seed: int = 0,
    train: Data | None = None,
    allow_leaks: bool = False,
    batch_size: int = 64,
    progress: bool = True,
) -> Report:
    """Measure a model on a test set, and on shifted versions of it.

    Parameters
    ----------
    model : keras.Model
        From `build` and `fit`, or `load`.
    data : path, Dataset, or (images, labels)
    shifted : sequence of "heavy" and "microscopy", or dict of str to data
        Suites of `cellprep.Corrupt` to measure too. `data` is corrupted as it stands: in one that
        was cropped or masked, what had been found in clean images. To corrupt first, as a camera
        does, pass the shifted sets themselves, by name.
    severity : int, optional
        Of the microscopy suite, from 1 to 5. Default: drawn for each image. "heavy" has none.
    seed : int
        Of the corruptions.
    train : path, Dataset, or (images, labels), optional
        What the model was trained on: a test set that shares images with it is refused.
    allow_leaks : bool
        Measure all the same.
    batch_size : int
    progress : bool

    Returns
    -------
    Report

    Raises
    ------
    CellprepError
        For images of another size, other classes or the same in another order, a class without
        images, and leaks.

    Examples
    --------
    >>> report = evaluate(model, "out/test", shifted=("microscopy",))  # doctest: +SKIP
    >>> print(report.table())  # doctest: +SKIP
    """
    made = dict(shifted) if isinstance(shifted, Mapping) else {}
    for name in ("data", "clean"):
        if name in made:
            raise CellprepError(f"a shifted set cannot be called {name!r}; choose another name")
    suites = () if made else shifted
    for suite in suites:
        one_of("shifted", suite, SUITES)
    in_range("batch_size", batch_size, 1, 2**20, whole=True)
    check_seed(seed)
    card = getattr(model, "card", None)
    names = card.class_names if card else None
    with executors.using(progress=progress):
        parts = {
            name: whole(as_dataset(part, name, names))
            for name, part in {"data": data, **made}.items()
        }
        for name, part in parts.items():
            check_fits(model, part, name)
            check_classes(part, name, names or parts["data"].class_names)
            if card:
                check_preparation(card.recipe, part, name)
        cells = parts.pop("data")
        parts |= {suite: shift(cells, suite, severity=severity, seed=seed) for suite in suites}
        if train is not None:
            learnt = as_dataset(train, "train", cells.class_names)
            check_apart(learnt, cells, ("train", "data"), allow_leaks)
    scores = {
        name: score(
            part.labels,
            probabilities(model, part, batch_size, name if progress else None),
            class_names=part.class_names,
        )
        for name, part in {"clean": cells, **parts}.items()
    }
    return Report(model.name, tuple(cells.class_names), scores.pop("clean"), scores, seed)


def shift(dataset: Dataset, suite: str, *, severity: int | None = None, seed: int = 0) -> Dataset:
    """The data set with each image corrupted: the one place where a test set is shifted.

    Parameters
    ----------
    dataset : Dataset
    suite : "heavy" or "microscopy"
    severity : int, optional
    seed : int
        As of `evaluate`.

    Returns
    -------
    Dataset
        Lazy; nothing is corrupted before it is looked at.

    Examples
    --------
    >>> spoilt = shift(cells, "microscopy", severity=5)  # doctest: +SKIP
    """
    one_of("suite", suite, SUITES)
    settings = {"severity": severity} if suite == "microscopy" else {}
    corrupt = getattr(cellprep, "Corrupt", None)
    if corrupt is None:
        raise CellprepError(
            "shifted test sets need cellprep.Corrupt, which this cellprep does not have; update it"
        )
    return Recipe([corrupt(suite=suite, **settings)], seed)(dataset)


def predict(
    model: Any, images: Any, *, batch_size: int = 64, progress: bool = False
) -> NDArray[np.float32]:
    """(n, classes) float32 probabilities of images.

    Parameters
    ----------
    model : keras.Model
    images : (n, height, width, 3) uint8, a path, or a Dataset
        Prepared as the training images were: cropped and masked alike.
    batch_size : int
    progress : bool

    Returns
    -------
    (n, classes) float32
        In the order of the model's class names.

    Raises
    ------
    CellprepError
        For images of another size, shape or type.

    Examples
    --------
    >>> names = np.array(model.card.class_names)  # doctest: +SKIP
    >>> names[predict(model, images).argmax(axis=1)]  # doctest: +SKIP
    """
    in_range("batch_size", batch_size, 1, 2**20, whole=True)
    if isinstance(images, Dataset | str | Path):
        cells = as_dataset(images, "images")
    else:
        many = len(images) if hasattr(images, "__len__") else 0
        cells = Dataset.from_arrays(images, np.zeros(many, np.int64), ["?"])
    check_fits(model, cells, "images", classes=False)
    return probabilities(model, whole(cells), batch_size, "predicting" if progress else None)


def probabilities(
    model: Any, dataset: Dataset, batch_size: int, title: str | None = None
) -> NDArray[np.float32]:
    """(n, classes) float32, row by row as they stand; with a bar if it has a title."""
    from tqdm import tqdm

    parts = [
        model.predict_on_batch(images.astype(np.float32))
        for images, _ in tqdm(
            dataset.batches(batch_size),
            desc=title,
            total=-(-len(dataset) // batch_size),
            disable=None if title else True,
            unit="batch",
        )
    ]
    return np.concatenate(parts).astype(np.float32)
