"""Operations on values and colours."""

from __future__ import annotations

import numpy as np

from .operation import Operation, Strength, Values, either_way, whole


def _three_changes(sampled: Strength) -> tuple[Values, Values, Values]:
    """Three relative changes, independent of each other, up to half the magnitude."""
    half = np.float32(0.5)
    spread = half * np.float32(sampled.magnitude)
    return half * sampled.uniform, spread * sampled.second, spread * sampled.third


def _color_cast(sampled: Strength) -> tuple[Values, ...]:
    return tuple(1 + change for change in _three_changes(sampled))


OPERATIONS = (
    # KerasCV's, in its RandAugment
    Operation("auto_contrast", "augment.tone:auto_contrast"),
    Operation("equalization", "augment.tone:equalization"),
    Operation(
        "solarization",
        "augment.tone:solarization",
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
        "contrast", "augment.tone:contrast", "a", strength=lambda sampled: 1 + sampled.uniform
    ),
    Operation(
        "brightness", "augment.tone:brightness", "a", strength=lambda sampled: sampled.uniform
    ),
    # others
    Operation("solarize_above", "augment.tone:solarize_above", "a"),
    Operation("gain", "augment.tone:gain", "a"),
    Operation("grey_contrast", "augment.tone:grey_contrast", "a"),
    Operation(
        "gamma", "augment.tone:gamma", "a", strength=lambda sampled: either_way(sampled.uniform)
    ),
    Operation(
        "posterize",
        "augment.tone:posterize",
        "a",
        whole=True,
        strength=lambda sampled: 8 - np.floor(6 * sampled.normal + np.float32(0.5)),
    ),
    Operation("invert", "augment.tone:invert"),
    Operation(
        "saturation", "augment.color:saturation", "a", strength=lambda sampled: 1 + sampled.uniform
    ),
    Operation("saturate", "augment.color:saturate", "a"),
    Operation("hue", "augment.color:hue", "a", strength=lambda sampled: sampled.uniform / 2),
    Operation(
        "channel_shuffle",
        "augment.color:channel_shuffle",
        "a",
        whole=True,
        strength=lambda sampled: whole(sampled.second, 5),
    ),
    Operation("channel_shift", "augment.color:channel_shift", "a b c"),
    Operation("color_cast", "augment.color:color_cast", "a b c", strength=_color_cast),
    Operation("stain", "augment.stain:hed", "a b c", strength=_three_changes),
)
