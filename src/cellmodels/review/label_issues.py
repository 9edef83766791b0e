"""`find_label_issues`: images whose label a model that never saw them doubts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import cellprep
from cellprep import CellprepError, Dataset
from cellprep.errors import check_seed, in_range, known_settings

from ..data.inputs import Data, as_dataset, readable
from ..evaluation.predict import predict
from ..models.build import build
from ..training.fit import fit
from .confident import suspected
from .embed import embed

if TYPE_CHECKING:
    import pandas as pd

Probabilities = NDArray[np.float64]
_COMPONENTS = 256
_PENALTY = 0.01
"""Principal components, and the inverse penalty of the regression on them."""

_OF_EMBED = ("size", "tta", "batch_size", "cache")


def find_label_issues(
    data: Data,
    model: Any = "efficientnet_lite0",
    *,
    folds: int = 5,
    near: int | None = None,
    symmetries: bool = False,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """Rank all images by how much a model that was not trained on them doubts their label.

    The data set is divided into folds; the images of each are predicted by a model trained on the
    others, so that no label confirms itself. Duplicates and groups are in one fold. Suspected are
    the images that confident learning [1]_ counts towards another class.

    Parameters
    ----------
    data : path, Dataset, or (images, labels)
        Not yet balanced or augmented.
    model : keras.Model, path, str, or dict
        What `embed` takes: features of that network are computed once, and a logistic regression is
        trained on them for each fold, twice: the second time without the labels that are suspected
        after the first. A model that was trained on these images knows their labels; take one that
        was not. Or a dict: `model`, a name, and optionally `build` and `train`, the settings of
        `build` and `fit`: then that network is trained for each fold.
    folds : int
        2 or more.
    near : int, optional
    symmetries : bool
        Which images count as duplicates besides those with equal pixels, as in
        `cellprep.find_duplicates`.
    seed : int
        Of the folds and the trainings.
    progress : bool
    **settings
        Of `embed`, for features: size, tta, batch_size, cache. Default: `tta="dihedral"` for square
        images.

    Returns
    -------
    DataFrame
        One row per image, the most doubtful first: `id`, `label` and `suggested` (names of
        classes), `score` (the probability of the label, in [0, 1]), `suggested_score` and
        `suspected`.

    Raises
    ------
    CellprepError
        For a class with fewer images or groups than folds, copies, and unknown settings.

    References
    ----------
    .. [1] C. Northcutt, L. Jiang, I. Chuang. Confident Learning: Estimating Uncertainty in Dataset
       Labels. Journal of Artificial Intelligence Research 70, 2021.

    Examples
    --------
    >>> found = find_label_issues("out/train")  # doctest: +SKIP
    >>> found[found["suspected"]].to_csv("suspected.csv", index=False)  # doctest: +SKIP
    """
    import pandas as pd

    in_range("folds", folds, 2, 100, whole=True)
    check_seed(seed)
    cells = readable(as_dataset(data, "data"))
    fold = _folds(cells, folds, seed, near, symmetries)
    known_settings("find_label_issues", settings, () if isinstance(model, Mapping) else _OF_EMBED)
    if isinstance(model, Mapping):
        found = _by_training(model, cells, fold, seed, progress)
    else:
        if cells.shape[1] == cells.shape[2]:
            settings = {"tta": "dihedral", **settings}
        features = embed(model, cells, progress=progress, **settings)
        found = _by_features(features, cells.labels, fold, seed)
    names, labels = np.array(cells.class_names, dtype=object), cells.labels
    every = np.arange(len(cells))
    others = found.copy()
    others[every, labels] = -1
    best = others.argmax(axis=1)
    table = pd.DataFrame(
        {
            "id": cells.ids,
            "label": names[labels],
            "suggested": names[best],
            "score": found[every, labels],
            "suggested_score": found[every, best],
            "suspected": suspected(labels, found),
        }
    )
    return table.sort_values("score", kind="stable", ignore_index=True)


def _folds(
    cells: Dataset, folds: int, seed: int, near: int | None, symmetries: bool
) -> NDArray[np.int64]:
    """(n,) the fold of each image."""
    parts = cellprep.split(cells, seed=seed, near=near, symmetries=symmetries, folds=folds)
    number = {key: k for k, part in enumerate(parts.values()) for key in part.ids.tolist()}
    return np.array([number[key] for key in cells.ids.tolist()])


def _by_features(
    features: NDArray[np.float32], labels: NDArray[np.int64], fold: NDArray[np.int64], seed: int
) -> Probabilities:
    """(n, classes) probabilities by logistic regressions, one for each fold.

    Each is trained twice, the second time without the labels that are suspected after the first.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    components = PCA(min(_COMPONENTS, *features.shape), whiten=True, random_state=seed)
    scaled = components.fit_transform(features)  # of all images, since it knows no label
    found = np.zeros((len(labels), labels.max() + 1))
    trusted = np.ones(len(labels), bool)
    for _ in range(2):
        for k in np.unique(fold):
            inside, others = fold == k, fold != k
            train = others & trusted
            if len(np.unique(labels[train])) < len(np.unique(labels[others])):
                train = others  # no class may vanish
            trained = LogisticRegression(C=_PENALTY, max_iter=500)
            trained.fit(scaled[train], labels[train])
            found[inside] = 0
            found[np.ix_(inside, trained.classes_)] = trained.predict_proba(scaled[inside])
        trusted = ~suspected(labels, found)
    return found


def _by_training(
    model: Mapping[str, Any], cells: Dataset, fold: NDArray[np.int64], seed: int, progress: bool
) -> Probabilities:
    """(n, classes) probabilities by a network trained for each fold."""
    known_settings("`model`", model, ["model", "build", "train"])
    if "model" not in model:
        raise CellprepError("the dict `model` needs the name of a classifier: {'model': ...}")
    built = _settings(model, "build")
    how = _settings(model, "train")
    classes = len(cells.class_names)
    found = np.zeros((len(cells), classes))
    for k in np.unique(fold):
        inside = np.flatnonzero(fold == k)
        train = cells.without(cells.ids[inside])
        network = build(model["model"], classes, cells.shape[1:], **{"seed": seed, **built})
        fit(network, train, progress=progress, allow_leaks=True, **{"seed": seed, **how})
        found[inside] = predict(network, cells.take(inside), progress=progress)
    return found


def _settings(model: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The settings of `build` or `fit`, without those that `find_label_issues` decides."""
    found = model.get(name, {})
    if not isinstance(found, Mapping):
        raise CellprepError(f"`{name}` in the dict `model` must be a dict, got {found!r}")
    if name == "build":
        known_settings("`build`", found, list(inspect.signature(build).parameters)[3:])
    for setting in ("model", "train", "val", "out", "progress", "allow_leaks"):
        if setting in found:
            raise CellprepError(f"`{name}` in the dict `model` cannot set {setting!r}")
    return found
