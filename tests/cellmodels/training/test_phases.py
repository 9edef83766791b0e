"""The phases of a training: what is trained, learning rates, the choice of the best epoch."""

from __future__ import annotations

import numpy as np
import pytest

import cellmodels as cm
from cellprep import CellprepError

from ..helpers import fit, splits, tiny

keras = pytest.importorskip("keras")


def weights_by_layer(model):
    return {layer.name: [w.copy() for w in layer.get_weights()] for layer in model.layers}


def changed(before, after):
    return [
        name
        for name, arrays in before.items()
        if not all(np.array_equal(a, b) for a, b in zip(arrays, after[name], strict=True))
    ]


def test_transfer_trains_only_the_head_and_batch_norm_keeps_its_statistics():
    model = tiny()
    before = weights_by_layer(model)
    fit(model, epochs=0, transfer_epochs=2)
    assert changed(before, weights_by_layer(model)) == ["head_dense", "head_scores"]
    assert all(layer.trainable for layer in model.layers)


def test_fine_tuning_trains_what_build_did_not_freeze():
    model = tiny(frozen=4)
    frozen = [layer.name for layer in model.layers[:4]]
    assert any("batch_normalization" in name for name in frozen)
    before = weights_by_layer(model)
    fit(model)
    after = changed(before, weights_by_layer(model))
    assert not set(frozen) & set(after)
    assert len(after) == 4  # the second convolution, its normalisation, two dense layers
    assert [layer.trainable for layer in model.layers[:5]] == [False] * 4 + [True]


def test_the_learning_rate_rises_and_falls_in_each_phase():
    slow = {"learning_rate": 0.01, "transfer_learning_rate": 0.1, "warmup": 0.0}
    rates = fit(**slow).history["learning_rate"]
    assert rates[1] == pytest.approx(0, abs=1e-8)
    assert rates[4] == pytest.approx(0, abs=1e-8)
    assert rates[0] == pytest.approx(0.1 * 0.5, rel=0.5)
    assert rates[2] > rates[3] > 0
    flat = fit(schedule="constant", **slow).history["learning_rate"]
    np.testing.assert_allclose(flat, [0.1, 0.1, 0.01, 0.01, 0.01], rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_each_optimizer_learns_separable_classes(optimizer):
    images = np.zeros((40, 16, 16, 3), np.uint8)
    labels = np.arange(40) % 2
    images[labels == 0, ..., 0] = 200
    images += np.random.default_rng(0).integers(0, 40, images.shape, dtype=np.uint8)
    model = cm.build("baseline_cnn", 2, (16, 16, 3), weights=None)
    done = cm.fit(
        model,
        (images, labels),
        epochs=6,
        batch_size=8,
        optimizer=optimizer,
        learning_rate=1e-3,
        progress=False,
    )
    assert done.history["loss"][-1] < done.history["loss"][0] / 2
    assert cm.evaluate(model, (images, labels), progress=False).clean.accuracy == 1


def test_the_model_has_the_weights_of_the_best_epoch(tmp_path):
    data, model = splits(), tiny()
    done = fit(model, data, learning_rate=0.5, schedule="constant", epochs=5, out=tmp_path)
    losses = done.history["val_cross_entropy"]
    assert done.best_epoch == int(np.argmin(losses)) < 6
    images, labels = data["val"].to_arrays()
    for each in (model, cm.load(done.path)):
        given = cm.predict(each, images, temperature=False)[np.arange(len(labels)), labels]
        assert -np.log(given).mean() == pytest.approx(min(losses), rel=1e-4)


def test_epochs_are_compared_without_the_l2_penalty():
    done = fit(tiny(l2=10.0), learning_rate=1e-3, epochs=2)
    loss, plain = done.history["val_loss"], done.history["val_cross_entropy"]
    assert loss[2] > loss[1] + 10  # fine-tuning adds the kernels of the backbone
    assert done.best_epoch == int(np.argmin(plain))


def test_patience_counts_epochs_of_fine_tuning_only():
    still = {"learning_rate": 0.0, "transfer_learning_rate": 0.0, "weight_decay": 0.0}
    done = fit(tiny(frozen=6), epochs=9, patience=2, **still)
    assert done.stopped_early
    assert (done.best_epoch, len(done.history["loss"])) == (0, 2 + 2)


def test_a_loss_that_is_not_finite_is_an_error():
    with pytest.raises(CellprepError, match="the loss is nan in epoch"):
        fit(learning_rate=10.0, transfer_epochs=0, epochs=3, schedule="constant", model=broken())


def broken():
    model = tiny()
    model.get_layer("head_scores").bias.assign(np.full(3, np.nan))
    return model
