"""The functions as steps of scikit-learn and imbalanced-learn pipelines."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cellprep as cp


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255


@pytest.fixture
def pipeline() -> Any:
    """Rows change only while it is fitted; pixels always."""
    imblearn = pytest.importorskip("imblearn")
    pytest.importorskip("sklearn")
    from imblearn.pipeline import Pipeline
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import FunctionTransformer

    def rows(step: Any, **settings: Any) -> Any:
        return imblearn.FunctionSampler(func=step, validate=False, kw_args=settings)

    return Pipeline(
        [
            ("dedupe", rows(cp.dedupe)),
            ("balance", rows(cp.balance, seed=0)),
            ("augment", rows(cp.rand_augment, copies=1)),
            ("mask", FunctionTransformer(cp.kmeans_mask)),
            ("crop", FunctionTransformer(cp.crop, kw_args={"size": 32})),
            ("flat", FunctionTransformer(flat)),
            ("classify", KNeighborsClassifier(1)),
        ]
    )


def test_functions_work_as_steps_of_a_pipeline(cells, pipeline):
    from sklearn.base import clone

    images, labels = cells
    names = np.array([*"abcdefgh"])[labels]
    for values in (labels, names, pd.Series(names)):
        copied = pickle.loads(pickle.dumps(clone(pipeline).fit(images, values)))
        assert {*copied.predict(images)} <= {*values}
    by_hand = cp.rand_augment(*cp.balance(*cp.dedupe(images, labels), seed=0), copies=1)
    resampled, kinds = pipeline[:3].fit_resample(images, labels)
    np.testing.assert_array_equal(resampled, by_hand[0])
    np.testing.assert_array_equal(kinds, by_hand[1])


def test_grid_search_covers_settings_of_steps(cells, pipeline):
    from sklearn.model_selection import GridSearchCV

    grid = {
        "crop__kw_args": [{"size": 24}, {"size": 40}],
        "augment__kw_args": [{"copies": 1, "magnitude": 0.2}, {"copies": 2}],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*cells)
    assert len(search.cv_results_["params"]) == 4
    crop = search.best_estimator_.named_steps["crop"]
    assert crop.kw_args == search.best_params_["crop__kw_args"]


def test_validation_folds_contain_no_copies(cells, pipeline):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import cross_validate

    seen: list[tuple[str, np.ndarray]] = []

    class Spy(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):  # noqa: N803 - scikit-learn's name
            self.classes_ = np.unique(y)
            seen.append(("fit", X))
            return self

        def predict(self, X):  # noqa: N803
            seen.append(("predict", X))
            return np.full(len(X), self.classes_[0])

    pipeline.set_params(classify=Spy(), mask="passthrough", crop="passthrough")
    cross_validate(pipeline, *cells, cv=5, error_score="raise")
    assert [(what, len(rows)) for what, rows in seen] == [("fit", 64), ("predict", 8)] * 5
    for (_, trained), (_, tested) in zip(seen[::2], seen[1::2], strict=True):
        originals = {row.tobytes() for row in flat(cells[0])}
        assert {row.tobytes() for row in tested} <= originals
        assert not {row.tobytes() for row in tested} & {row.tobytes() for row in trained}
