"""Saved models: their card, and files that are refused."""

from __future__ import annotations

import json
import zipfile

import pytest

import cellmodels as cm
import cellprep as cp
from cellprep import CellprepError
from cellprep.synthetic import CLASS_NAMES

from ..helpers import fit, splits, tiny

keras = pytest.importorskip("keras")


def test_a_saved_model_knows_the_recipe_and_classes_of_its_data(tmp_path):
    data = splits()
    recipe = cp.Recipe([cp.Balance(), cp.Crop(12, resize_to=16)])
    cp.write(recipe(data["train"]), tmp_path / "train", progress=False)
    cp.write(cp.Recipe([cp.Crop(12, resize_to=16)])(data["val"]), tmp_path / "v.npz")
    short = {"epochs": 1, "transfer_epochs": 0, "out": tmp_path / "m"}
    done = fit(data={"train": tmp_path / "train", "val": tmp_path / "v.npz"}, **short)
    model = cm.load(done.path)
    manifest = json.loads((tmp_path / "train" / "dataset.json").read_text())
    assert list(model.card.recipe) == manifest["recipe"]
    assert model.card.class_names == CLASS_NAMES[:3]
    assert model.card.history == done.history
    assert model.card.profile == cp.profile(tmp_path / "train")
    assert {"keras", "tensorflow", "python", "cellprep"} <= set(model.card.versions)
    report = cm.evaluate(model, tmp_path / "v.npz", train=tmp_path / "train", progress=False)
    assert report.class_names == CLASS_NAMES[:3]
    with pytest.raises(
        CellprepError, match="were prepared with Crop, but those of data with none of these"
    ):
        cm.evaluate(model, cp.Recipe([cp.Dedupe()])(data["val"]))


def test_a_file_that_cellmodels_did_not_save_is_refused(tmp_path):
    tiny().save(tmp_path / "bare.keras")
    (tmp_path / "text.keras").write_text("no")
    for name in ("bare.keras", "text.keras"):
        with pytest.raises(CellprepError, match="not a model that cellmodels saved"):
            cm.load(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "half.keras", "w") as archive:
        archive.writestr("cellmodels.json", json.dumps(vars(cm.Card("tiny", ("a",)))))
    with pytest.raises(CellprepError, match="cannot be read by this Keras"):
        cm.load(tmp_path / "half.keras")
