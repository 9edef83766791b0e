"""L*a*b* and back; the way there is compared with scikit-image in test_spaces.py."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import lab2rgb

from cellprep.kernels import lab


def levels_of(colors) -> np.ndarray:
    pixels = np.empty(colors.shape, np.uint8)
    lab.from_lab(colors, pixels)
    return pixels


def test_levels_survive_the_way_there_and_back() -> None:
    steps = np.r_[np.arange(0, 16), np.arange(16, 256, 9), 255].astype(np.uint8)
    pixels = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    colors = np.empty(pixels.shape, np.float32)
    lab.to_lab(pixels, colors)
    assert (levels_of(colors) == pixels).all()


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_levels_are_those_of_scikit_image_and_are_clipped_like_them() -> None:
    random = np.random.default_rng(0)
    colors = random.uniform([-20, -128, -128], [120, 128, 128], (4000, 3)).astype(np.float32)
    expected = np.floor(lab2rgb(colors.astype(np.float64)) * 255 + 0.5)
    # scikit-image also sets negative Z to 0
    apart = np.abs(levels_of(colors) - expected)[(colors[:, 0] + 16) / 116 >= colors[:, 2] / 200]
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.01


def test_tables_do_not_depend_on_the_last_bits_of_a_power() -> None:
    """Powers and the inverse are rounded to float32, far from where they would round otherwise."""
    value = (np.arange(256) - 0.5).clip(0) / 255
    exact = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    for wide in (exact, np.linalg.inv(lab._XYZ.astype(np.float64))):
        for factor in (1 - 1e-14, 1 + 1e-14):
            assert ((wide * factor).astype(np.float32) == wide.astype(np.float32)).all()
