"""Properties of RandAugment's operations for any image: identities, rows, batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cellprep.arrays import Images
from cellprep.operations import KERAS_CV, NONE, Slots, engines

from .rand_augment import augmented, by_kernel, filled

few = settings(max_examples=25, deadline=None, derandomize=True)
IDENTITIES = [
    ("solarization", 0.0, 256.0),
    ("color_degeneration", 0.0, 0.0),
    ("contrast", 1.0, 0.0),
    *((name, 0.0, 0.0) for name in KERAS_CV[5:]),
]


@st.composite
def batches(draw: Any) -> tuple[Images, Any]:
    """A few small images of one size, with many or few levels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 20)), draw(st.integers(1, 20)), 3)
    levels = draw(st.sampled_from([1, 2, 256]))
    images = rng.choice(rng.integers(0, 256, levels, np.uint8), shape)
    return images, rng


@few
@given(batches())
def test_identity_parameters_do_not_change_images(batch: tuple[Images, Any]) -> None:
    images, _ = batch
    assert np.array_equal(augmented(images, filled(NONE, (len(images), 3), 0.7, 0.7)), images)
    for identity in IDENTITIES:
        assert np.array_equal(by_kernel(identity[0], images, *identity[1:]), images), identity


def random_slots(rng: Any, n: int) -> Slots:
    values = np.zeros((n, 3, 3), np.float32)
    values[..., 0] = rng.random((n, 3))
    values[..., 1] = 255 * rng.random((n, 3))
    return Slots(rng.choice(np.array([*KERAS_CV, NONE]), (n, 3)), values)


@few
@given(batches())
def test_other_rows_are_not_changed(batch: tuple[Images, Any]) -> None:
    images, rng = batch
    rows = rng.permutation(len(images))[: len(images) // 2]
    slots = random_slots(rng, len(rows))
    some = images.copy()
    engines.run("native", some, rows, some, rows, slots)
    expected = images.copy()
    expected[rows] = augmented(images[rows], slots)
    assert np.array_equal(some, expected)


@few
@given(batches())
def test_a_batch_equals_single_images(batch: tuple[Images, Any]) -> None:
    images, rng = batch
    before, slots = images.copy(), random_slots(rng, len(images))
    together = augmented(images, slots)
    assert np.array_equal(images, before)
    for i, image in enumerate(together):
        row = slice(i, i + 1)
        alone = Slots(slots.operations[row], slots.values[row])
        assert np.array_equal(augmented(images[row], alone)[0], image)
