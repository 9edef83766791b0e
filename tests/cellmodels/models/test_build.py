"""The classifiers: their inputs and outputs, frozen layers, L2 penalty and initial weights."""

from __future__ import annotations

import numpy as np
import pytest

import cellmodels as cm
from cellmodels.models.backbones import BACKBONES
from cellmodels.models.build import backbone_layers
from cellprep import CellprepError

keras = pytest.importorskip("keras")
QUICK = ("baseline_cnn", "efficientnet_b0", "efficientnet_lite0")
"""Those built in a second or two; the others are among the proofs."""
EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in BACKBONES]
DOWNLOADED = [each for each in EACH if BACKBONES[each.values[0]].weights]


def small(name, **settings):
    side = BACKBONES[name].smallest
    return cm.build(name, 3, (side, side, 3), **{"weights": None, **settings})


def noise(model, n=4):
    return np.random.default_rng(0).integers(0, 256, (n, *model.input_shape[1:])).astype("f4")


def kernels(model):
    kinds = keras.layers.Conv2D | keras.layers.DepthwiseConv2D
    return [layer.kernel for layer in model.layers if isinstance(layer, kinds)]


def penalty(model):
    return float(sum(keras.ops.convert_to_numpy(loss) for loss in model.losses))


@pytest.mark.parametrize("name", EACH)
def test_each_classifier_maps_grey_levels_to_probabilities(name):
    model = small(name, l2=1e-3)
    out = model.predict_on_batch(noise(model))
    assert out.shape == (4, 3)
    np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-5)
    # The first layer that computes scales 0-255 to about 1: the model includes preprocessing.
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling))
    assert np.abs(keras.ops.convert_to_numpy(first(noise(model)))).max() <= 1.01
    assert first is model.layers[1]
    # The loss includes the penalty of every convolution.
    expected = 1e-3 * sum(float((keras.ops.convert_to_numpy(k) ** 2).sum()) for k in kernels(model))
    assert len(model.losses) == len(kernels(model)) >= 2
    assert penalty(model) == pytest.approx(expected, rel=1e-4)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert len(dense) == (1 if name == "baseline_cnn" else 2)


def test_training_loss_includes_the_l2_penalty_also_after_saving(tmp_path):
    model = small("baseline_cnn", l2=1e-2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = noise(model), np.array([0, 1, 2, 0])
    loss = model.evaluate(x, y, verbose=0)
    cross = -np.log(model.predict_on_batch(x)[np.arange(4), y]).mean()
    assert loss == pytest.approx(cross + penalty(model), rel=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert penalty(again) == pytest.approx(penalty(model))
    assert penalty(small("baseline_cnn", l2=0.0)) == 0


@pytest.mark.parametrize(("frozen", "count"), [(3, 3), (0.5, 4), (1.0, 7), (0, 0)])
def test_frozen_layers_count_from_the_input_and_survive_saving(tmp_path, frozen, count):
    model = small("baseline_cnn", frozen=frozen)
    assert len(backbone_layers(model)) == 7
    flags = [layer.trainable for layer in backbone_layers(model)]
    assert flags == [False] * count + [True] * (7 - count)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    # Keras does not save the flag of the input layer, which has no weights.
    assert [layer.trainable for layer in backbone_layers(again)][1:] == flags[1:]
    assert model.get_layer("head_scores").trainable


def test_initial_weights_depend_on_the_seed_and_pythons_generator_is_restored():
    import random

    random.seed(1)
    before = random.getstate()
    one, same, other = (small("baseline_cnn", seed=seed).get_weights() for seed in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert random.getstate() == before


def application(path):
    """A file of EfficientNetB0 weights as published: with deviations instead of variances."""
    model = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    norm = next(x for x in model.layers if isinstance(x, keras.layers.Normalization))
    norm.adapt_mean.assign(np.reshape([0.485, 0.456, 0.406], norm.adapt_mean.shape))
    norm.adapt_variance.assign(np.reshape([0.229, 0.224, 0.225], norm.adapt_variance.shape))
    model.save_weights(path)
    return str(path)


@pytest.mark.slow
def test_weights_from_a_file_give_the_same_model_as_imagenet(tmp_path, monkeypatch):
    file = application(tmp_path / "b0.weights.h5")
    by_path = small("efficientnet_b0", weights=file)
    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: file)
    by_name = small("efficientnet_b0", weights="imagenet")
    x = noise(by_path)

    def stem(model):
        return keras.Model(model.input, model.get_layer("stem_conv").output).predict_on_batch(x)

    np.testing.assert_allclose(stem(by_path), stem(by_name), rtol=1e-3, atol=1e-4)
    for a, b in zip(kernels(by_path), kernels(by_name), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(stem(by_path) - stem(small("efficientnet_b0"))).max() > 0.1
    with pytest.raises(CellprepError, match="does not contain weights of mobilenet_v3"):
        small("mobilenet_v3", weights=file)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_failed_download_names_the_address_of_the_weights_in_one_line(name, monkeypatch):
    from keras.src.utils import file_utils

    requested = []

    def refuse(fname, origin, **_):
        requested.append(origin)
        raise Exception(f"URL fetch failure on {origin}: None -- no network")

    monkeypatch.setattr(file_utils, "get_file", refuse)
    with pytest.raises(CellprepError, match=r"weights=None to start from random weights") as error:
        small(name, weights="imagenet")
    assert requested == [BACKBONES[name].weights]
    assert requested[0] in str(error.value)
    assert "\n" not in str(error.value)


def test_the_baseline_starts_from_random_weights_or_its_own_file(tmp_path):
    model = small("baseline_cnn", weights="imagenet", seed=1)
    model.save_weights(tmp_path / "own.weights.h5")
    again = small("baseline_cnn", weights=tmp_path / "own.weights.h5", seed=2)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mixed_precision_keeps_probabilities_and_weights_in_float32(monkeypatch):
    monkeypatch.setattr("cellmodels.models.precision.mixed_policy", lambda: "mixed_bfloat16")
    model = small("baseline_cnn")
    assert model.layers[2].compute_dtype == "bfloat16"
    assert model.layers[2].kernel.dtype == model.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    assert small("baseline_cnn", precision="float32").layers[2].compute_dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("efficientnet_b1", 8, (96, 96, 3)), {}, "did you mean 'efficientnet_b"),
        (("baseline_cnn", 1, (96, 96, 3)), {}, r"`n_classes` must be a whole number in \[2"),
        (("inception_v3", 8, (64, 96, 3)), {}, "75x75 or larger, got 64x96"),
        (("baseline_cnn", 8, (96, 96, 1)), {}, r"`input_shape` must be \(height, width, 3\)"),
        (("baseline_cnn", 8, 96), {}, r"`input_shape` must be \(height, width, 3\)"),
        (("baseline_cnn", 8, (96, 96, 3)), {"weights": "no.h5"}, "there is no file 'no.h5'"),
        (("baseline_cnn", 8, (96, 96, 3)), {"frozen": 1.5}, r"`frozen` must be a number in \[0, 1"),
        (("baseline_cnn", 8, (96, 96, 3)), {"dropout": 1}, "`dropout` must be"),
        (("baseline_cnn", 8, (96, 96, 3)), {"precision": "mixed"}, "needs a GPU"),
    ],
)
def test_invalid_settings_of_build_are_refused_in_one_line(
    monkeypatch, arguments, settings, message
):
    monkeypatch.setattr("cellmodels.models.precision.mixed_policy", lambda: None)
    with pytest.raises(CellprepError, match=message) as error:
        cm.build(*arguments, **settings)
    assert "\n" not in str(error.value)
