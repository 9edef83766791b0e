"""The balanced head: trained anew on balanced classes, with the backbone as it is."""

from __future__ import annotations

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellmodels.models.build import backbone_layers
from cellmodels.training.head import balanced_rows

from ..helpers import fit, synthetic_cells, tiny

keras = pytest.importorskip("keras")
HOW = {"epochs": 1, "transfer_epochs": 0, "head": "balanced", "mixup": 0.2}


def test_every_class_is_seen_equally_often_and_its_images_too():
    labels = np.array([0] * 50 + [1] * 7 + [2] * 3)
    rows = balanced_rows(labels, seed=1, epoch=2)
    assert np.bincount(labels[rows]).tolist() == [20, 20, 20]
    assert np.ptp(np.bincount(rows, minlength=60)[50:57]) == 1
    assert (balanced_rows(labels, 1, 3) != rows).any()
    assert (balanced_rows(labels, 1, 2) == rows).all()


def test_only_the_head_changes_and_the_same_call_gives_the_same_model(tmp_path):
    plain, one, two, again = tiny(), tiny(), tiny(seed=7), tiny(seed=8)
    data = {"train": synthetic_cells()}
    fit(plain, data, **{**HOW, "head": "trained"})
    done = fit(one, data, out=tmp_path, **HOW)
    layers = len(backbone_layers(plain))
    for number, (a, b) in enumerate(zip(plain.layers, one.layers, strict=True)):
        for before, after in zip(a.get_weights(), b.get_weights(), strict=True):
            assert np.array_equal(before, after) == (number < layers)
    saved = cm.load(done.path)
    assert saved.card.settings["head"] == "balanced"
    # Interrupted before the model was saved, and then called once more.
    done.path.unlink()
    fit(two, data, out=tmp_path, **HOW)
    fit(again, data, out=tmp_path, **HOW)
    for model in (saved, two, again):
        for a, b in zip(one.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_balanced_head_predicts_the_rare_class_more_often():
    random = np.random.default_rng(0)
    labels = np.array([0] * 90 + [1] * 6)
    images = random.integers(60, 190, (96, 8, 8, 3)) + 12 * labels[:, None, None, None]
    cells = cp.Dataset.from_arrays(images.astype(np.uint8), labels, ["many", "few"])

    def predicted(head):
        model = cm.build("baseline_cnn", 2, (8, 8, 3), weights=None)
        cm.fit(model, cells, epochs=2, head=head, progress=False)
        return int(cm.predict(model, cells).argmax(axis=1).sum())

    assert predicted("trained") < 3
    assert predicted("balanced") >= 6
