"""Confident learning suspects the labels that the authors' library, cleanlab, suspects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmodels.review.confident import suspected


@given(st.integers(2, 6), st.integers(20, 120), st.integers(0, 2**32 - 1), st.floats(0.1, 3))
def test_the_same_labels_are_suspected_as_by_cleanlab(classes, n, seed, peak):
    cleanlab = pytest.importorskip("cleanlab.filter")
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, n)])
    scores = random.normal(size=(len(labels), classes)) * peak
    scores[np.arange(len(labels)), labels] += random.choice([0, 2, 4], len(labels))
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    theirs = cleanlab.find_label_issues(
        labels,
        probabilities,
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    found = np.flatnonzero(suspected(labels, probabilities))
    own = probabilities[found, labels[found]]
    assert found[np.argsort(own, kind="stable")].tolist() == list(theirs)
