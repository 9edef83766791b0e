"""The ten operations of RandAugment as keras-cv itself computes them (extra `keras-cv`)."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images
from ..errors import CellprepError
from .operation import NONE
from .slots import Slots


def run(images: Images, slots: Slots) -> Images:
    """Send images (m, height, width, 3) uint8 through their slots, with floats in between."""
    layers = _layers()
    current = images.astype(np.float32)
    for slot, names in enumerate(slots.operations.T):
        for name in np.unique(names).tolist():
            if name != NONE:
                at = np.flatnonzero(names == name)
                a, b, _ = slots.values[at, slot].T
                current[at] = _one(layers[name], name, current[at], a, b)
    return (current + np.float32(0.5)).astype(np.uint8)  # halves rounded up, as in our kernels


def _one(
    layer: Any,
    name: str,
    images: NDArray[np.float32],
    values: NDArray[np.float32],
    thresholds: NDArray[np.float32],
) -> NDArray[np.float32]:
    """One operation on a batch, with these parameters instead of the layer's own sampling."""
    from tensorflow import convert_to_tensor

    column, cube = values[:, None], values[:, None, None, None]
    zero = np.zeros_like(column)
    transformations: Any = {
        "solarization": {"additions": cube, "thresholds": thresholds[:, None, None, None]},
        "color_degeneration": cube,
        "contrast": cube,
        "brightness": cube * np.float32(255),
        "shear_x": {"shear_x": column, "shear_y": None},
        "shear_y": {"shear_x": None, "shear_y": column},
        "translation_x": {"height_translations": zero, "width_translations": column},
        "translation_y": {"height_translations": column, "width_translations": zero},
    }.get(name)
    changed = layer.augment_images(convert_to_tensor(images), transformations=transformations)
    return np.asarray(changed, np.float32)


@cache
def _layers() -> dict[str, Any]:
    try:
        import keras_cv
    except ImportError as error:
        raise CellprepError(
            'engine="keras_cv" needs keras-cv 0.9.0 and TensorFlow; '
            "pip install 'cellprep[keras-cv]'"
        ) from error
    make = keras_cv.layers
    shear = make.RandomShear(x_factor=1.0, y_factor=1.0)
    translation = make.RandomTranslation(height_factor=1.0, width_factor=1.0)
    layers = {
        "auto_contrast": make.AutoContrast(value_range=(0, 255)),
        "equalization": make.Equalization(value_range=(0, 255)),
        "solarization": make.Solarization(value_range=(0, 255)),
        "color_degeneration": make.RandomColorDegeneration(factor=1.0),
        "contrast": make.RandomContrast(value_range=(0, 255), factor=0.5),
        "brightness": make.RandomBrightness(value_range=(0, 255), factor=0.5),
        "shear_x": shear,
        "shear_y": shear,
        "translation_x": translation,
        "translation_y": translation,
    }
    return layers
