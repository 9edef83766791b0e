"""Weighted means of an image and its augmented versions, compiled."""

from __future__ import annotations

import numpy as np

from ..compiling import kernel
from ..levels import to_level


@kernel
def blend(images, rows, versions, weights):
    """Blend some images with three versions of each, in place; the image has the remaining weight.

    `versions` is (3 * m, height, width, 3) uint8, three consecutive ones per row; `weights` (m, 3)
    float32.
    """
    m, chains = weights.shape
    for i in range(m):
        flat = images[rows[i]].reshape(images[0].size)
        first = versions[chains * i].reshape(len(flat))
        second = versions[chains * i + 1].reshape(len(flat))
        third = versions[chains * i + 2].reshape(len(flat))
        by_first, by_second, by_third = weights[i]
        rest = np.float32(1) - by_first - by_second - by_third
        for j in range(len(flat)):
            value = rest * np.float32(flat[j]) + by_first * np.float32(first[j])
            value += by_second * np.float32(second[j]) + by_third * np.float32(third[j])
            flat[j] = to_level(value)
