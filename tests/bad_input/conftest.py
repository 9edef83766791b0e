"""A good data set and a good recipe."""

from __future__ import annotations

import pytest

from .helpers import (
    save_npz,
)


@pytest.fixture
def good(tmp_path):
    return save_npz(tmp_path / "good.npz")


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[[steps]]\nstep = "Dedupe"\n')
    return path
