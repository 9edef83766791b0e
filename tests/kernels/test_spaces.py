"""Colour spaces against scikit-image and their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from cellprep.kernels.segment import spaces

from .stained import cells


def test_lab_equals_that_of_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    steps = np.arange(0, 256, 15).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, 18, -1, 3)
    lab = spaces.to_space(grid, "lab")
    np.testing.assert_allclose(lab, color.rgb2lab(grid), atol=0.02)
    np.testing.assert_array_equal(spaces.to_space(grid, "chroma"), lab[..., 1:])


def test_stain_is_green_and_saturation() -> None:
    color = pytest.importorskip("skimage.color")
    images = cells(0)
    stain = spaces.to_space(images, "stain")
    np.testing.assert_array_equal(stain[..., 0], images[..., 1])
    np.testing.assert_allclose(stain[..., 1] / 255, color.rgb2hsv(images)[..., 1], atol=1e-5)


def test_purple_does_not_depend_on_the_colour_of_the_light() -> None:
    images = cells(1)
    yellow = (images * np.array([1, 0.9, 0.5])).astype(np.uint8)
    gap = spaces.to_space(images, "purple") - spaces.to_space(yellow, "purple")
    assert np.abs(gap).max() < 6


def test_dark_is_red_and_green_relative_to_the_background() -> None:
    images = cells(2)
    white = np.maximum(np.percentile(images, 80, axis=(1, 2), method="inverted_cdf"), 1)
    light = (images * (255 / white)[:, None, None])[..., :2].mean(axis=-1)
    dark = spaces.to_space(images, "dark")[..., 0]
    np.testing.assert_allclose(dark, np.maximum(255 - light, 0), atol=1e-3)


@pytest.mark.parametrize("name", spaces.SPACES)
def test_spaces_are_finite_float32_and_do_not_change_their_input(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 3)).astype(np.uint8)
    images[1] = 0
    before = images.copy()
    out = spaces.to_space(images, name)
    assert out.dtype == np.float32
    assert out.shape[:3] == images.shape[:3]
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(images, before)
