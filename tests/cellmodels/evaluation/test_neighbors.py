"""`neighbors`: probabilities shared among images that a model finds alike."""

from __future__ import annotations

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellmodels.evaluation import neighbors
from cellmodels.evaluation.neighbors import NEAREST, share, with_features
from cellprep import CellprepError

from ..helpers import NAMES, tiny

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)


def exact(probabilities, features, weight):
    """The definition, with dense matrices and a solver."""
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -2)
    rank = (-cosines).argsort(axis=1).argsort(axis=1)
    kept = np.where((rank < NEAREST) | (rank.T < NEAREST), np.maximum(cosines, 0), 0)
    roots = np.sqrt(kept.sum(axis=1))
    similar = kept / roots / roots[:, None]
    found = np.linalg.solve(np.eye(len(units)) - weight * similar, probabilities)
    return found / found.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weight", [0, 0.5, 0.8, 0.95])
def test_the_result_is_that_of_the_definition(weight, monkeypatch):
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 50)
    features = random.normal(size=(50, 6)).astype("f4")
    monkeypatch.setattr(neighbors, "_BLOCK", 16)  # several blocks, the last one smaller
    found = share(probabilities, [features], weight)
    np.testing.assert_allclose(found, exact(probabilities, features, weight), atol=1e-4)
    assert weight or (found == probabilities / probabilities.sum(axis=1, keepdims=True)).all()


def test_images_that_the_model_finds_alike_decide_together():
    random = np.random.default_rng(0)
    groups = np.repeat([0, 1], 20)
    features = (np.eye(2)[groups] + 0.1 * random.random((40, 2))).astype("f4")
    probabilities = np.where(np.eye(2)[groups] > 0, 0.8, 0.2)
    probabilities[[3, 33]] = probabilities[[33, 3]]  # one wrong image in each group
    assert (probabilities.argmax(axis=1) != groups).sum() == 2
    assert (share(probabilities, [features], 0.8).argmax(axis=1) == groups).all()


def test_neither_batch_size_nor_order_nor_turned_images_matter(images):
    model = tiny(3)
    before = model.get_weights()
    how = {"neighbors": 0.8, "tta": "dihedral"}
    expected = cm.predict(model, images, **how)
    assert abs(expected - cm.predict(model, images, tta="dihedral")).max() > 1e-3
    turned = np.rot90(images[::-1], axes=(1, 2))
    small = cm.predict(model, images, batch_size=7, **how)
    for given in (small, cm.predict(model, turned, **how)[::-1]):
        np.testing.assert_allclose(given, expected, atol=1e-5)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_features_are_those_of_the_adapted_models(images):
    models = tiny(3), tiny(4)
    dark = cp.Dataset.from_arrays(images // 3, np.zeros(40, int), NAMES[:1])
    outputs = []
    for model in models:
        with cm.evaluation.adapt_norm.adapted_norm(model, dark, 0.5, "images"):
            outputs.append(with_features(model).predict(images.astype("f4") // 3, verbose=0))
    probabilities = np.mean([each[:, -3:] for each in outputs], axis=0)
    joined = [each[:, :-3] / np.linalg.norm(each[:, :-3], axis=1)[:, None] for each in outputs]
    expected = exact(probabilities, np.concatenate(joined, axis=1), 0.5)
    found = cm.predict(list(models), images // 3, adapt_norm=0.5, neighbors=0.5)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_temperature_and_classes_come_first(images):
    model = tiny(3)
    model.card = cm.Card("tiny", NAMES, temperature=2.0)
    cells = cp.Dataset.from_arrays(images, np.arange(40) % 2, NAMES[:2])
    report = cm.evaluate(model, cells, classes="present", neighbors=0.8, progress=False)
    assert report.settings["neighbors"] == 0.8
    assert report.clean.nll != report.uncalibrated["clean"].nll
    found = cm.predict(model, images, classes=NAMES[:2], neighbors=0.8)
    np.testing.assert_array_equal(found[:, 2], 0)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_models_and_sets_that_have_no_neighbors_are_refused(images):
    class Bare(keras.Model):
        def call(self, x):
            return x

    bare = Bare(name="bare")
    bare.input_shape, bare.output_shape = (None, 16, 16, 3), (None, 3)
    for model, given, settings, message in [
        (tiny(), images[:31], 0.8, "`neighbors` needs at least 32 images, but images has 31"),
        (tiny(), images, 1.0, "`neighbors` must be a number in"),
        (bare, images, 0.8, "needs a functional model, as build makes, but bare is none"),
    ]:
        with pytest.raises(CellprepError, match=message):
            cm.predict(model, given, neighbors=settings)
