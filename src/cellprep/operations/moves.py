"""Operations that move pixels; masks move with them."""

from __future__ import annotations

from .operation import Operation

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
    Operation("rotation", "augment.affine:rotation", "a", moves=True),
    Operation("flip", "augment.affine:flip", "a", whole=True, moves=True),
    Operation("translation", "augment.affine:translation", "a b", moves=True),
    Operation("zoom", "augment.affine:zoom", "a", moves=True),
    Operation("centered_shear_x", "augment.affine:centered_shear_x", "a", moves=True),
    Operation("centered_shear_y", "augment.affine:centered_shear_y", "a", moves=True),
)
