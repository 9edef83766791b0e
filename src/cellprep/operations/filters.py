"""Operations that blur, add noise, compress, or cover parts of the image."""

from __future__ import annotations

import numpy as np

from .operation import Operation, Strength, Values

_LEAST = np.float32(0.01)  # of a standard deviation: this one changes nothing


def _motion_blur(sampled: Strength) -> tuple[Values, Values, Values]:
    radius = 15 * sampled.normal
    return radius, np.maximum(radius, _LEAST), 180 * sampled.second


def _grid_mask(sampled: Strength) -> tuple[Values, Values, Values]:
    unit = np.float32(0.35) + np.float32(0.15) * sampled.second
    return np.float32(0.6) * sampled.normal, unit, 45 * sampled.third


OPERATIONS = (
    Operation("pixelate", "corrupt.pixelate:pixelate", "a"),
    Operation(
        "jpeg",
        "corrupt.jpeg:jpeg",
        "a",
        strength=lambda sampled: np.floor(100 - 93 * sampled.normal),
    ),
    Operation("defocus_blur", "corrupt.blur:defocus_blur", "a"),
    Operation("motion_blur", "corrupt.blur:motion_blur", "a b c", strength=_motion_blur),
    Operation(
        "gaussian_blur",
        "corrupt.blur:gaussian_blur",
        "a",
        strength=lambda sampled: np.maximum(6 * sampled.normal, _LEAST),
    ),
    Operation(
        "gaussian_noise",
        "corrupt.noise:gaussian_noise",
        "a seeds",
        strength=lambda sampled: np.float32(0.3) * sampled.normal,
    ),
    Operation("stain_deposit", "corrupt.marks:stain_deposit", "a b seeds", whole=True),
    Operation("bubble", "corrupt.marks:bubbles", "a b seeds", whole=True),
    Operation(
        "cutout", "corrupt.marks:cutout", "a seeds", strength=lambda sampled: sampled.normal / 2
    ),
    Operation("grid_mask", "corrupt.marks:grid_mask", "a b c seeds", strength=_grid_mask),
)
