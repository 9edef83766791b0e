"""Images and masks of another size, by Pillow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Images, Masks

_Filter = Image.Resampling


def resize(images: Images, height: int, width: int) -> Images:
    """Images (n, height, width, 3) uint8 of another size, by a triangle filter (BILINEAR).

    The filter widens when shrinking, so that every pixel counts.
    """
    return _resized(images, height, width, _Filter.BILINEAR)


def resize_masks(masks: Masks, side: int) -> Masks:
    """Square masks (n, side, side) bool of another size, each pixel from the nearest."""
    if masks.shape[1:] == (side, side):
        return masks
    return _resized(masks.view(np.uint8), side, side, _Filter.NEAREST).view(bool)


def _resized(
    arrays: NDArray[np.uint8], height: int, width: int, how: Image.Resampling
) -> NDArray[np.uint8]:
    out = np.empty((len(arrays), height, width, *arrays.shape[3:]), np.uint8)
    for array, target in zip(arrays, out, strict=True):
        target[:] = np.asarray(Image.fromarray(array).resize((width, height), how))
    return out
