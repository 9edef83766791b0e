"""Models as ONNX files, and model cards."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import cellmodels as cm
from cellprep import CellprepError
from cellprep.errors import MissingExtraError

from ..helpers import fit, run, tiny

keras = pytest.importorskip("keras")


def outputs_of(path, images):
    session = pytest.importorskip("onnxruntime").InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    assert (given.name, given.type) == ("images", "tensor(uint8)")
    (found,) = session.run(None, {"images": images})
    return found, session.get_modelmeta().custom_metadata_map


def pictures(side, n=100):
    return np.random.default_rng(7).integers(0, 256, (n, side, side, 3), np.uint8)


@pytest.mark.parametrize(("name", "side"), [("baseline_cnn", 16), ("efficientnet_lite0", 32)])
def test_onnx_gives_the_outputs_of_keras_for_100_images(tmp_path, name, side):
    pytest.importorskip("tf2onnx")
    model, images = cm.build(name, 3, (side, side, 3), weights=None), pictures(side)

    path = cm.to_onnx(model, tmp_path / "model.onnx")

    expected = model.predict(images.astype(np.float32), verbose=0)
    found, _ = outputs_of(path, images)
    assert expected.std(axis=0).max() > 1e-3  # outputs differ between images
    assert np.abs(found - expected).max() < 1e-4


def test_a_model_in_mixed_precision_is_written_in_float32(tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx")
    monkeypatch.setattr("cellmodels.models.build.dtype_policy", _mixed)
    mixed = cm.build("baseline_cnn", 3, (16, 16, 3), weights=None)
    monkeypatch.undo()
    same = cm.build("baseline_cnn", 3, (16, 16, 3), weights=None)
    same.set_weights(mixed.get_weights())
    images = pictures(16)

    found, _ = outputs_of(cm.to_onnx(mixed, tmp_path / "model.onnx"), images)

    assert mixed.layers[2].compute_dtype == "bfloat16"
    expected = same.predict(images.astype(np.float32), verbose=0)
    assert np.abs(found - expected).max() < 1e-4


def _mixed(_):
    return _Policy()


class _Policy:
    def __enter__(self):
        keras.config.set_dtype_policy("mixed_bfloat16")

    def __exit__(self, *_):
        keras.config.set_dtype_policy("float32")


def test_a_saved_model_is_exported_with_its_class_names(tmp_path, trained):
    pytest.importorskip("tf2onnx")
    model, path, _ = trained

    assert "model.onnx" in run("export", path, "--onnx", tmp_path / "model.onnx")

    found, known = outputs_of(tmp_path / "model.onnx", pictures(16, 5))
    assert json.loads(known["class_names"]) == list(model.card.class_names)
    assert float(known["temperature"]) == model.card.temperature
    assert found.shape == (5, 3)


def test_without_its_libraries_and_for_other_endings_export_is_refused(tmp_path, monkeypatch):
    with pytest.raises(CellprepError, match=r"ends in \.onnx"):
        cm.to_onnx(tiny(), tmp_path / "model.h5")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(MissingExtraError, match=r"cellprep\[export\]"):
        cm.to_onnx(tiny(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_trained_model_has_a_card_beside_it(tmp_path):
    short = {"epochs": 2, "transfer_epochs": 0}
    for name in ("a", "b"):
        done = fit(out=tmp_path / name, **short)
    text = (tmp_path / "a/model-card.md").read_text("utf-8")

    card = cm.load_card(done.path)
    assert text == (tmp_path / "b/model-card.md").read_text("utf-8") == cm.model_card(card)
    assert text == cm.model_card(done.path)
    with pytest.raises(CellprepError, match="without a card"):
        cm.model_card(tiny())
    assert all(f"| {n} | {name} |" in text for n, name in enumerate(card.class_names))
    best = card.history["val_accuracy"][card.best_epoch]
    assert f"validation accuracy: {best:.4f}" in text


def test_class_names_cannot_add_markup_to_a_model_card():
    text = cm.model_card(cm.Card("tiny", ("<script>alert(1)</script>", "a|b")))

    assert "<script>" not in text
    assert r"| 1 | a\|b |" in text
