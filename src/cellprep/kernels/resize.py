"""Images and masks of another size, by Pillow or with its bytes."""

from __future__ import annotations

import functools
import sys
from collections import Counter

import numpy as np
from PIL import Image

from ..arrays import Images, Masks

_FEW = 16
"""Images of a size for which comparing compiled code with Pillow is not worth it."""
_SOME = 2_000
"""Images of a size for which loading Numba is not worth it."""
_MOST_PIXELS = 1 << 24

_seen: Counter[tuple[int, ...]] = Counter()


def resize(images: Images, height: int, width: int) -> Images:
    """Images (n, height, width, 3) uint8 of another size, by a triangle filter (BILINEAR).

    The filter widens when shrinking, so that every pixel counts.
    """
    sizes = (*images.shape[1:3], height, width)
    _seen[sizes] += len(images)
    if _seen[sizes] > (_FEW if "numba" in sys.modules else _SOME) and _as_pillow(*sizes):
        from . import triangle

        return triangle.resize(images, height, width)
    return _by_pillow(images, height, width)


def resize_masks(masks: Masks, side: int) -> Masks:
    """Square masks (n, side, side) bool of another size, each pixel from the nearest."""
    if masks.shape[1:] == (side, side):
        return masks
    out = np.empty((len(masks), side, side), bool)
    for mask, target in zip(masks.view(np.uint8), out, strict=True):
        nearest = Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST)
        target[:] = np.asarray(nearest)
    return out


@functools.lru_cache(256)
def _as_pillow(height: int, width: int, to_height: int, to_width: int) -> bool:
    """Whether the compiled code has the bytes of Pillow, whose passes come in either order."""
    from . import triangle

    if height * width > _MOST_PIXELS:
        return False
    noise = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    resized = triangle.resize(noise, to_height, to_width)
    return bool((resized == _by_pillow(noise, to_height, to_width)).all())


def _by_pillow(images: Images, height: int, width: int) -> Images:
    out = np.empty((len(images), height, width, 3), np.uint8)
    for image, target in zip(images, out, strict=True):
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        target[:] = np.asarray(resized)
    return out
