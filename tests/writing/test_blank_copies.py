"""Augmented copies that are of one colour are counted and listed."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

import cellprep as cp
from cellprep.plan.profile import of_one_color
from cellprep.steps.copies import with_copies
from cellprep.steps.step import STEPS
from cellprep.synthetic import draw_cells


@pytest.fixture(scope="module")
def made():
    """Images and copies, about half of which a step of this test paints in one colour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STEPS, "_loaded", {**STEPS})  # other tests list all steps

        @dataclass(frozen=True)
        class Emptied(cp.Step):
            copies: int = 2

            def extend(self, plan):
                return with_copies(plan, self, self.copies, True, "copies")

            def sample(self, draw):
                return {"emptied": draw.boolean("emptied")}

            def apply(self, images, emptied):
                return np.where(emptied[:, None, None, None], np.uint8(240), images)

        images, labels = draw_cells([5] * 4 + [0] * 4, side=16, seed=1)
        images[0] = 240  # an original of one colour is no blank copy
        yield cp.Recipe([Emptied()], seed=3)(cp.Dataset.from_arrays(images, labels % 4))


@pytest.mark.parametrize("name", ["out", "out.npz"])
def test_blank_copies_are_listed_however_they_were_written(made, tmp_path, name):
    images = made.images[:]
    added = np.flatnonzero((made.copies > 0) & (images == 240).all(axis=(1, 2, 3)))
    expected = tuple((int(made.ids[row]), int(made.copies[row])) for row in added)
    assert len(expected) > 5
    options = {"rows_per_shard": 7, "progress": False}
    first = cp.write(made, tmp_path / name, **options)
    assert first.blank == expected
    assert f"{len(expected)} copies of one colour" in str(first)
    again = cp.write(made, tmp_path / name, **options)
    assert again.blank == expected
    if name == "out":
        saved = json.loads((tmp_path / name / "dataset.json").read_text())
        assert saved["blank"] == [list(row) for row in expected]
        page = cp.report(cp.read(tmp_path / name), tmp_path / "page.html").path.read_text()
        assert f"{len(expected)} augmented copies of one colour" in page


def test_one_different_pixel_is_enough_to_be_no_blank_image():
    images = np.full((400, 20, 20, 3), 7, np.uint8)
    for number in range(1, 400):
        images[number, number // 20, number % 20, number % 3] = 8
    assert of_one_color(images).tolist() == [True, *[False] * 399]
