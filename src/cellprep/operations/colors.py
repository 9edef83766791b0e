"""Operations on values and colours."""

from __future__ import annotations

from .operation import Operation

OPERATIONS = (
    # KerasCV's, in its RandAugment
    Operation("auto_contrast", "augment.color:auto_contrast"),
    Operation("equalization", "augment.color:equalization"),
    Operation(
        "solarization",
        "augment.color:solarization",
        "a b",
        strength=lambda sampled: (110 * sampled.normal, sampled.threshold),
    ),
    Operation(
        "color_degeneration",
        "augment.color:color_degeneration",
        "a",
        strength=lambda sampled: sampled.normal,
    ),
    Operation(
        "contrast", "augment.color:contrast", "a", strength=lambda sampled: 1 + sampled.uniform
    ),
    Operation(
        "brightness", "augment.color:brightness", "a", strength=lambda sampled: sampled.uniform
    ),
    # others
    Operation("solarize_above", "augment.color:solarize_above", "a"),
    Operation("saturation", "augment.color:saturation", "a"),
    Operation("gain", "augment.color:gain", "a"),
    Operation("grey_contrast", "augment.color:grey_contrast", "a"),
    Operation("saturate", "augment.color:saturate", "a"),
    Operation("hue", "augment.color:hue", "a"),
    Operation("posterize", "augment.color:posterize", "a", whole=True),
    Operation("channel_shuffle", "augment.color:channel_shuffle", "a", whole=True),
    Operation("channel_shift", "augment.color:channel_shift", "a b c"),
)
