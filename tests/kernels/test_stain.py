"""Stains separated and recombined, compared with scikit-image and with the formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import combine_stains, separate_stains

from cellprep.kernels.augment import stain

LEVELS = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), np.uint8)
EVERY = np.arange(len(LEVELS))
HED = stain.HED.astype(np.float64)


def restained(images, factors, offsets=(0, 0, 0), matrix=stain.HED) -> np.ndarray:
    made = images.copy()
    n = len(images)
    per_image = [np.tile(np.float32(one), (n, 1)) for one in (factors, offsets)]
    stain.restain(made, np.arange(n), np.tile(np.float32(matrix), (n, 1, 1)), *per_image)
    return made


def published(images, factors, offsets, matrix) -> np.ndarray:
    """Beer and Lambert in float64: separate the stains, change them, recombine, round."""
    strengths = -np.log((images + 1.0) / 256) @ np.linalg.inv(matrix)
    density = (strengths * np.float32(factors) + np.float32(offsets)) @ matrix
    return np.floor(np.clip(256 * np.exp(-density) - 1, 0, 255) + 0.5)


def test_no_change_leaves_every_level_as_it_is() -> None:
    assert (restained(LEVELS, (1, 1, 1)) == LEVELS).all()


@given(
    st.tuples(*[st.floats(0, 2, width=32)] * 3),
    st.tuples(*[st.floats(-0.5, 0.5, width=32)] * 3),
    st.integers(0, 2**32 - 1),
)
def test_levels_are_those_of_the_published_formula(factors, offsets, seed) -> None:
    matrix = HED if seed % 2 else np.random.default_rng(seed).uniform(0, 1, (3, 3)) + np.eye(3)
    made = restained(LEVELS, factors, offsets, matrix)
    expected = published(LEVELS, factors, offsets, np.float32(matrix).astype(np.float64))
    assert np.abs(made - expected).max() <= 1


def test_stains_are_those_of_scikit_image() -> None:
    images, factors = (
        np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), np.uint8),
        (0.7, 1.3, 1.1),
    )
    strengths = separate_stains((images + 1.0) / 256, np.linalg.inv(HED))
    expected = np.floor(combine_stains(strengths * factors, HED) * 256 - 0.5).clip(0)
    not_negative = (strengths > 0).all(axis=-1)  # scikit-image sets negative strengths to 0
    assert not_negative.sum() > 100
    assert np.abs(restained(images, factors) - expected)[not_negative].max() <= 1


def test_more_haematoxylin_darkens_what_is_stained_and_leaves_white() -> None:
    images = np.array([[[[255, 255, 255], [90, 60, 150]]]], np.uint8)
    more = np.full(1, 0.2, np.float32)
    none = np.zeros(1, np.float32)
    made = images.copy()
    stain.hed(made, np.array([0]), more, none, none)
    assert (made[0, 0, 0] == 255).all()
    assert (made[0, 0, 1] < images[0, 0, 1]).all()


def test_only_the_given_images_change() -> None:
    made = LEVELS.copy()
    two = np.ones((2, 3), np.float32)
    stain.restain(made, EVERY[1:3], np.tile(stain.HED, (2, 1, 1)), 2 * two, 0 * two)
    assert (made[[0, 3]] == LEVELS[[0, 3]]).all()
    assert (made[1:3] == restained(LEVELS[1:3], (2, 2, 2))).all()


def test_what_two_stains_do_not_explain_is_kept() -> None:
    two = np.float32([[0.48, 0.83, 0.24], [0.35, 0.63, 0.66]])
    three = np.stack([*two, np.cross(*two)])
    made = restained(LEVELS, (1.3, 0.8), (0.1, -0.05), two)
    assert (made == restained(LEVELS, (1.3, 0.8, 1), (0.1, -0.05, 0), three)).all()


@pytest.mark.parametrize("exponent", [-600, -8.5, -1e-9, 0, 1 / 512, 3.14159, 90.7, 600])
def test_powers_of_two_are_exact_to_ten_digits(exponent) -> None:
    expected = 2.0 ** min(max(exponent, -512), 512)
    assert stain._power_of_2(float(exponent)) == pytest.approx(expected, rel=3e-10)


def test_tables_do_not_depend_on_the_last_bits_of_a_logarithm() -> None:
    """Each entry is far from where it would be rounded the other way: a million times an error."""
    for exact in (np.log2(np.arange(1, 257) / 256), np.exp2(np.arange(256) / 256)):
        scaled = exact * stain._FINE
        from_tie = np.abs(scaled - np.floor(scaled) - 0.5)
        assert from_tie.min() > 1e-4
        assert np.spacing(scaled).max() < 1e-5
