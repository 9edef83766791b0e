"""Data sets and recipes that the tests of the commands share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellprep.cli.demo import write_synthetic_cells

from .helpers import noise

_RECIPE = """\
seed = 5

[[steps]]
step = "Dedupe"

[[steps]]
step = "Balance"

[[steps]]
step = "KMeansMask"

[[steps]]
step = "RandAugment"
copies = 2
"""
_SHORT_RECIPE = """\
[[steps]]
step = "Dedupe"

[[steps]]
step = "Balance"

[[steps]]
step = "RandAugment"
"""


@pytest.fixture
def messy(tmp_path):
    """Twenty images in three classes: one repeated, one repeated under another label."""
    images, labels = noise(20), np.array([0, 1, 2, 1] * 5)
    images[7], images[9] = images[5], images[8]  # 5, 7 and 9 are of class 1, 8 of class 0
    np.savez(tmp_path / "messy.npz", images=images, labels=labels, class_names=["b", "e", "m"])
    return tmp_path / "messy.npz"


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "recipe.toml").write_text(_RECIPE)
    return tmp_path / "recipe.toml"


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    path = tmp_path_factory.mktemp("synthetic") / "cells.npz"
    write_synthetic_cells(path, 400, seed=0)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch, synthetic):
    """The current folder: synthetic cells, a recipe, and temporary files outside of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path.parent))
    Path("cells.npz").symlink_to(synthetic)
    Path("recipe.toml").write_text(_SHORT_RECIPE)
    return tmp_path
