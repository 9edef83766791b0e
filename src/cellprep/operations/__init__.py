"""The table of pixel operations that RandAugment, Corrupt and the keras-cv engine share.

A new operation is one entry in a file here and one function in `cellprep.kernels`; other packages
add entries by an entry point of the group `cellprep.operations`, which names an `Operation`.
"""

from __future__ import annotations

from ..kernels import KERAS_CV
from ..system.plugins import Registry
from . import augmix, colors, filters, moves
from .operation import NONE, Arguments, Operation, Strength
from .slots import Slots

OPERATIONS: Registry[Operation] = Registry(
    "cellprep.operations",
    {
        operation.name: operation
        for module in (colors, moves, filters, augmix)
        for operation in module.OPERATIONS
    },
)

WIDE = (
    *KERAS_CV,
    *("rotation", "flip", "zoom", "hue", "saturation", "gamma", "channel_shuffle", "posterize"),
    *("invert", "color_cast", "stain", "gaussian_noise", "gaussian_blur", "motion_blur", "jpeg"),
    *("cutout", "grid_mask"),
)
"""KerasCV's ten and seventeen more."""
LISTS = {"keras-cv": KERAS_CV, "wide": WIDE}
"""The lists of operations that RandAugment knows by name."""

__all__ = [
    "KERAS_CV",
    "LISTS",
    "NONE",
    "OPERATIONS",
    "WIDE",
    "Arguments",
    "Operation",
    "Slots",
    "Strength",
]
