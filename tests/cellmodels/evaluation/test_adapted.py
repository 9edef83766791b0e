"""`adapt`: test images zoomed to the cell size of the training images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellprep import CellprepError

from ..helpers import run, synthetic_cells, tiny

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def cells():
    return synthetic_cells()


@pytest.fixture(scope="module")
def models(cells):
    """Two models whose training images had cells of different size."""
    made = [tiny(seed) for seed in (0, 1)]
    profile = cp.profile(cells)
    for model, factor in zip(made, (0.5, 0.8), strict=True):
        trained_on = replace(profile, share=profile.share * factor)
        model.card = cm.Card(model.name, cells.class_names, profile=trained_on)
    return made


def by_hand(model, cells):
    return cp.Recipe([cp.Adapt(model.card.profile)])(cells)


def test_each_model_predicts_images_adapted_to_its_training_images(models, cells):
    expected = [cm.predict(model, by_hand(model, cells)) for model in models]
    np.testing.assert_allclose(cm.predict(models[0], cells, adapt=True), expected[0], atol=1e-6)
    assert abs(cm.predict(models[0], cells) - expected[0]).max() > 1e-3
    together = cm.predict(models, cells, adapt=True, batch_size=5, tta="flips")
    views = [cm.predict(model, by_hand(model, cells), tta="flips") for model in models]
    np.testing.assert_allclose(together, np.mean(views, axis=0), atol=1e-6)


@pytest.mark.parametrize("color", ["channels", "background"])
def test_colours_are_adapted_with_the_size_or_alone(models, cells, color):
    model = models[0]
    for scale in (False, True):
        step = cp.Adapt(model.card.profile, scale=scale, color=color)
        by_step = cm.predict(model, cp.Recipe([step])(cells))
        found = cm.predict(model, cells, adapt=scale, adapt_color=color)
        np.testing.assert_allclose(found, by_step, atol=1e-6)


def test_evaluate_adapts_every_set(models, cells):
    found = cm.evaluate(models[0], cells, shifted={"same": cells}, adapt=True, progress=False)
    expected = cm.evaluate(models[0], by_hand(models[0], cells), progress=False)
    assert found.clean == found.shifted["same"] == expected.clean
    assert found.settings["adapt"]


def test_a_model_without_a_profile_and_too_few_images_are_refused(models, cells):
    old = tiny()
    for card in (None, cm.Card("tiny", cells.class_names)):
        old.card = card
        with pytest.raises(CellprepError, match="`adapt` needs the profile of the training images"):
            cm.predict(old, cells, adapt=True)
    with pytest.raises(CellprepError, match="Adapt needs 20 images in which a cell"):
        cm.predict(models[0], cells.images[:3], adapt=True)


def test_the_command_takes_the_profile_from_the_card(trained, cells, tmp_path):
    _, path, _ = trained
    saved = cm.load_card(path)
    assert saved.profile is not None
    cp.write(cells, tmp_path / "set", progress=False)
    plain, adapted = (run("predict", path, tmp_path / "set", *how) for how in ((), ("--adapt",)))
    assert plain.count("\n") == adapted.count("\n") == len(cells) + 1
    assert plain != adapted
