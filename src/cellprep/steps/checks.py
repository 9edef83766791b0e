"""Checks that every step must pass, including those of other packages.

In the tests of a package that adds a step:

    from cellprep.steps.checks import check_step

    def test_my_step():
        check_step(MyStep())
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields

import numpy as np

from ..arrays import Ids, Images, Labels
from ..dataset.dataset import Dataset
from ..synthetic import draw_cells
from .recipe import Recipe
from .step import Step

Cells = tuple[Images, Labels, Ids]
"""Images (n, height, width, 3), labels 0 to 7, and ids as text."""


def check_step(step: Step, cells: Cells | None = None) -> None:
    """Run all checks that every step must pass; see `CHECKS`.

    Parameters
    ----------
    step : Step
    cells : images, labels and ids, optional
        What to test the step on. Default: synthetic cells of 48x48 pixels with duplicates.

    Raises
    ------
    AssertionError
        From the first check that fails.

    Examples
    --------
    >>> from cellprep import Jitter
    >>> check_step(Jitter(rotation=15))
    """
    for check in CHECKS:
        check(step, messy_cells() if cells is None else cells)


def messy_cells() -> Cells:
    """Synthetic cells with duplicates, unequal class counts and text ids."""
    images, labels = draw_cells([5] * 8, side=48, seed=3)
    at = np.r_[np.arange(40), 0, 0, 7, 7, 7, 12]
    labels = np.r_[labels, 0, 3, labels[7], labels[7], 2, labels[12]]
    uneven = np.r_[np.arange(3), np.arange(5, len(at))]
    ids = np.array([f"smear {i:02d}.png" for i in range(len(at))])
    return images[at][uneven], labels[uneven], ids[uneven]


def applied(
    step: Step, cells: Cells, *, seed: int = 5, at: slice | np.ndarray = slice(None)
) -> Dataset:
    """Some of the cells after the step, as a data set."""
    images, labels, ids = cells
    names = [str(number) for number in range(8)]
    return Recipe([step], seed)(Dataset.from_arrays(images[at], labels[at], names, ids[at]))


def by_row(dataset: Dataset) -> dict[tuple[str, int, int], bytes]:
    """The pixels of every row, by id, copy number and label."""
    images, labels = dataset.to_arrays()
    rows = zip(dataset.ids.tolist(), dataset.copies.tolist(), labels.tolist(), strict=True)
    return {row: image.tobytes() for row, image in zip(rows, images, strict=True)}


def check_shape_and_dtype(step: Step, cells: Cells) -> None:
    dataset = applied(step, cells)
    images, labels = dataset.to_arrays()
    assert images.dtype == np.uint8, "images must stay uint8"
    assert labels.dtype == np.int64
    shape = (len(labels), *dataset.plan.shape)
    assert images.shape == dataset.shape == shape, "`out_shape` must be the shape of the result"
    assert len(np.unique(dataset.plan.rows.keys)) == len(dataset), "(id, copy) must be unique"


def check_input_is_unchanged(step: Step, cells: Cells) -> None:
    images, labels, ids = cells
    locked = images.copy(), labels.copy(), ids.copy()
    for array in locked:
        array.flags.writeable = False  # so that writing to it raises
    applied(step, locked).to_arrays()
    assert (locked[0] == images).all()


def check_row_order_is_irrelevant(step: Step, cells: Cells) -> None:
    order = np.random.default_rng(0).permutation(len(cells[0]))
    assert by_row(applied(step, cells)) == by_row(applied(step, cells, at=order))


def check_workers_are_irrelevant(step: Step, cells: Cells) -> None:
    dataset = applied(step, cells)
    alone, several = (dataset.to_arrays(workers=workers)[0] for workers in (1, 3))
    assert (alone == several).all()


def check_a_batch_equals_single_images(step: Step, cells: Cells) -> None:
    dataset = applied(step, cells)
    images = dataset.to_arrays()[0]
    for row in range(0, len(dataset), 3):
        assert (dataset.images[row] == images[row]).all()
    assert (dataset.images[2:9] == images[2:9]).all()
    assert (dataset.images[[5, 0, 5]] == images[[5, 0, 5]]).all()
    assert (np.concatenate([batch for batch, _ in dataset.batches(7)]) == images).all()


def check_equal_seeds_give_equal_bytes(step: Step, cells: Cells) -> None:
    assert by_row(applied(step, cells)) == by_row(applied(step, cells))


def check_epochs(step: Step, cells: Cells) -> None:
    dataset = applied(step, cells)
    images, rows = dataset.to_arrays()[0], dataset.plan.rows
    for epoch in (0, 1):
        fresh = dataset.epoch(epoch)
        at = np.random.default_rng(epoch).permutation(len(fresh))
        made = fresh.images[at]
        assert (dataset.epoch(epoch).to_arrays()[0][at] == made).all(), "an epoch never changes"
        assert (fresh.images[at] == made).all(), "what was found before must be the same"
        assert (fresh.plan.rows.keys == rows.keys).all(), "every epoch has the same rows"
        if epoch == 0:
            assert (made == images[at]).all(), "epoch 0 must be what is written"
    assert dataset.varies == bool((made != images[at]).any()), "random pixels must be sampled"


def check_a_step_alone_ignores_other_images(step: Step, cells: Cells) -> None:
    if type(step).extend is not Step.extend:
        return  # a step on rows may depend on other rows
    some = np.arange(0, len(cells[0]), 4)
    alone, among = by_row(applied(step, cells, at=some)), by_row(applied(step, cells))
    assert alone.items() <= among.items(), "a pixel step must depend only on its own image"


def check_masks_keep_the_shape_of_images(step: Step, cells: Cells) -> None:
    images, labels, ids = cells
    masks = images[..., 1] < 128
    names = [str(number) for number in range(8)]
    made = Recipe([step], 5)(Dataset.from_arrays(images, labels, names, ids=ids, masks=masks))
    assert made.masks[:].shape == made.shape[:3]
    assert made.masks[:].dtype == bool


def check_saved_forms(step: Step, cells: Cells) -> None:
    recipe = Recipe([step, step], seed=2**62)
    assert Recipe.from_toml(recipe.to_toml()) == recipe, "a recipe file must restore the step"
    assert pickle.loads(pickle.dumps(step)) == step


def check_it_is_frozen_and_documented(step: Step, cells: Cells) -> None:
    for field in fields(step):
        try:
            setattr(step, field.name, None)
        except FrozenInstanceError:
            pass
        else:
            raise AssertionError(f"{type(step).__name__} must be a frozen dataclass")
        assert f"{field.name} :" in (type(step).__doc__ or ""), f"`{field.name}` needs a docstring"


CHECKS: tuple[Callable[[Step, Cells], None], ...] = (
    check_shape_and_dtype,
    check_input_is_unchanged,
    check_row_order_is_irrelevant,
    check_workers_are_irrelevant,
    check_a_batch_equals_single_images,
    check_equal_seeds_give_equal_bytes,
    check_epochs,
    check_a_step_alone_ignores_other_images,
    check_masks_keep_the_shape_of_images,
    check_saved_forms,
    check_it_is_frozen_and_documented,
)
