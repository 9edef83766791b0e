"""How models predict: views, several models, temperatures, allowed classes, no labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import cellmodels as cm
import cellprep as cp
from cellmodels.models.temperature import soften
from cellprep import CellprepError

from ..helpers import NAMES, pictures, run, tiny

keras = pytest.importorskip("keras")


def with_card(model, names=NAMES, **fields):
    model.card = cm.Card(model.name, names, **fields)
    return model


@pytest.fixture(scope="module")
def pair():
    """Two models with different weights, of which the second has a temperature."""
    return [with_card(tiny(1)), with_card(tiny(2), temperature=2.5)]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("tta", "moves"),
    [
        ("flips", [lambda x: x[:, ::-1], lambda x: x[:, :, ::-1]]),
        ("dihedral", [lambda x: np.rot90(x, 1, (1, 2)), lambda x: x.swapaxes(1, 2)]),
    ],
)
def test_a_flipped_or_turned_image_gets_the_same_probabilities(pair, images, tta, moves):
    expected = cm.predict(pair, images, tta=tta)
    for move in moves:
        np.testing.assert_allclose(cm.predict(pair, move(images), tta=tta), expected, atol=1e-6)
        assert abs(cm.predict(pair, move(images)) - cm.predict(pair, images)).max() > 1e-3
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-6)


def test_flips_are_the_mean_over_four_views(pair, images):
    views = [images, images[:, ::-1], images[:, :, ::-1], images[:, ::-1, ::-1]]
    mean = np.mean([cm.predict(pair[0], view) for view in views], axis=0)
    np.testing.assert_allclose(cm.predict(pair[0], images, tta="flips"), mean, atol=1e-6)


def test_several_models_give_the_mean_of_their_probabilities(pair, images):
    each = [cm.predict(model, images) for model in pair]
    np.testing.assert_allclose(cm.predict(pair, images), np.mean(each, axis=0), atol=1e-6)
    labels = np.arange(7) % 3
    report = cm.evaluate(pair, (images, labels), progress=False)
    assert report.clean.nll == pytest.approx(
        cm.score(labels, cm.predict(pair, images), class_names=NAMES).nll
    )
    assert report.model == "tiny + tiny"
    assert report.settings["temperatures"] == [None, 2.5]


def test_models_that_differ_are_refused(pair, images):
    small = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    other = cm.build("baseline_cnn", 3, (8, 8, 3), weights=None)
    renamed = with_card(tiny(), ("dark", "light", "blue"))
    for second, message in [
        (renamed, "model 2 (tiny) has 'blue' as class 2, the first 'red'"),
        (other, "model 2 (baseline_cnn) has images of 8x8, the first of 16x16"),
        (small, "has 768 classes, the first 3"),
    ]:
        with pytest.raises(CellprepError, match="predict together") as error:
            cm.predict([pair[0], second], images)
        assert message in str(error.value)
    with pytest.raises(CellprepError, match="`model` is an empty list"):
        cm.predict([], images)


def test_a_temperature_changes_probabilities_only(pair, images):
    given = cm.predict(pair[1], images, temperature=False)
    np.testing.assert_allclose(cm.predict(pair[1], images), soften(given, 2.5), atol=1e-6)
    labels = np.arange(7) % 3
    report = cm.evaluate(pair[1], (images, labels), progress=False)
    raw = cm.evaluate(pair[1], (images, labels), temperature=False, progress=False)
    assert report.uncalibrated["clean"] == raw.clean
    assert report.clean.confusion == raw.clean.confusion
    assert report.clean.nll != raw.clean.nll
    assert raw.uncalibrated == {}
    assert "NLL, T=1" in report.table()
    assert "T=1" not in raw.table()


def test_allowed_classes_share_the_probability_of_the_others(pair, images):
    every, some = cm.predict(pair[0], images), cm.predict(pair[0], images, classes=["red", "dark"])
    assert (some[:, 1] == 0).all()
    expected = every[:, [0, 2]] / every[:, [0, 2]].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(some[:, [0, 2]], expected, atol=1e-6)


def test_a_test_set_with_some_of_the_classes_is_evaluated(trained, tmp_path):
    model, path, _ = trained
    images, labels = pictures(12, seed=2)
    rows = labels != 1
    cells = cp.Dataset.from_arrays(images[rows], np.array(NAMES)[labels[rows]])
    assert cells.class_names == ("dark", "red")
    every = cm.evaluate(model, cells, progress=False)
    assert [(kind.name, kind.images) for kind in every.clean.classes] == [
        ("dark", 4),
        ("light", 0),
        ("red", 4),
    ]
    report = cm.evaluate(model, cells, classes="present", shifted=["heavy"], progress=False)
    assert report.class_names == ("dark", "red")
    assert report.clean.confusion == ((4, 0), (0, 4))
    assert report.clean.balanced_accuracy == 1
    # Names in another order, and a class without images: the same result.
    other = cp.Dataset.from_arrays(
        images[rows], np.where(labels[rows] == 0, 2, 0), ("red", "light", "dark")
    )
    again = cm.evaluate(model, other, classes="present", shifted=["heavy"], progress=False)
    assert again.clean == report.clean
    named = cm.evaluate(model, cells, classes=["dark", "light", "red"], progress=False)
    assert named.class_names == NAMES
    cp.write(cells, tmp_path / "two", progress=False)
    options = ("--classes", "present", "--tta", "flips", "--no-temperature", "--json")
    found = json.loads(run("evaluate", path, path, tmp_path / "two", *options))
    assert found["clean"]["accuracy"] == 1
    assert found["settings"]["tta"] == "flips"
    assert found["settings"]["temperatures"] == [None, None]
    for classes, message in [
        (["dark", "light"], "data has 4 of class 'red', which is not among the allowed"),
        (["dark", "rde"], "the model has no class 'rde'; did you mean 'red'"),
        ("presnt", "did you mean 'present'"),
        ([], "`classes` is empty"),
    ]:
        with pytest.raises(CellprepError, match=message):
            cm.evaluate(model, cells, classes=classes, progress=False)


def test_settings_that_cannot_be_used_are_refused(pair, images):
    wide = cm.build("baseline_cnn", 3, (8, 12, 3), weights=None)
    for settings, message in [
        ({"tta": "dihedral"}, "must be square, but those of images are 8x12; use 'flips'"),
        ({"tta": "flip"}, "did you mean 'flips'"),
        ({"ttta": "flips"}, "no setting 'ttta'; did you mean 'tta'"),
        ({"adapt_norm": 2}, "`adapt_norm` must be a number in"),
        ({"adapt_norm": 0.5}, "`adapt_norm` needs at least 32 images, but images has 7"),
        ({"classes": ["a"]}, "`classes` needs class names"),
    ]:
        with pytest.raises(CellprepError, match=message):
            cm.predict(wide, images[:, :8, :12], **settings)
    assert cm.predict(wide, images[:, :8, :12], tta="flips").shape == (7, 3)


def test_images_without_labels_are_predicted(trained, tmp_path, monkeypatch):
    model, path, _ = trained
    monkeypatch.chdir(tmp_path)
    images, labels = pictures(6, seed=3)
    for n, image in enumerate(images):
        (tmp_path / "flat" / "deep").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "flat" / ("deep" if n > 3 else ".") / f"{n}.png")
    np.savez(tmp_path / "bare.npz", images=images)
    expected = cm.predict(model, images)
    for given in ("flat", "bare.npz"):
        np.testing.assert_allclose(cm.predict(model, given), expected, atol=1e-6)
    lines = run("predict", path, path, "flat", "--probabilities", "--tta", "flips").splitlines()
    assert lines[0] == "id,copy,class,probability,dark,light,red"
    assert [line.split(",")[0] for line in lines[1:]] == [
        *(f"{n}.png" for n in range(4)),
        *(f"deep/{n}.png" for n in (4, 5)),
    ]
    assert [line.split(",")[2] for line in lines[1:]] == [NAMES[k] for k in labels]
    one = run("predict", path, "flat/0.png", "--classes", "light,red", "--no-temperature")
    assert one.splitlines()[1].startswith("0.png,0,")
    assert one.splitlines()[1].split(",")[2] in ("light", "red")
