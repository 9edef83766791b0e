"""PyTorch and JAX give what TensorFlow gives, and train: each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import cellmodels as cm

from .helpers import pictures

keras = pytest.importorskip("keras")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_the_backend_gives_the_same_maps_and_probabilities(backend, trained, tmp_path):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("compares with TensorFlow")
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    model, path, _ = trained
    images, labels = pictures(36, seed=5)
    np.savez(tmp_path / "in.npz", images=images, labels=labels)
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("on_backend.py")),
            str(tmp_path / "in.npz"),
            str(path),
            str(tmp_path),
        ],
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    out = np.load(tmp_path / "out.npz")
    maps = cm.saliency(model, images, labels)
    # Where a ReLU or a maximum is about to change, an image's gradient may jump.
    apart = np.abs(out["maps"] - maps).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    assert np.median(apart) < 1e-5
    assert apart.max() < 0.05
    np.testing.assert_allclose(out["predicted"], cm.predict(model, images), atol=1e-5)
