"""`evaluate`: the scores of a model on a test set and on shifted versions of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cellprep import CellprepError, Dataset
from cellprep.errors import check_seed, in_range, one_of

from ..data.checks import check_classes, check_disjoint, check_fits, check_preparation
from ..data.inputs import Data, as_dataset, readable
from .metrics import score
from .predict import probabilities
from .report import Report
from .shift import SUITES, shift


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
        Suites of `cellprep.Corrupt` to apply to `data`. If `data` was cropped or masked, the crops
        and masks were found in clean images. To corrupt before cropping and masking, as a camera
        would, pass the shifted sets themselves, by name.
    severity : int, optional
        1 to 5, for "microscopy". Default: sampled for each image. Not used by "heavy".
    seed : int
        Seed of the corruptions.
    train : path, Dataset, or (images, labels), optional
        The training set; a test set that shares images with it is refused.
    allow_leaks : bool
        Do not refuse it.
    batch_size : int
    progress : bool

    Returns
    -------
    Report

    Raises
    ------
    CellprepError
        For images of another size, other class names or another order of them, a class without
        images, and leaks.

    Examples
    --------
    >>> report = evaluate(model, "out/test", shifted=("microscopy",))  # doctest: +SKIP
    >>> print(report.table())  # doctest: +SKIP
    """
    given = dict(shifted) if isinstance(shifted, Mapping) else {}
    for name in ("data", "clean"):
        if name in given:
            raise CellprepError(f"a shifted set cannot be called {name!r}; choose another name")
    suites = () if given else shifted
    for suite in suites:
        one_of("shifted", suite, SUITES)
    in_range("batch_size", batch_size, 1, 2**20, whole=True)
    check_seed(seed)
    sets = _checked_sets(model, {"data": data, **given})
    cells = sets.pop("data")
    sets |= {suite: shift(cells, suite, severity=severity, seed=seed) for suite in suites}
    if train is not None:
        trained_on = as_dataset(train, "train", cells.class_names)
        check_disjoint(trained_on, cells, ("train", "data"), allow_leaks)
    scores = {
        name: score(
            dataset.labels,
            probabilities(model, dataset, batch_size, name if progress else None),
            class_names=dataset.class_names,
        )
        for name, dataset in {"clean": cells, **sets}.items()
    }
    return Report(model.name, tuple(cells.class_names), scores.pop("clean"), scores, seed)


def _checked_sets(model: Any, given: Mapping[str, Data]) -> dict[str, Dataset]:
    """The test sets, checked against the model and what it was trained on; `data` is the first."""
    card = getattr(model, "card", None)
    class_names = card.class_names if card else None
    sets = {name: readable(as_dataset(data, name, class_names)) for name, data in given.items()}
    for name, dataset in sets.items():
        check_fits(model, dataset, name)
        check_classes(dataset, name, class_names or sets["data"].class_names)
        if card:
            check_preparation(card.recipe, dataset, name)
    return sets
