"""Operations that move pixels; masks move with them."""

from __future__ import annotations

import numpy as np

from .operation import Operation, either_way, whole

OPERATIONS = (
    # KerasCV's, in its RandAugment: shears about the top left corner
    Operation(
        "shear_x",
        "augment.shift:shear_x",
        "a",
        moves=True,
        strength=lambda sampled: sampled.sign * sampled.normal,
    ),
    Operation(
        "shear_y",
        "augment.shift:shear_y",
        "a",
        moves=True,
        strength=lambda sampled: sampled.sign * sampled.normal,
    ),
    Operation(
        "translation_x",
        "augment.shift:translation_x",
        "a",
        moves=True,
        strength=lambda sampled: sampled.uniform,
    ),
    Operation(
        "translation_y",
        "augment.shift:translation_y",
        "a",
        moves=True,
        strength=lambda sampled: sampled.uniform,
    ),
    # about the image's centre
    Operation(
        "rotation",
        "augment.affine:rotation",
        "a",
        moves=True,
        strength=lambda sampled: 180 * sampled.uniform,
    ),
    Operation(
        "flip",
        "augment.affine:flip",
        "a",
        whole=True,
        moves=True,
        strength=lambda sampled: whole(sampled.second, 3),
    ),
    Operation("translation", "augment.affine:translation", "a b", moves=True),
    Operation(
        "zoom",
        "augment.affine:zoom",
        "a",
        moves=True,
        strength=lambda sampled: either_way(np.float32(0.25) * sampled.uniform),
    ),
    Operation("centered_shear_x", "augment.affine:centered_shear_x", "a", moves=True),
    Operation("centered_shear_y", "augment.affine:centered_shear_y", "a", moves=True),
)
