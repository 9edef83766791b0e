"""`adapt_norm`: statistics of batch normalisation, blended layer after layer."""

from __future__ import annotations

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellmodels.evaluation import adapt_norm
from cellprep import CellprepError

from ..helpers import NAMES, tiny

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def model():
    """A model whose statistics are those of dark images."""
    made = tiny(3)
    for k, norm in enumerate(norms(made)):
        norm.moving_mean.assign(np.linspace(-0.1, 0.1 + k, 4))
        norm.moving_variance.assign(np.linspace(0.05, 0.2, 4))
    return made


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)


def norms(model):
    return [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]


def by_hand(model, images, weight):
    """The probabilities, with the layers computed one by one."""
    x = images.astype("f4")
    for layer in model.layers[1:]:
        if isinstance(layer, keras.layers.BatchNormalization):
            mean, variance, gamma, beta = (
                keras.ops.convert_to_numpy(v)
                for v in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
            )
            mean = (1 - weight) * mean + weight * x.mean(axis=(0, 1, 2), dtype="f8")
            variance = (1 - weight) * variance + weight * x.var(axis=(0, 1, 2), dtype="f8")
            x = ((x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta).astype("f4")
        else:
            x = keras.ops.convert_to_numpy(layer(x))
    return x


@pytest.mark.parametrize("weight", [0.4, 1.0])
def test_statistics_are_blended_layer_after_layer(model, images, weight):
    before = model.get_weights()
    adapted = cm.predict(model, images, adapt_norm=weight)
    np.testing.assert_allclose(adapted, by_hand(model, images, weight), atol=1e-5)
    assert abs(adapted - cm.predict(model, images)).max() > 0.01
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_neither_batch_size_nor_order_matters(model, images, monkeypatch):
    expected = cm.predict(model, images, adapt_norm=0.5)
    small = cm.predict(model, images, adapt_norm=0.5, batch_size=7)
    np.testing.assert_allclose(small, expected, atol=1e-6)
    cells = cp.Dataset.from_arrays(images, np.zeros(40, int), ["?"])
    turned = cp.Dataset.from_arrays(images[::-1], np.zeros(40, int), ["?"], ids=np.arange(40)[::-1])
    monkeypatch.setattr(adapt_norm, "MOST", 35)
    sample = cm.predict(model, cells, adapt_norm=0.5)
    np.testing.assert_allclose(cm.predict(model, turned, adapt_norm=0.5)[::-1], sample, atol=1e-6)
    assert abs(sample - expected).max() > 1e-6


def test_full_adaptation_undoes_a_change_of_brightness_and_contrast(model, images):
    dark, light = images // 3, images // 3 * 2 + 40
    expected = cm.predict(model, dark, adapt_norm=1.0)
    np.testing.assert_allclose(cm.predict(model, light, adapt_norm=1.0), expected, atol=1e-2)
    assert abs(cm.predict(model, light) - cm.predict(model, dark)).max() > 0.1


def test_branches_are_followed(images):
    from keras import layers

    x = inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3)(x)
    a = layers.BatchNormalization()(x)
    b = layers.BatchNormalization()(layers.Conv2D(4, 1)(layers.ReLU()(a) * 0.5))
    x = layers.Add()([a, b])
    x = layers.BatchNormalization()(layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(x), name="branches")
    cells = cp.Dataset.from_arrays(images, np.zeros(40, int), NAMES[:1])
    before = keras.Model(inputs, [norm.input for norm in norms(model)])
    with adapt_norm.adapted_norm(model, cells, 1.0, "images"):
        for norm, found in zip(norms(model), before(images.astype("f4")), strict=True):
            x, mean, variance = (
                keras.ops.convert_to_numpy(v)
                for v in (found, norm.moving_mean, norm.moving_variance)
            )
            axes = tuple(range(x.ndim - 1))
            np.testing.assert_allclose(x.mean(axis=axes), mean, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(x.var(axis=axes), variance, rtol=1e-3)


def test_the_model_is_restored_after_an_error(model, images):
    before = model.get_weights()
    with pytest.raises(RuntimeError, match="stopped"):
        stop_when_adapted(model, cp.Dataset.from_arrays(images, np.zeros(40, int), NAMES[:1]))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def stop_when_adapted(model, cells):
    before = model.get_weights()
    with adapt_norm.adapted_norm(model, cells, 0.5, "images"):
        assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
        raise RuntimeError("stopped")


def test_models_and_sets_that_cannot_be_adapted_are_refused(model, images):
    plain = cm.build("baseline_cnn", 3, (16, 16, 3), weights=None)
    nested = keras.Sequential([keras.Input((16, 16, 3)), model])
    for each, given, message in [
        (plain, images, "baseline_cnn has no batch normalisation; leave `adapt_norm` out"),
        (nested, images, "needs a functional model without models inside"),
        (model, images[:31], "needs at least 32 images, but images has 31"),
    ]:
        with pytest.raises(CellprepError, match=message):
            cm.predict(each, given, adapt_norm=0.5)
