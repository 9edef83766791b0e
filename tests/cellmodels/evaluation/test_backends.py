"""Predictions are the same on TensorFlow, JAX and PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import cellmodels as cm
from cellmodels.models.files import save

from ..helpers import NAMES, pictures, tiny

keras = pytest.importorskip("keras")

SETTINGS = [
    {},
    {"tta": "dihedral"},
    {"adapt_norm": 0.5, "temperature": False},
    {"neighbors": 0.8},
]
ELSEWHERE = """
import sys
import numpy as np
import keras, cellmodels as cm
images, model = np.load(sys.argv[1]), cm.load(sys.argv[2])
before = model.get_weights()
found = [cm.predict([model, model], images, **settings) for settings in %r]
assert all((a == b).all() for a, b in zip(before, model.get_weights()))
np.save(sys.argv[3], found)
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """A folder with images and the file of a model with a temperature; the probabilities here."""
    folder = tmp_path_factory.mktemp("backends")
    images, model = pictures(36)[0], tiny(3)
    save(model, folder / "m.keras", cm.Card("tiny", NAMES, temperature=1.5))
    np.save(folder / "images.npy", images)
    return folder, [cm.predict([model, model], images, **settings) for settings in SETTINGS]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_backend_predicts_the_same(backend, expected):
    if find_spec(backend) is None or keras.backend.backend() != "tensorflow":
        pytest.skip(f"compares TensorFlow with {backend}")
    folder, probabilities = expected
    files = [folder / "images.npy", folder / "m.keras", folder / f"{backend}.npy"]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE % SETTINGS, *map(str, files)],
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    for found, here in zip(np.load(files[-1]), probabilities, strict=True):
        np.testing.assert_allclose(found, here, atol=1e-4)
    assert abs(probabilities[0] - probabilities[2]).max() > 1e-3
