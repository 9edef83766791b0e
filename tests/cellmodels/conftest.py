"""Fixtures that the tests of cellmodels share."""

from __future__ import annotations

import pytest

import cellmodels as cm
import cellprep as cp

from .helpers import NAMES, pictures


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A model trained on the three colours, its file, and its training set."""
    pytest.importorskip("keras")
    images, labels = pictures(48)
    data = cp.Dataset.from_arrays(images, labels, NAMES)
    model = cm.build("baseline_cnn", 3, (16, 16, 3), weights=None)
    out = tmp_path_factory.mktemp("trained")
    settings = {"epochs": 12, "learning_rate": 2e-3, "batch_size": 8, "progress": False}
    done = cm.fit(model, data, pictures(12, seed=1), out=out, **settings)
    return model, done.path, data
