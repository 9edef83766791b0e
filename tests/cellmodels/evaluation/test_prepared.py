"""New images are brought to the size and the preparation of the training images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import cellmodels as cm
import cellprep as cp
from cellprep import CellprepError
from cellprep.synthetic import draw_cells

from ..helpers import NAMES, run, tiny

pytest.importorskip("keras")
CROPPED = cp.Recipe([cp.Crop(16), cp.KMeansMask()])
"""What the training images of the models here went through."""


def model_of(recipe=CROPPED):
    model = tiny(1)
    steps = [{**step.to_dict(), "seed": 7} for step in recipe.steps]
    balance = {**cp.Balance().to_dict(), "seed": 7}
    model.card = cm.Card("tiny", NAMES, recipe=(balance, *steps))
    return model


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Six photographs of 24x24 in a folder without class folders."""
    folder = tmp_path_factory.mktemp("photographs")
    for number, image in enumerate(draw_cells([2, 2, 2, *[0] * 5], side=24, seed=4)[0]):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def test_files_are_cropped_and_masked_as_the_training_images_were(photographs):
    raw = cp.read(photographs, labels=None)
    model, ready = model_of(), CROPPED(raw).to_arrays()[0]
    assert ready.shape == (6, 16, 16, 3)
    expected = cm.predict(model, ready)
    assert abs(expected - cm.predict(model, raw.images[:][:, :16, :16])).max() > 1e-4
    for given in (photographs, raw, CROPPED(raw), raw.images[:]):
        np.testing.assert_allclose(cm.predict(model, given), expected, atol=1e-6)


def test_files_are_resized_to_the_model_that_crops_nothing(photographs, tmp_path):
    model = model_of(cp.Recipe([cp.KMeansMask()]))
    ready = cp.Recipe([cp.KMeansMask()])(cp.read(photographs, labels=None, size=16))
    expected = cm.predict(model, ready.to_arrays()[0])
    np.testing.assert_allclose(cm.predict(model, photographs), expected, atol=1e-6)
    alone = cm.predict(model, photographs / "3.png")
    np.testing.assert_allclose(alone, expected[3:4], atol=1e-6)


def test_images_with_another_preparation_are_refused(photographs):
    other = cp.Recipe([cp.Crop(16, center="image")])(cp.read(photographs, labels=None))
    with pytest.raises(CellprepError, match="KMeansMask, but those of images with Crop; apply"):
        cm.predict(model_of(), other)


def test_the_command_prepares_the_files_that_it_is_given(photographs, tmp_path):
    from cellmodels.models.files import save

    model = model_of()
    save(model, tmp_path / "model.keras", model.card)
    expected = cm.predict(model, photographs).argmax(axis=1)
    lines = run("predict", tmp_path / "model.keras", photographs).splitlines()[1:]
    assert [line.split(",")[2] for line in lines] == [NAMES[label] for label in expected]
