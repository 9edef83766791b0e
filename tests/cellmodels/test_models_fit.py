"""Training: phases, checkpoints that go on, what is refused before it starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellmodels import train as training
from cellprep import CellprepError
from cellprep.synthetic import CLASS_NAMES, draw_cells

keras = pytest.importorskip("keras")
SETTINGS = {"epochs": 3, "transfer_epochs": 2, "batch_size": 16, "class_weight": "balanced"}


def cells():
    images, labels = draw_cells([9, 7, 8, *[0] * 5], side=16, seed=5)
    return cp.Dataset.from_arrays(images, labels, class_names=CLASS_NAMES[:3])


def parts():
    return cp.split(cells(), train=0.7, val=0.3)


def tiny(seed=0, **settings):
    """Convolution, batch normalisation and dropout: everything that has a state."""
    from keras import layers

    from cellmodels.backbones import _head, _penalise, _seeded

    with _seeded(seed):
        x = inputs = keras.Input((16, 16, 3))
        x = layers.Rescaling(1 / 255)(x)
        for _ in range(2):
            x = layers.Conv2D(4, 3, strides=2, name=None)(x)
            x = layers.BatchNormalization(momentum=0.5)(x)
        outputs = _head(layers.Flatten()(x), 3, 8, 0.3)
        model = keras.Model(inputs, outputs, name="tiny")
    for layer in model.layers:
        _penalise(layer, settings.get("l2", 1e-4))
    for layer in model.layers[: settings.get("frozen", 0)]:
        layer.trainable = False
    return model


def fit(model=None, data=None, **settings):
    data = data or parts()
    model = model or tiny()
    chosen = {**SETTINGS, "progress": False, **settings}
    return cm.fit(model, data["train"], data.get("val"), **chosen)


def weights_by_layer(model):
    return {layer.name: [w.copy() for w in layer.get_weights()] for layer in model.layers}


def changed(before, after):
    return [
        name
        for name, arrays in before.items()
        if not all(np.array_equal(a, b) for a, b in zip(arrays, after[name], strict=True))
    ]


# -- phases ------------------------------------------------------------------------------------


def test_transfer_trains_the_head_alone_and_batch_norm_keeps_its_statistics():
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
def test_it_learns(optimizer):
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


def test_the_weights_are_those_of_the_best_epoch(tmp_path):
    data, model = parts(), tiny()
    done = fit(model, data, learning_rate=0.5, schedule="constant", epochs=5, out=tmp_path)
    found = done.history["val_cross_entropy"]
    assert done.best_epoch == int(np.argmin(found)) < 6
    images, labels = data["val"].to_arrays()
    for each in (model, cm.load(done.path)):
        given = cm.predict(each, images)[np.arange(len(labels)), labels]
        assert -np.log(given).mean() == pytest.approx(min(found), rel=1e-4)


def test_epochs_of_both_phases_are_compared_without_their_penalties():
    done = fit(tiny(l2=10.0), learning_rate=1e-3, epochs=2)
    loss, plain = done.history["val_loss"], done.history["val_cross_entropy"]
    assert loss[2] > loss[1] + 10  # fine-tuning adds the kernels of the backbone
    assert done.best_epoch == int(np.argmin(plain))


def test_early_stopping_counts_epochs_of_fine_tuning():
    still = {"learning_rate": 0.0, "transfer_learning_rate": 0.0, "weight_decay": 0.0}
    done = fit(tiny(frozen=6), epochs=9, patience=2, **still)
    assert done.stopped_early
    assert (done.best_epoch, len(done.history["loss"])) == (0, 2 + 2)


def test_class_weights_are_those_of_cellprep():
    from cellmodels.loader import Batches

    train = parts()["train"]
    batches = Batches(train, 5, weights=cp.class_weights(train.labels))
    seen = [batches[k] for k in range(len(batches))]
    labels, weights = (np.concatenate([b[k] for b in seen]) for k in (1, 2))
    totals = np.bincount(labels, weights)
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)
    assert seen[0][0].dtype == np.uint8
    assert len(seen[-1][0]) == len(train) % 5 or 5


def test_the_order_of_images_hangs_on_seed_epoch_and_row_alone():
    data = cells()
    turned = cp.Dataset.from_arrays(
        data.images[::-1], data.labels[::-1], data.class_names, ids=data.ids[::-1]
    )
    one, two = data.plan.rows.shuffled(3, 1), turned.plan.rows.shuffled(3, 1)
    np.testing.assert_array_equal(data.ids[one], turned.ids[two])
    assert (data.plan.rows.shuffled(3, 2) != one).any()
    assert (data.plan.rows.shuffled(4, 1) != one).any()


# -- going on ----------------------------------------------------------------------------------


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def whole_run():
    model = tiny()
    return fit(model), model.get_weights()


@pytest.mark.parametrize("epochs", [1, 3])  # within transfer, within fine-tuning
def test_a_stopped_training_goes_on_with_the_same_history(tmp_path, monkeypatch, epochs, whole_run):
    write, written = training.Checkpoint.write, []

    def stopping(self, state, model):
        write(self, state, model)
        written.append(state.epoch)
        if state.epoch == epochs:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(training.Checkpoint, "write", stopping)
        with pytest.raises(StoppedError):
            fit(out=tmp_path)
    model = tiny(seed=9)  # what it starts from does not matter: the checkpoint has it all
    done = fit(model, out=tmp_path)
    assert written[-1] == done.resumed_at == epochs
    assert done.history == whole_run[0].history
    for a, b in zip(model.get_weights(), whole_run[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert done.path is not None
    assert done.path.is_file()
    stamp = done.path.stat().st_mtime_ns
    again = fit(out=tmp_path)
    assert (again.history, again.resumed_at) == (done.history, 5)
    assert done.path.stat().st_mtime_ns == stamp


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_models_fit as t
from pathlib import Path
replace, count = Path.replace, []
def killing(self, target):
    count.append(self)
    if len(count) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = killing
t.fit(out={out!r})
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_training_killed_while_it_writes_goes_on(tmp_path, whole_run):
    code = KILLED.format(tests=str(Path(__file__).parent), out=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-800:]
    assert not (tmp_path / "model.keras").exists()
    done = fit(out=tmp_path)
    assert done.resumed_at == 2  # between the phases
    assert done.history == whole_run[0].history


def test_a_folder_of_another_training_is_refused(tmp_path):
    fit(out=tmp_path, epochs=1, transfer_epochs=0)
    short = {"out": tmp_path, "epochs": 1, "transfer_epochs": 0}
    for model, settings, said in [
        (tiny(), {"epochs": 2}, "settings epochs 1 there, 2 here"),
        (cm.build("baseline_cnn", 3, (16, 16, 3)), {}, "model name tiny there, baseline_cnn here"),
        (tiny(frozen=3), {}, "other layers of the model"),
    ]:
        with pytest.raises(CellprepError, match=said):
            fit(model, **{**short, **settings})
    images, labels = cells().to_arrays()
    less = cp.Dataset.from_arrays(images[:-1], labels[:-1], CLASS_NAMES[:3])
    with pytest.raises(CellprepError, match="other rows of the data"):
        fit(data={**parts(), "train": cp.split(less, train=0.7, val=0.3)["train"]}, **short)
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(CellprepError, match="cannot be read as a checkpoint"):
        fit(**short)
    (tmp_path / "checkpoint.npz").unlink()
    with pytest.raises(CellprepError, match="without its checkpoint"):
        fit(**short)


# -- what is read and written ------------------------------------------------------------------


def test_it_reads_what_cellprep_wrote_and_the_model_knows_it(tmp_path):
    data = parts()
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
    assert {"keras", "tensorflow", "python", "cellprep"} <= set(model.card.versions)
    report = cm.evaluate(model, tmp_path / "v.npz", train=tmp_path / "train", progress=False)
    assert report.class_names == CLASS_NAMES[:3]
    with pytest.raises(CellprepError, match="trained on images after Crop, and those of data"):
        cm.evaluate(model, data["val"].then(cp.Recipe([cp.Dedupe()])(data["val"])._move))


def test_what_is_no_model_of_ours_is_refused(tmp_path):
    tiny().save(tmp_path / "bare.keras")
    (tmp_path / "text.keras").write_text("no")
    for name in ("bare.keras", "text.keras"):
        with pytest.raises(CellprepError, match="not a model that cellmodels saved"):
            cm.load(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "half.keras", "w") as archive:
        archive.writestr("cellmodels.json", json.dumps(vars(cm.Card("tiny", ("a",)))))
    with pytest.raises(CellprepError, match="cannot be read by this Keras"):
        cm.load(tmp_path / "half.keras")


# -- refused before it starts ------------------------------------------------------------------


def test_leaks_are_refused_by_pixels_and_by_ids():
    data = parts()
    images, labels = data["val"].to_arrays()
    with pytest.raises(CellprepError, match="of val stand in train as well"):
        fit(data={"train": cells(), "val": data["val"]})
    copies = cp.Recipe([cp.Jitter()], 1)(data["val"])
    with pytest.raises(CellprepError, match="source images of test have copies in val"):
        cm.fit(tiny(), data["train"], data["val"], test=copies, epochs=1)
    with pytest.raises(CellprepError, match="of data stand in train as well"):
        cm.evaluate(tiny(), data["val"], train=cells(), progress=False)
    short = {"epochs": 1, "transfer_epochs": 0}
    assert fit(data={"train": cells(), "val": data["val"]}, allow_leaks=True, **short).history
    # Row numbers of two arrays have nothing to do with each other.
    other = cp.Dataset.from_arrays(255 - images, labels, CLASS_NAMES[:3])
    assert fit(data={"train": data["train"], "val": other}, **short).history


def bad(**changes):
    images, labels = cells().to_arrays()
    names = CLASS_NAMES[:3]
    train = cp.Dataset.from_arrays(images, labels, names)
    return {"train": train, **changes}


def few(keep, names=CLASS_NAMES[:3], side=16):
    images, labels = draw_cells([3, 3, 3, *[0] * 5], side=side, seed=8)
    return cp.Dataset.from_arrays(images[keep(labels)], labels[keep(labels)], names)


@pytest.mark.parametrize(
    ("data", "settings", "said"),
    [
        (
            lambda: bad(val=few(lambda k: k < 2)),
            {},
            f"class '{CLASS_NAMES[2]}' has no image in val",
        ),
        (lambda: bad(val=few(lambda k: k < 3, ("a", "b", "c"))), {}, "val has the classes a, b, c"),
        (lambda: bad(val=few(lambda k: k < 3, side=20)), {}, "20x20, and the model takes 16x16"),
        (lambda: bad(val=few(lambda k: k < 3, "abcd")), {}, "val has 4 classes, and the model"),
        (lambda: {"train": "nowhere"}, {}, "there is no file or folder 'nowhere'"),
        (lambda: {"train": 3}, {}, "`train` must be a path"),
        (lambda: {"train": (np.zeros((2, 16, 16, 3), "u1"), [0, 2])}, {}, "pass `class_names`"),
        (
            lambda: {"train": (np.zeros((2, 16, 16, 3)), [0, 1])},
            {},
            "train: `images` must be uint8",
        ),
        (bad, {"epoch": 3}, "did you mean 'epochs'"),
        (bad, {"epochs": 0, "transfer_epochs": 0}, "nothing is trained"),
        (bad, {"optimizer": "adam"}, "did you mean 'adamw'"),
        (bad, {"patience": 3}, "pass a `val` set too"),
        (bad, {"batch_size": 0}, "`batch_size` must be"),
        (bad, {"seed": -1}, "`seed` must be"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(monkeypatch, data, settings, said):
    monkeypatch.setattr(training, "_run", None)  # nothing is trained
    with pytest.raises(CellprepError, match=said) as error:
        fit(data=data(), **settings)
    assert "\n" not in str(error.value)


def test_a_loss_that_overflows_is_said():
    with pytest.raises(CellprepError, match="the loss is nan in epoch"):
        fit(learning_rate=10.0, transfer_epochs=0, epochs=3, schedule="constant", model=broken())


def broken():
    model = tiny()
    model.get_layer("head_scores").bias.assign(np.full(3, np.nan))
    return model
