"""What is measured of a trained model, and what it looks at; on both backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellmodels as cm
import cellprep as cp
from cellprep import CellprepError

keras = pytest.importorskip("keras")
NAMES = ("dark", "light", "red")


def pictures(n=12, side=16, seed=0):
    """Three classes that colour alone tells apart."""
    labels = np.arange(n) % 3
    images = np.random.default_rng(seed).integers(0, 60, (n, side, side, 3), dtype=np.uint8)
    images[labels == 1] += 190
    images[labels == 2, ..., 0] += 190
    return images, labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    images, labels = pictures(48)
    data = cp.Dataset.from_arrays(images, labels, NAMES)
    model = cm.build("baseline_cnn", 3, (16, 16, 3), weights=None)
    out = tmp_path_factory.mktemp("trained")
    settings = {"epochs": 12, "learning_rate": 2e-3, "batch_size": 8, "progress": False}
    done = cm.fit(model, data, pictures(12, seed=1), out=out, **settings)
    return model, done.path, data


# -- scores ------------------------------------------------------------------------------------


def test_scores_by_hand():
    given = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55], [0.95, 0.05]]
    s = cm.score([0, 0, 1, 0, 1], given, class_names=["a", "b"])
    assert s.confusion == ((2, 1), (1, 1))
    assert s.accuracy == s.recall == 3 / 5
    assert s.precision == pytest.approx((3 * 2 / 3 + 2 * 1 / 2) / 5)
    assert s.macro_recall == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert s.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)
    # Bins (0.87, 0.93], (0.73, 0.8], (0.67, 0.73], (0.53, 0.6], (0.93, 1]: one image each.
    assert s.ece == pytest.approx((0.1 + 0.2 + 0.3 + 0.55 + 0.95) / 5)
    assert [b.images for b in s.reliability] == [1] * 5
    assert [c.images for c in s.classes] == [3, 2]


@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 10**6))
def test_scores_hang_together(classes, n, seed):
    rng = np.random.default_rng(seed)
    labels, given = rng.integers(0, classes, n), rng.dirichlet(np.ones(classes), n)
    names = [f"class {k}" for k in range(classes)]
    s = cm.score(labels, given, class_names=names)
    order = rng.permutation(n)
    assert cm.score(labels[order], given[order], class_names=names).confusion == s.confusion
    confusion = np.array(s.confusion)
    np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(labels, minlength=classes))
    assert s.accuracy == pytest.approx(np.trace(confusion) / n)
    assert s.recall == pytest.approx(s.accuracy)
    assert sum(b.images for b in s.reliability) == n
    assert all(b.low < b.confidence <= b.high + 1e-12 for b in s.reliability)
    sure = np.average(
        [b.confidence for b in s.reliability], weights=[b.images for b in s.reliability]
    )
    assert sure == pytest.approx(given.max(axis=1).mean())
    assert abs(sure - s.accuracy) - 1e-12 <= s.ece <= 1


@pytest.mark.parametrize(
    ("labels", "given", "said"),
    [
        ([0, 2], [[0.5, 0.5]] * 2, "`labels` must be in 0 to 1, got 2"),
        ([0, -1], [[0.5, 0.5]] * 2, "`labels` must be in 0 to 1, got -1"),
        ([0], [[0.5, 0.5]] * 2, r"`probabilities` must be \(1, 2\)"),
        ([0.0], [[0.5, 0.5]], "whole numbers"),
        ([0], [[3.0, 0.5]], "sum to 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(labels, given, said):
    with pytest.raises(CellprepError, match=said):
        cm.score(labels, given, class_names=["a", "b"])


def test_scores_need_no_keras_and_the_package_is_light():
    heavy = ("keras", "tensorflow", "jax", "sklearn", "matplotlib", "pandas", "numba")
    code = (
        "import sys, cellmodels as cm, cellmodels.cli\n"
        f"print([n for n in {heavy} if n in sys.modules])\n"
        "cm.score([0, 1], [[1, 0], [0, 1]], class_names='ab')\n"
        "print('keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


# -- reports -----------------------------------------------------------------------------------


def test_a_report_of_clean_and_shifted_images(trained, tmp_path, monkeypatch):
    model, path, data = trained
    asked = []

    def corrupt(**settings):
        asked.append(settings)
        return cp.Jitter(zoom=0.5)

    monkeypatch.setattr(cp, "Corrupt", corrupt, raising=False)
    test = pictures(9, seed=2)
    for each in (model, cm.load(path)):
        report = cm.evaluate(
            each, test, shifted=("heavy", "microscopy"), severity=2, train=data, progress=False
        )
        assert report.clean.accuracy == 1
        assert set(report.shifted) == {"heavy", "microscopy"}
    assert asked[:2] == [{"suite": "heavy"}, {"suite": "microscopy", "severity": 2}]
    report.to_json(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["clean"]["confusion"] == [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    assert saved["class_names"] == list(NAMES)
    assert "microscopy" in report.table()
    assert "no mistakes on the clean set" in report.table()
    pytest.importorskip("matplotlib")
    report.figure(tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(CellprepError, match="cannot be drawn"):
        report.figure(tmp_path / "report.xyz")


def test_shifted_sets_may_be_handed_in(trained):
    model, path, _ = trained
    test = pictures(9, seed=2)
    spoilt = cm.shift(cp.Dataset.from_arrays(*test, NAMES), "heavy", seed=3)
    asked = cm.evaluate(model, test, shifted=("heavy",), seed=3, progress=False)
    handed = cm.evaluate(model, test, shifted={"theirs": spoilt}, progress=False)
    assert handed.shifted["theirs"] == asked.shifted["heavy"]
    wrong = cp.Dataset.from_arrays(*test, NAMES[::-1])
    with pytest.raises(CellprepError, match="theirs has the classes red, light, dark, not"):
        cm.evaluate(model, test, shifted={"theirs": wrong}, progress=False)
    with pytest.raises(CellprepError, match="cannot be called 'clean'"):
        cm.evaluate(model, test, shifted={"clean": spoilt}, progress=False)
    masked = cp.Recipe([cp.KMeansMask()])(spoilt)
    with pytest.raises(CellprepError, match="those of theirs went through KMeansMask"):
        cm.evaluate(cm.load(path), test, shifted={"theirs": masked}, progress=False)


@pytest.mark.skipif(not hasattr(cp, "Corrupt"), reason="this cellprep has no Corrupt")
def test_shifting_is_cellpreps_corrupt():
    images, labels = pictures(6, side=32)
    cells = cp.Dataset.from_arrays(images, labels, NAMES)
    for suite in ("heavy", "microscopy"):
        wanted = cp.Recipe([cp.Corrupt(suite=suite)], 7)(cells).to_arrays()[0]
        np.testing.assert_array_equal(cm.shift(cells, suite, seed=7).to_arrays()[0], wanted)
        assert (wanted != images).any()


def test_labels_are_never_read_in_another_order(trained):
    model, _, _ = trained
    images, labels = pictures(6)
    turned = cp.Dataset.from_arrays(images, labels, NAMES[::-1])
    with pytest.raises(CellprepError, match="has the classes red, light, dark, not dark, light"):
        cm.evaluate(model, turned, progress=False)
    with pytest.raises(CellprepError, match="class 'red' has no image in data"):
        cm.evaluate(model, (images[:2], labels[:2]), progress=False)
    with pytest.raises(CellprepError, match="did you mean 'heavy'"):
        cm.evaluate(model, (images, labels), shifted=["heavi"])


def test_predict(trained, tmp_path):
    model, _, data = trained
    images, labels = pictures(7, seed=3)
    given = cm.predict(model, images, batch_size=3)
    np.testing.assert_array_equal(given.argmax(axis=1), labels)
    np.testing.assert_allclose(given, cm.predict(model, images), atol=1e-6)
    assert given.dtype == np.float32
    cp.write(data, tmp_path / "d", progress=False)
    assert cm.predict(model, tmp_path / "d").shape == (48, 3)
    for wrong, said in [
        (images / 255, "must be uint8"),
        (images[0], r"one image is images\[None\]"),
        (pictures(3, side=20)[0], "20x20, and the model takes 16x16"),
    ]:
        with pytest.raises(CellprepError, match=said):
            cm.predict(model, wrong)


# -- saliency ----------------------------------------------------------------------------------


def test_saliency_is_the_slope_of_the_score(trained):
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
    # Batches do not matter, and the class looked at by default is the predicted one.
    np.testing.assert_allclose(cm.saliency(model, images, labels, batch_size=1), maps, rtol=1e-4)
    guessed = cm.predict(model, images).argmax(axis=1)
    np.testing.assert_array_equal(cm.saliency(model, images), cm.saliency(model, images, guessed))
    with pytest.raises(CellprepError, match="`labels` must be in 0 to 2, got 3"):
        cm.saliency(model, images, [0, 3])


def test_share_inside():
    maps = np.arange(12.0).reshape(1, 3, 4)
    mask = np.zeros((1, 3, 4), bool)
    mask[0, 2] = True
    np.testing.assert_allclose(cm.share_inside(maps, mask), [(8 + 9 + 10 + 11) / 66])
    np.testing.assert_allclose(cm.share_inside(maps, mask) + cm.share_inside(maps, ~mask), 1)
    assert np.isnan(cm.share_inside(maps * 0, mask)).all()
    with pytest.raises(CellprepError, match="`masks` must be"):
        cm.share_inside(maps, mask[:, :2])
    with pytest.raises(CellprepError, match="0 or more"):
        cm.share_inside(-maps, mask)


ON_JAX = """
import sys
import numpy as np
import keras, cellmodels as cm
assert keras.backend.backend() == "jax"
held = np.load(sys.argv[1])
model = cm.load(sys.argv[2])
np.savez(sys.argv[3], maps=cm.saliency(model, held["images"], held["labels"]),
         given=cm.predict(model, held["images"]))
fresh = cm.build("baseline_cnn", 3, (16, 16, 3), weights=None)
before = fresh.get_weights()
done = cm.fit(fresh, (held["images"], held["labels"]), out=sys.argv[4], epochs=2,
              transfer_epochs=1, progress=False)
assert np.isfinite(done.history["loss"]).all()
assert any((a != b).any() for a, b in zip(before, fresh.get_weights()))
assert cm.fit(fresh, (held["images"], held["labels"]), out=sys.argv[4], epochs=2,
              transfer_epochs=1, progress=False).history == done.history
"""


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
def test_jax_trains_and_gives_the_same_maps(trained, tmp_path):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("this is the comparison with TensorFlow")
    model, path, _ = trained
    images, labels = pictures(6, seed=5)
    np.savez(tmp_path / "in.npz", images=images, labels=labels)
    files = [tmp_path / "in.npz", path, tmp_path / "out.npz", tmp_path / "m"]
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX, *map(str, files)],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    out = np.load(tmp_path / "out.npz")
    maps = cm.saliency(model, images, labels)
    np.testing.assert_allclose(out["maps"], maps, rtol=1e-3, atol=1e-4 * maps.max())
    np.testing.assert_allclose(out["given"], cm.predict(model, images), atol=1e-5)


def test_overlays_are_drawn(trained, tmp_path):
    pytest.importorskip("matplotlib")
    model, _, _ = trained
    images, _ = pictures(3)
    masks = np.zeros((3, 16, 16), bool)
    masks[:, 4:12, 4:12] = True
    cm.overlay(tmp_path / "s.png", images, cm.saliency(model, images), masks=masks)
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"


# -- compare -----------------------------------------------------------------------------------

TABLE = """
data = "cells.npz"
shifted = []
parts = { train = 0.6, val = 0.2, test = 0.2 }
seeds = [4]

[recipes]
cleaned = []
cropped = [{ step = "Balance" }, { step = "Crop", size = 12, resize_to = 16 }]

[[rows]]
name = "Base"
model = "baseline_cnn"
recipe = "cleaned"
build = { weights = false, l2 = 0.0 }
train = { epochs = 1, batch_size = 8 }

[[rows]]
name = "Base, cropped"
model = "baseline_cnn"
recipe = "cropped"
train = { epochs = 2, batch_size = 8 }
"""


def test_a_table_corrupts_before_it_masks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = pictures(30)
    np.savez("cells.npz", images=images, labels=labels, class_names=np.array(NAMES))
    table = TABLE.replace("shifted = []", 'shifted = ["heavy"]').replace(
        '{ step = "Crop", size = 12, resize_to = 16 }', '{ step = "KMeansMask" }'
    )
    Path("t.toml").write_text(table)
    import cellmodels.compare  # noqa: F401

    module = sys.modules["cellmodels.compare"]
    evaluate, seen = module.evaluate, []

    def watched(model, data, **settings):
        seen.append((data, settings["shifted"]["heavy"]))
        return evaluate(model, data, **settings)

    monkeypatch.setattr(module, "evaluate", watched)
    cm.compare("t.toml", "out", progress=False)
    (plain, _), (_, shifted) = seen
    spoilt = cm.shift(plain, "heavy", seed=4)
    wanted = cp.Recipe([cp.KMeansMask()], 4)(spoilt)
    np.testing.assert_array_equal(shifted.to_arrays()[0], wanted.to_arrays()[0])


def test_a_table_is_trained_row_by_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = pictures(30)
    np.savez("cells.npz", images=images, labels=labels, class_names=np.array(NAMES))
    Path("t.toml").write_text(TABLE)
    import cellmodels.compare  # noqa: F401  # the module; the package's name is the function

    module = sys.modules["cellmodels.compare"]
    fit, trained = module.fit, []

    def counted(model, *data, **settings):
        if len(trained) == 1:
            trained.append(None)
            raise KeyboardInterrupt
        trained.append(settings["out"])
        return fit(model, *data, **settings)

    planned = json.loads(run("compare", "t.toml", "out", "--dry-run", "--json"))
    assert [line["state"] for line in planned] == ["to do", "to do"]
    assert all(line["seconds"] > 0 for line in planned)
    assert not Path("out").exists()
    monkeypatch.setattr(module, "fit", counted)
    with pytest.raises(KeyboardInterrupt):
        cm.compare("t.toml", "out", progress=False)
    text = run("compare", "t.toml", "out", "--dry-run")
    assert [text.count(state) for state in (" done ", " to do ")] == [1, 1]
    assert "dry run, nothing was written" in text
    result = cm.compare("t.toml", "out", progress=False)
    assert trained == [Path("out/rows/base/seed-4"), None, Path("out/rows/base-cropped/seed-4")]
    columns = ["row", "seed", "model", "data set", "accuracy", "precision", "recall", "F1"]
    columns.append("minutes")
    assert list(result.columns) == columns
    assert result["data set"].tolist() == ["cleaned", "cropped"]
    again = cm.compare("t.toml", "out", progress=False)
    assert len(trained) == 3
    assert again.equals(result)
    assert len(json.loads(Path("out/table.json").read_text())) == 2
    assert "Base, cropped" in Path("out/table.txt").read_text()
    # The test part is cropped as the training part is, and neither balanced nor augmented.
    manifest = json.loads(Path("out/data/seed-4/cropped/test/dataset.json").read_text())
    steps = [step["step"] for step in manifest["recipe"]]
    assert steps == ["Dedupe", "split", "Crop"]
    Path("t.toml").write_text(TABLE.replace("seeds = [4]", "seeds = [4, 5]"))
    both = cm.compare("t.toml", "out", progress=False)
    assert both["seed"].tolist() == [4, 4, 5, 5]
    assert len(trained) == 5  # what was measured before stands
    assert both[:2].equals(result)
    shown = Path("out/table.txt").read_text().splitlines()
    held = both[both["row"] == "Base"]["accuracy"]
    assert f"{held.mean():.3f} ±{held.std():.3f}" in shown[1]
    assert len(shown) == 3
    Path("t.toml").write_text(TABLE.replace("epochs = 1", "epochs = 3"))
    with pytest.raises(CellprepError, match=r"holds row 'Base' of another table \(row differs\)"):
        cm.compare("t.toml", "out", progress=False)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"baseline_cnn"', '"baseline"', "model of row 'Base'` got 'baseline'; did you mean"),
        ('recipe = "cropped"', 'recipe = "crop"', "did you mean 'cropped'"),
        ("epochs = 1", "epoch = 1", "row 'Base': training has no setting 'epoch'; did you mean"),
        ("l2 = 0.0", "l3 = 0.0", "`build` of row 'Base' has no setting 'l3'; did you mean 'l2'"),
        ("size = 12", "sise = 12", "did you mean 'size'"),
        ('step = "Balance"', 'step = "Dedupe"', "put it in `before`"),
        ("shifted = []", 'shifted = ["heavey"]', "did you mean 'heavy'"),
        ("shifted", "shiftet", "did you mean 'shifted'"),
        ("test = 0.2", "tost = 0.2", "`parts` must be train, val and test"),
        ('"Base, cropped"', '"base"', "two rows are called 'base'"),
        ("[[rows]]", "[rows", "is not a table in TOML"),
        ("cells.npz", "nowhere.npz", "no file or folder 'nowhere.npz'"),
    ],
)
def test_a_wrong_table_is_refused_before_anything_is_made(tmp_path, old, new, said):
    (tmp_path / "t.toml").write_text(TABLE.replace(old, new))
    with pytest.raises(CellprepError, match=said) as error:
        cm.compare(tmp_path / "t.toml", tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_table_1_of_the_report_is_a_table():
    table = sys.modules["cellmodels.compare"].Table.from_toml(
        Path(__file__).parents[2] / "examples" / "table1.toml"
    )
    assert [(row.model, row.recipe) for row in table.rows] == [
        ("baseline_cnn", "cleaned"),
        ("mobilenet_v3", "balanced"),
        ("inception_v3", "balanced"),
        ("efficientnet_b0", "balanced"),
        ("efficientnet_b2", "augmented"),
        ("efficientnet_v2s", "augmented"),
    ]
    assert table.shifted == ["heavy", "microscopy"]


# -- the program -------------------------------------------------------------------------------


def run(*arguments, code=0):
    from click.testing import CliRunner

    from cellmodels.cli import main

    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


@pytest.mark.parametrize("command", ["train", "evaluate", "saliency", "compare", "predict"])
def test_help_fits_a_screen_and_has_an_example(command):
    text = run(command, "--help")
    assert len(text.splitlines()) <= 30
    assert f"Example: cellmodels {command} " in text


def test_from_training_to_prediction(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = pictures(48)
    cells = cp.Dataset.from_arrays(images, labels, NAMES)
    for name, part in cp.split(cells, train=0.6, val=0.2, test=0.2).items():
        cp.write(part, name, progress=False)
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
    for arguments, said in [
        (("train", "train", "train", "x", *learn), "stand in train as well"),
        (("train", "train", "val", "m", *learn, "--seed", 1), "settings seed 0 there, 1 here"),
        (("train", "train", "val", "x", "--model", "baseline"), "did you mean 'baseline_cnn'?"),
        (("train", "train", "val", "x", "--frozen", "half"), "`--frozen` must be"),
        (("evaluate", done["path"], "train", "--train", "train"), "stand in train as well"),
        (("evaluate", "no.keras", "test"), "there is no model file 'no.keras'"),
        (("predict", "test/dataset.json", "test"), "not a model that cellmodels saved"),
        (("saliency", done["path"], "test", "s.png", "--images", 0), "`--images` must be"),
        (("compare", "no.toml", "out"), "there is no table 'no.toml'"),
        (("trian",), "did you mean 'train'"),
    ]:
        error = run(*arguments, code=2)
        assert error.startswith("error: "), error
        assert error.count("\n") == 1
        assert said in error
