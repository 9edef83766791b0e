"""Suspected labels: planted ones are found, folds leak nothing, and bad input is refused."""

from __future__ import annotations

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellprep import CellprepError

from ..helpers import NAMES, pictures

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def mislabelled():
    """120 images of three colours; the labels of four of them were changed."""
    images, labels = pictures(120, seed=4)
    changed = [3, 17, 31, 52]
    wrong = labels.copy()
    wrong[changed] = (wrong[changed] + 1) % 3
    cells = cp.Dataset.from_arrays(images, wrong, class_names=NAMES)
    return cells, labels, changed


@pytest.fixture
def by_colour(monkeypatch):
    """Features are mean colours, so that no network is needed."""

    def colours(model, data, **settings):
        return data.images[:].mean(axis=(1, 2)).astype(np.float32)

    monkeypatch.setattr("cellmodels.review.label_issues.embed", colours)


def test_changed_labels_come_first_with_the_right_suggestion(mislabelled, by_colour):
    cells, labels, changed = mislabelled
    found = cm.find_label_issues(cells, progress=False)
    assert len(found) == len(cells)
    assert sorted(found["id"][:4]) == changed
    suspected = set(found.loc[found["suspected"], "id"])  # those above the mean of another class
    assert set() < suspected <= set(changed)
    assert found["score"].is_monotonic_increasing
    for _, row in found[:4].iterrows():
        assert row["label"] == NAMES[cells.labels[row["id"]]]
        assert row["suggested"] == NAMES[labels[row["id"]]]
        assert row["suggested_score"] > row["score"]


def test_a_label_does_not_confirm_itself_through_a_duplicate(mislabelled, monkeypatch):
    cells, _, changed = mislabelled
    images, labels = cells.to_arrays()
    twice = cp.Dataset.from_arrays(
        np.concatenate([images, images[changed]]), np.concatenate([labels, labels[changed]])
    )
    seen = []

    def watched(features, labels, fold, seed):
        seen.append(fold)
        return np.full((len(labels), 3), 1 / 3)

    monkeypatch.setattr("cellmodels.review.label_issues._by_features", watched)
    monkeypatch.setattr("cellmodels.review.label_issues.embed", lambda *_, **__: None)
    cm.find_label_issues(twice, folds=4, progress=False)
    assert set(seen[0]) == {0, 1, 2, 3}
    for n, k in enumerate(changed):
        assert seen[0][120 + n] == seen[0][k]


def test_labels_of_which_none_is_trusted_are_ranked_all_the_same():
    """Features that say nothing: after the first round a class may have no trusted label left."""
    from cellmodels.review.label_issues import _by_features

    features = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    for seed in range(20):
        labels = np.random.default_rng(seed).permutation(np.arange(32) % 8)
        found = _by_features(features, labels, np.arange(32) % 2, 0)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_a_network_may_be_trained_for_each_fold(mislabelled):
    cells, _, changed = mislabelled
    settings = {
        "model": "baseline_cnn",
        "build": {"weights": None},
        "train": {"epochs": 6, "batch_size": 8, "learning_rate": 1e-2},
    }
    found = cm.find_label_issues(cells, settings, folds=2, progress=False)
    assert set(found["id"][:4]) == set(changed)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("efficientnet_lite0", {"folds": 1}, "`folds` must be"),
        ("efficientnet_lite0", {"folds": 60}, "class 'dark' has"),
        ({"build": {}}, {}, "needs the name of a classifier"),
        ({"model": "baseline_cnn", "trian": {}}, {}, "did you mean 'train'"),
        ({"model": "baseline_cnn"}, {"tta": "none"}, "has no setting 'tta'"),
        ("efficientnet_lite0", {"fold": 3}, "has no setting 'fold'"),
        ({"model": "baseline_cnn", "build": 3}, {}, "`build` in the dict `model` must be a dict"),
        ({"model": "baseline_cnn", "build": {"n_classes": 3}}, {}, "no setting 'n_classes'"),
        ({"model": "baseline_cnn", "train": {"out": "x"}}, {}, "cannot set 'out'"),
        (3, {}, "`model` must be a model, the file of one, or one of"),
        ("nowhere.keras", {}, "`model` must be a model, the file of one, or one of"),
    ],
)
def test_bad_input_is_refused_in_one_line(mislabelled, model, settings, message):
    with pytest.raises(CellprepError, match=message) as error:
        cm.find_label_issues(mislabelled[0], model, progress=False, **settings)
    assert "\n" not in str(error.value)
