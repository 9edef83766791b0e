"""Saliency maps: gradients of the class score."""

from __future__ import annotations

import numpy as np
import pytest

import cellmodels as cm
from cellprep import CellprepError

from ..helpers import pictures

keras = pytest.importorskip("keras")


def test_saliency_is_the_gradient_of_the_class_score(trained):
    model, _, _ = trained
    images, _ = pictures(2, seed=4)
    labels = np.array([1, 0])
    maps = cm.saliency(model, images, labels)
    assert maps.shape == (2, 16, 16)
    assert maps.dtype == np.float32
    scores = keras.Model(model.input, model.get_layer("head_scores").output)
    slopes = np.zeros(3)
    for channel in range(3):
        low, high = images.astype("f4"), images.astype("f4")
        low[0, 5, 9, channel] -= 0.5
        high[0, 5, 9, channel] += 0.5
        up, down = (scores.predict_on_batch(x)[0, 1] for x in (high, low))
        slopes[channel] = abs(up - down)
    assert maps[0, 5, 9] == pytest.approx(slopes.max(), rel=0.05)
    # The batch size does not matter, and the default class is the predicted one.
    np.testing.assert_allclose(cm.saliency(model, images, labels, batch_size=1), maps, rtol=1e-4)
    predicted = cm.predict(model, images).argmax(axis=1)
    np.testing.assert_array_equal(cm.saliency(model, images), cm.saliency(model, images, predicted))
    with pytest.raises(CellprepError, match="`labels` must be in 0 to 2, got 3"):
        cm.saliency(model, images, [0, 3])


def test_share_inside_is_the_fraction_of_saliency_in_the_mask():
    maps = np.arange(12.0).reshape(1, 3, 4)
    mask = np.zeros((1, 3, 4), bool)
    mask[0, 2] = True
    np.testing.assert_allclose(cm.share_inside(maps, mask), [(8 + 9 + 10 + 11) / 66])
    np.testing.assert_allclose(cm.share_inside(maps, mask) + cm.share_inside(maps, ~mask), 1)
    assert np.isnan(cm.share_inside(maps * 0, mask)).all()
    with pytest.raises(CellprepError, match="`masks` must have shape"):
        cm.share_inside(maps, mask[:, :2])
    with pytest.raises(CellprepError, match="0 or more"):
        cm.share_inside(-maps, mask)


def test_overlay_saves_a_figure(trained, tmp_path):
    pytest.importorskip("matplotlib")
    model, _, _ = trained
    images, _ = pictures(3)
    masks = np.zeros((3, 16, 16), bool)
    masks[:, 4:12, 4:12] = True
    cm.overlay(tmp_path / "s.png", images, cm.saliency(model, images), masks=masks)
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
