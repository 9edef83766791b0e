"""Scores: computed by hand, consistent with each other, refused for invalid input."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellmodels as cm
from cellprep import CellprepError


def test_scores_equal_those_computed_by_hand():
    given = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55], [0.95, 0.05]]
    s = cm.score([0, 0, 1, 0, 1], given, class_names=["a", "b"])
    assert s.confusion == ((2, 1), (1, 1))
    assert s.accuracy == s.recall == 3 / 5
    assert s.precision == pytest.approx((3 * 2 / 3 + 2 * 1 / 2) / 5)
    assert s.macro_recall == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert s.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)
    # Bins (0.87, 0.93], (0.73, 0.8], (0.67, 0.73], (0.53, 0.6], (0.93, 1]: one image each.
    assert s.ece == pytest.approx((0.1 + 0.2 + 0.3 + 0.55 + 0.95) / 5)
    assert [b.images for b in s.reliability] == [1] * 5
    assert s.nll == pytest.approx(-np.log([0.9, 0.8, 0.7, 0.45, 0.05]).mean())
    assert [c.images for c in s.classes] == [3, 2]


def test_balanced_accuracy_leaves_out_classes_without_images():
    given = [[0.8, 0.2, 0], [0.6, 0.4, 0], [0.3, 0.7, 0], [1, 0, 0]]
    s = cm.score([0, 0, 1, 1], given, class_names=["a", "b", "absent"])
    assert s.balanced_accuracy == (1 + 0.5) / 2
    assert s.macro_recall == pytest.approx((1 + 0.5) / 3)
    wrong = cm.score([2, 0], [[1.0, 0.0, 0.0]] * 2, class_names=["a", "b", "c"])
    assert np.isfinite(wrong.nll)  # a probability of 0 for the true class


@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 10**6))
def test_scores_are_consistent_with_each_other(classes, n, seed):
    rng = np.random.default_rng(seed)
    labels, given = rng.integers(0, classes, n), rng.dirichlet(np.ones(classes), n)
    names = [f"class {k}" for k in range(classes)]
    s = cm.score(labels, given, class_names=names)
    order = rng.permutation(n)
    assert cm.score(labels[order], given[order], class_names=names).confusion == s.confusion
    confusion = np.array(s.confusion)
    np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(labels, minlength=classes))
    assert s.accuracy == pytest.approx(np.trace(confusion) / n)
    assert s.recall == pytest.approx(s.accuracy)
    assert sum(b.images for b in s.reliability) == n
    assert all(b.low < b.confidence <= b.high + 1e-12 for b in s.reliability)
    confidence = np.average(
        [b.confidence for b in s.reliability], weights=[b.images for b in s.reliability]
    )
    assert confidence == pytest.approx(given.max(axis=1).mean())
    assert abs(confidence - s.accuracy) - 1e-12 <= s.ece <= 1


@pytest.mark.parametrize(
    ("labels", "given", "message"),
    [
        ([0, 2], [[0.5, 0.5]] * 2, "`labels` must be in 0 to 1, got 2"),
        ([0, -1], [[0.5, 0.5]] * 2, "`labels` must be in 0 to 1, got -1"),
        ([0], [[0.5, 0.5]] * 2, r"`probabilities` must be \(1, 2\)"),
        ([0.0], [[0.5, 0.5]], "whole numbers"),
        ([0], [[3.0, 0.5]], "sum to 1"),
    ],
)
def test_invalid_labels_and_probabilities_are_refused(labels, given, message):
    with pytest.raises(CellprepError, match=message):
        cm.score(labels, given, class_names=["a", "b"])


def test_importing_cellmodels_and_scoring_load_no_keras():
    heavy = ("keras", "tensorflow", "jax", "sklearn", "matplotlib", "pandas", "numba")
    code = (
        "import sys, cellmodels as cm, cellmodels.cli\n"
        f"print([n for n in {heavy} if n in sys.modules])\n"
        "cm.score([0, 1], [[1, 0], [0, 1]], class_names='ab')\n"
        "print('keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]
