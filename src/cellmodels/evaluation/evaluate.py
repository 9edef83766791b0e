"""`evaluate`: the scores of models on a test set and on shifted versions of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cellprep import CellprepError, Dataset
from cellprep.errors import check_seed, one_of

from ..data.checks import check_classes, check_disjoint, check_preparation
from ..data.inputs import Data, as_dataset, readable
from .classes import Classes, allowed_classes, labels_among
from .metrics import score
from .probabilities import Prediction, probabilities
from .report import Report
from .shift import SUITES, shift
from .together import as_models, check_images, known_classes


def evaluate(
    model: Any,
    data: Data,
    *,
    shifted: str | Sequence[str] | Mapping[str, Data] = (),
    severity: int | None = None,
    seed: int = 0,
    train: Data | None = None,
    allow_leaks: bool = False,
    classes: Classes = "all",
    progress: bool = True,
    **settings: Any,
) -> Report:
    """Measure a model, or several together, on a test set and on shifted versions of it.

    Parameters
    ----------
    model : keras.Model, or list of them
        From `build` and `fit`, or `load`. Of several models the mean probabilities are measured;
        they need the same classes and image size.
    data : path, Dataset, or (images, labels)
    shifted : "heavy", "microscopy", a sequence of both, or dict of str to data
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
    classes : "all", "present" or sequence of str
        By default all classes of the model can be predicted; one without images in the test set is
        listed with 0 images. "present": only the classes that have images in `data` can be
        predicted; their names must be among the model's, in any order. A sequence names the classes
        that can be predicted.
        The probabilities of all others are excluded, and the rest sums to 1.
    progress : bool
    **settings
        The fields of `Prediction`: tta, adapt, adapt_color, adapt_norm, neighbors, temperature,
        batch_size.

    Returns
    -------
    Report

    Raises
    ------
    CellprepError
        For images of another size, other class names or another order of them, a class without
        images, models that differ in their classes, and leaks.

    Examples
    --------
    >>> report = evaluate(model, "out/test", shifted=("microscopy",))  # doctest: +SKIP
    >>> print(report.table())  # doctest: +SKIP
    """
    given = dict(shifted) if isinstance(shifted, Mapping) else {}
    for name in ("data", "clean"):
        if name in given:
            raise CellprepError(f"a shifted set cannot be called {name!r}; choose another name")
    suites = () if given else (shifted,) if isinstance(shifted, str) else shifted
    for suite in suites:
        one_of("shifted", suite, SUITES)
    check_seed(seed)
    how, models = Prediction.of(settings), as_models(model)
    sets = _checked_sets(models, {"data": data, **given}, how, classes)
    cells = sets.pop("data")
    sets |= {suite: shift(cells, suite, severity=severity, seed=seed) for suite in suites}
    if train is not None:
        trained_on = as_dataset(train, "train", cells.class_names)
        check_disjoint(trained_on, cells, ("train", "data"), allow_leaks)
    known = known_classes(models) or cells.class_names
    allowed = allowed_classes(classes, known, cells)
    columns = None if allowed == known else [known.index(name) for name in allowed]
    sets = {"clean": cells, **sets}
    labels = {
        name: labels_among(allowed, each, "data" if each is cells else name)
        for name, each in sets.items()
    }
    scores, uncalibrated = {}, {}
    for name, each in sets.items():
        found, raw = probabilities(models, each, how, name, columns, progress)
        scores[name] = score(labels[name], found, class_names=allowed)
        if raw is not None:
            uncalibrated[name] = score(labels[name], raw, class_names=allowed)
    return Report(
        " + ".join(each.name for each in models),
        allowed,
        scores.pop("clean"),
        scores,
        seed,
        {**asdict(how), "temperatures": how.temperatures(models)},
        uncalibrated,
    )


def _checked_sets(
    models: Sequence[Any], given: Mapping[str, Data], how: Prediction, classes: Classes
) -> dict[str, Dataset]:
    """The test sets, checked against the models and what they were trained on.

    `data` is the first. Without a choice of classes, all are classes of the models.
    """
    class_names = known_classes(models)
    sets = {name: readable(as_dataset(data, name, class_names)) for name, data in given.items()}
    cards = [card for model in models if (card := getattr(model, "card", None))]
    for name, dataset in sets.items():
        check_images(models, dataset, how, name, classes=class_names is None)
        if classes == "all":  # those without images are measured: 0 images
            known = class_names or sets["data"].class_names
            check_classes(dataset, name, known, complete=False)
        for card in cards:
            check_preparation(card.recipe, dataset, name)
    return sets
