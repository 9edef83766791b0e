"""Operations that blur, add noise, compress, or cover parts of the image."""

from __future__ import annotations

from .operation import Operation

OPERATIONS = (
    Operation("pixelate", "resize:pixelate", "a"),
    Operation("jpeg", "corrupt.jpeg:jpeg", "a"),
    Operation("defocus_blur", "corrupt.blur:defocus_blur", "a"),
    Operation("motion_blur", "corrupt.blur:motion_blur", "a b c"),
    Operation("gaussian_blur", "corrupt.blur:gaussian_blur", "a"),
    Operation("gaussian_noise", "corrupt.noise:gaussian_noise", "a seeds"),
    Operation("stain_deposit", "corrupt.marks:stain_deposit", "a b seeds", whole=True),
    Operation("bubble", "corrupt.marks:bubbles", "a b seeds", whole=True),
    Operation("cutout", "corrupt.marks:cutout", "a seeds"),
    Operation("grid_mask", "corrupt.marks:grid_mask", "a b c seeds"),
)
