"""Fused batch normalisation trains as that of Keras does, and leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest

from ..helpers import pictures, tiny

keras = pytest.importorskip("keras")


def _trained(fused):
    """All weights of the tiny model after four steps."""
    from contextlib import nullcontext

    from cellmodels.training.fused_norm import fused_norm

    model = tiny()
    images, labels = pictures(16)
    with fused_norm(model) if fused else nullcontext():
        calls = [layer.call for layer in model.layers]
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        for _ in range(4):
            model.train_on_batch(images, labels)
    return model, calls


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow only")
def test_fused_normalisation_gives_the_same_weights_and_statistics():
    one, _ = _trained(False)
    two, fused = _trained(True)
    norms = [isinstance(layer, keras.layers.BatchNormalization) for layer in two.layers]
    replaced = [call.__module__.endswith("fused_norm") for call in fused]
    assert replaced == norms
    assert sum(norms) == 2
    for variable, other in zip(one.variables, two.variables, strict=True):
        if not variable.path.startswith("seed"):
            np.testing.assert_allclose(
                np.asarray(variable), np.asarray(other), rtol=1e-3, atol=1e-5
            )
    assert not any("call" in vars(layer) for layer in two.layers)


def test_frozen_layers_keep_their_statistics():
    from cellmodels.training.fused_norm import fused_norm

    model = tiny(frozen=4)
    before = [np.asarray(v) for v in model.layers[3].variables]
    with fused_norm(model):
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        model.train_on_batch(*pictures(16))
    for variable, value in zip(model.layers[3].variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)
