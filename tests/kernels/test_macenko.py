"""Macenko's stains, compared with the published formula in NumPy, and images that have none."""

from __future__ import annotations

import numpy as np
import pytest

from cellprep.kernels.augment.macenko import macenko
from cellprep.kernels.augment.stain import HED


def published(image) -> np.ndarray:
    """Singular vectors by LAPACK, angles by arctan2, percentiles by NumPy."""
    density = -np.log((image.reshape(-1, 3) + 1.0) / 256)
    density = density[(density >= 0.15).all(axis=1)]
    plane = np.linalg.svd(density, full_matrices=False)[2][:2].T
    plane[:, 0] *= np.sign(plane[:, 0].sum())
    across = density @ plane
    angles = np.percentile(np.arctan2(across[:, 1], across[:, 0]), [1, 99])
    stains = (plane @ [np.cos(angles), np.sin(angles)]).T
    return stains[np.argsort(-stains[:, 0])]


def test_stains_are_those_of_the_published_formula(photographs) -> None:
    stains, found = macenko(photographs)
    assert found.all()
    expected = np.stack([published(image) for image in photographs])
    assert stains == pytest.approx(expected, abs=1e-4)
    assert np.linalg.norm(stains, axis=-1) == pytest.approx(1, abs=1e-6)


def test_the_two_stains_of_a_mixture_are_recovered() -> None:
    pure = np.array([[0.49, 0.84, 0.24], [0.36, 0.64, 0.68]])  # of unit length
    amounts = np.random.default_rng(0).uniform(0.7, 1.5, (1, 40, 40, 2))
    amounts[0, :, :5, 0] = amounts[0, :, 5:10, 1] = 0
    images = np.rint(256 * np.exp(-amounts @ pure) - 1).astype(np.uint8)
    stains, found = macenko(images)
    assert found.all()
    assert stains[0] == pytest.approx(pure, abs=0.02)


@pytest.mark.parametrize(
    "color", [(255, 255, 255), (0, 0, 0), (90, 40, 130)], ids=["white", "black", "purple"]
)
@pytest.mark.parametrize("side", [1, 16])
def test_an_image_of_one_color_gets_the_stains_of_hed(color, side) -> None:
    stains, found = macenko(np.full((2, side, side, 3), color, np.uint8))
    assert not found.any()
    assert (stains == HED[:2]).all()


def test_hardly_any_stained_pixel_is_too_few() -> None:
    images = np.full((2, 20, 20, 3), 255, np.uint8)
    images[0, 0, :2] = [[90, 40, 130], [150, 60, 70]]
    images[1, 0, :4] = [[90, 40, 130], [150, 60, 70]] * 2
    assert macenko(images)[1].tolist() == [False, True]


def test_two_colors_that_hardly_differ_are_one_stain() -> None:
    images = np.full((2, 16, 16, 3), (90, 40, 130), np.uint8)
    images[0, :8] = (92, 42, 132)
    images[1, :8] = (130, 60, 70)
    assert macenko(images)[1].tolist() == [False, True]
