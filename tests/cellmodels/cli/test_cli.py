"""The command line `cellmodels`."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import cellprep as cp

from ..helpers import NAMES, pictures, run

keras = pytest.importorskip("keras")


@pytest.mark.parametrize("command", ["train", "evaluate", "saliency", "compare", "predict"])
def test_help_fits_a_screen_and_has_an_example(command):
    text = run(command, "--help")
    assert len(text.splitlines()) <= 40
    assert re.search(rf"Example:\s+cellmodels {command} ", text)


def test_commands_from_training_to_prediction(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = pictures(48)
    cells = cp.Dataset.from_arrays(images, labels, NAMES)
    for name, split in cp.split(cells, train=0.6, val=0.2, test=0.2).items():
        cp.write(split, name, progress=False)
    learn = ("--model", "baseline_cnn", "--epochs", 12, "--learning-rate", 2e-3)
    learn = (*learn, "--batch-size", 8)
    plan = json.loads(run("train", "train", "val", "m", *learn, "--dry-run", "--json"))
    assert "dry run, nothing was written" in run("train", "train", "val", "m", *learn, "--dry-run")
    assert not Path("m").exists()
    done = json.loads(run("train", "train", "val", "m", *learn, "--test", "test", "--json"))
    assert (plan["images"], plan["epochs"], plan["steps"]) == ({"train": 30, "val": 9}, 12, 4)
    size = sum(file.stat().st_size for file in Path("m").iterdir())
    assert plan["bytes"] == pytest.approx(size, rel=0.02)
    plan = json.loads(run("train", "train", "val", "m", *learn, "--dry-run", "--json"))
    assert (plan["resumed_at"], plan["seconds"]) == (12, 0.0)
    assert done["path"] == str(Path("m/model.keras"))
    assert "of 12, accuracy" in run("train", "train", "val", "m", *learn)
    found = json.loads(run("evaluate", done["path"], "test", "--train", "train", "--json"))
    assert found["clean"]["images"] == 9
    assert found["clean"]["accuracy"] > 0.8
    predicted = run("predict", done["path"], "test").splitlines()
    assert predicted[0] == "id,copy,class,probability"
    assert len(predicted) == 10
    assert len(json.loads(run("predict", done["path"], "test", "--json"))) == 9
    if find_spec("matplotlib"):
        seen = json.loads(run("saliency", done["path"], "test", "s.png", "--images", 3, "--json"))
        assert Path("s.png").is_file()
        assert seen["images"] == 3
    for arguments, message in [
        (("train", "train", "train", "x", *learn), "also occur in train"),
        (("train", "train", "val", "m", *learn, "--seed", 1), "settings seed is 0 there, 1 here"),
        (("train", "train", "val", "x", "--model", "baseline"), "did you mean 'baseline_cnn'?"),
        (("train", "train", "val", "x", "--mixup", -1), "`--mixup` must be a number in [0, 100]"),
        (("train", "train", "val", "x", "--cutmix", -1), "`--cutmix` must be a number in [0, 100]"),
        (("train", "train", "val", "x", "--label-smoothing", 1), "`--label-smoothing` must be"),
        (("train", "train", "val", "x", "--head", "balance"), "did you mean 'balanced'?"),
        (("train", "train", "val", "x", "--frozen", "half"), "`--frozen` must be"),
        (("evaluate", done["path"], "train", "--train", "train"), "also occur in train"),
        (("evaluate", "no.keras", "test"), "there is no model file 'no.keras'"),
        (("predict", "test/dataset.json", "test"), "not a model that cellmodels saved"),
        (("saliency", done["path"], "test", "s.png", "--images", 0), "`--images` must be"),
        (("compare", "no.toml", "out"), "there is no table 'no.toml'"),
        (("trian",), "did you mean 'train'"),
    ]:
        error = run(*arguments, code=2)
        assert error.startswith("error: "), error
        assert error.count("\n") == 1
        assert message in error
