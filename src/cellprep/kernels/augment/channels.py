"""A gain and an offset for each channel of some 8-bit RGB images of a batch, in place, compiled."""

from __future__ import annotations

import numba as nb
import numpy as np

from ..levels import linear


@nb.njit(cache=True, nogil=True)
def channel_gain(images, rows, gains, offsets):
    """Multiply each channel and add to it; clipped and rounded to the nearest level, halves up.

    `images` are (n, height, width, 3) uint8, `rows` (m,), `gains` and `offsets` (m, 3) float32,
    offsets in levels.
    """
    for i in range(len(rows)):
        _channel_gain(images[rows[i]], gains[i], offsets[i])


@nb.njit(cache=True, nogil=True)
def _channel_gain(image, gains, offsets):
    height, width, _ = image.shape
    factors = np.empty(3 * width, np.float32)  # one per byte of a row, to fill vector registers
    levels = np.empty(3 * width, np.float32)
    for c in range(3):
        factors[c::3], levels[c::3] = gains[c], offsets[c]
    for y in range(height):
        row = image[y].reshape(3 * width)
        for i in range(3 * width):
            row[i] = linear(row[i], factors[i], levels[i])
