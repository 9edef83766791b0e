"""Means and standard deviations of channels: measured, and transferred, compared with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from cellprep.kernels.augment.match import match, statistics

SPACES = ("rgb", "lab")


def channels(images, color_space) -> np.ndarray:
    return rgb2lab(images) if color_space == "lab" else images.astype(np.float64)


def matched(images, targets, strengths, color_space) -> np.ndarray:
    made = images.copy()
    match(made, np.arange(len(images)), color_space == "lab", targets, np.float32(strengths))
    return made


@pytest.mark.parametrize("color_space", SPACES)
def test_statistics_are_those_of_numpy(color_space, photographs) -> None:
    values = channels(photographs, color_space)
    expected = np.concatenate([values.mean(axis=(1, 2)), values.std(axis=(1, 2))], axis=1)
    assert statistics(photographs, color_space) == pytest.approx(expected, abs=0.01, rel=1e-4)


@pytest.mark.parametrize("color_space", SPACES)
def test_levels_are_those_of_the_published_formula(color_space, photographs) -> None:
    images = photographs[:8]
    targets = np.roll(statistics(images, color_space), 3, axis=0)
    strengths = np.linspace(0.1, 1, len(images))
    values, far = channels(images, color_space), strengths[:, None, None, None]
    mean, stddev = (f(values, axis=(1, 2), keepdims=True) for f in (np.mean, np.std))
    new_mean, new_stddev = (
        old + far * (part[:, None, None] - old)
        for old, part in ((mean, targets[:, :3]), (stddev, targets[:, 3:]))
    )
    expected = (values - mean) * (new_stddev / stddev) + new_mean
    if color_space == "lab":
        expected = lab2rgb(expected) * 255
    expected = np.floor(expected.clip(0, 255) + 0.5)
    apart = np.abs(matched(images, targets, strengths, color_space) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.001


@pytest.mark.parametrize("color_space", SPACES)
def test_its_own_statistics_leave_an_image_as_it_is(color_space, photographs) -> None:
    own = statistics(photographs, color_space)
    strengths = np.linspace(0, 1, len(photographs))
    assert (matched(photographs, own, strengths, color_space) == photographs).all()


@pytest.mark.parametrize("color_space", SPACES)
def test_an_image_of_one_color_only_moves(color_space, photographs) -> None:
    grey = np.full_like(photographs[:2], 90)
    targets = statistics(photographs[:2], color_space)
    made = matched(grey, targets, [0, 1], color_space)
    assert (made[0] == 90).all()
    assert (made[1] == made[1, 0, 0]).all()
    assert statistics(made[1:], color_space)[0, :3] == pytest.approx(targets[1, :3], abs=1)
