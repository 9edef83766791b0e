"""Training on fresh copies: epoch e sees `train.epoch(e)`, also after an interruption."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellmodels.training import batches as batches_module
from cellmodels.training.checkpoint import Checkpoint
from cellprep import CellprepError

from ..comparison.example import TABLE
from ..helpers import NAMES, fit, pictures, run, splits, tiny

keras = pytest.importorskip("keras")
RECIPE = cp.Recipe([cp.Balance(), cp.RandAugment(copies=1, keep_originals=False)], seed=1)


class StoppedError(Exception):
    pass


def augmented() -> dict[str, cp.Dataset]:
    """A training set that is augmented while training, and a validation set."""
    data = splits()
    return {**data, "train": RECIPE(data["train"])}


@pytest.fixture
def seen(monkeypatch):
    """The training images of each epoch, in the order of their rows."""
    epochs: list[np.ndarray] = []
    plain = batches_module.Batches

    class Watched(plain):
        def __init__(self, dataset, size, order=None, *others, **settings):
            super().__init__(dataset, size, order, *others, **settings)
            self.images = None
            if order is not None:
                self.images = np.zeros(dataset.shape, np.uint8)
                epochs.append(self.images)

        def __getitem__(self, number):
            batch = super().__getitem__(number)
            if self.images is not None:
                start = number * self._starts.step
                self.images[self._order[start : start + len(batch[0])]] = batch[0]
            return batch

    monkeypatch.setattr(batches_module, "Batches", Watched)
    return epochs


def test_each_epoch_has_its_own_copies_through_both_phases_and_an_interruption(
    tmp_path, monkeypatch, seen
):
    short = {"fresh": True, "epochs": 1, "transfer_epochs": 1, "batch_size": 32}
    model = tiny()
    whole = fit(model, augmented(), **short)
    expected = [augmented()["train"].epoch(epoch).images[:] for epoch in range(2)]
    for images, epoch in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(images, epoch)
    assert (seen[0] != seen[1]).any()
    write = Checkpoint.write

    def stopping(self, state, model):
        write(self, state, model)
        if state.epoch == 1:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", stopping)
        with pytest.raises(StoppedError):
            fit(data=augmented(), **short, out=tmp_path)
    again = tiny(seed=9)
    done = fit(again, augmented(), **short, out=tmp_path)
    assert (done.resumed_at, done.history) == (1, whole.history)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    card = cm.load_card(tmp_path / "model.keras")
    assert card.settings["fresh"]
    assert [step["step"] for step in card.recipe] == ["split", "Balance", "RandAugment"]
    with pytest.raises(CellprepError, match="settings fresh is True there, the default here"):
        fit(data=augmented(), **{**short, "fresh": False}, out=tmp_path)


def test_images_that_never_vary_are_refused_in_one_line(tmp_path):
    cp.write(augmented()["train"], tmp_path / "train", progress=False)
    refused = {
        "no random step changes those of train; apply one": splits()["train"],
        f"copies in '{tmp_path / 'train'}' are fixed; apply one": tmp_path / "train",
    }
    for message, train in refused.items():
        with pytest.raises(CellprepError, match=message) as error:
            fit(data={"train": train}, fresh=True)
        assert "\n" not in str(error.value)
    with pytest.raises(CellprepError, match="`fresh` must be true or false, got 2"):
        fit(data=augmented(), fresh=2)


@pytest.fixture
def fitted(monkeypatch):
    """The arguments of every call of `fit` by the commands, which then end."""
    calls = []

    def recorded(model, train, val, **settings):
        calls.append((train, val, settings))
        raise StoppedError

    command = importlib.import_module("cellmodels.cli.train")  # the package has `train` itself
    monkeypatch.setattr(command, "fit", recorded)
    monkeypatch.setattr("cellmodels.comparison.compare.fit", recorded)
    return calls


@pytest.mark.slow
def test_the_command_augments_training_images_and_prepares_the_others(
    tmp_path, monkeypatch, fitted
):
    monkeypatch.chdir(tmp_path)
    for name, split in splits().items():
        cp.write(split, name, progress=False)
    recipe = cp.Recipe([cp.Balance(), cp.Crop(12, resize_to=16), cp.RandAugment()], seed=3)
    recipe.to_toml("r.toml")
    learn = ("--model", "baseline_cnn", "--weights", "none", "--epochs", 2)
    plan = json.loads(
        run("train", "train", "val", "m", "--fresh", "r.toml", *learn, "--dry-run", "--json")
    )
    prepared = cp.Recipe([cp.Crop(12, resize_to=16)], seed=3)
    expected = recipe(cp.read("train")), prepared(cp.read("val"))
    assert plan["images"] == {"train": len(expected[0]), "val": len(expected[1])}
    run("train", "train", "val", "m", "--fresh", "r.toml", *learn, code=1)
    train, val, settings = fitted[0]
    assert settings["fresh"]
    assert train.provenance() == expected[0].provenance()
    assert val.provenance() == expected[1].provenance()
    Path("r.toml").write_text('[[steps]]\nstep = "RandAugment"\ncopeis = 3\n')
    refused = run("train", "train", "val", "x", "--fresh", "r.toml", *learn, code=2)
    assert "RandAugment has no setting 'copeis'" in refused


def test_a_row_of_a_comparison_trains_on_fresh_copies_that_are_not_written(
    tmp_path, monkeypatch, fitted
):
    monkeypatch.chdir(tmp_path)
    images, labels = pictures(30)
    np.savez("cells.npz", images=images, labels=labels, class_names=np.array(NAMES))
    table, rows = TABLE.split("[[rows]]", 1)
    rows = rows.split("[[rows]]")[1].replace("epochs = 2", "epochs = 2, fresh = true")
    table = table.replace("Balance", "Jitter")
    Path("t.toml").write_text(f"{table}[[rows]]{rows}")
    with pytest.raises(StoppedError):
        cm.compare("t.toml", "out", progress=False)
    train, val, settings = fitted[0]
    assert settings["fresh"]
    assert train.varies
    assert val.provenance()["path"].endswith("val")
    assert sorted(path.name for path in Path("out/data").glob("*/*/*")) == ["test", "val"]
