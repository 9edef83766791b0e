"""Changes of value and colour on one 8-bit RGB image, compiled.

Every function takes an image `(height, width, 3)` uint8 and writes into another of that shape.
Results are clipped to 0-255 and rounded to the nearest level, halves up. The formulas are those of
keras-cv 0.9.0, which keeps floats where these round.
"""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True, inline="always")
def to_level(value):
    """A float as the nearest of 0-255, halves up."""
    return np.uint8(min(max(value, np.float32(0)), np.float32(255)) + np.float32(0.5))


@nb.njit(cache=True, nogil=True)
def map_values(image, table, out):
    """Look every value up in its channel's row of `table`, (3, 256) uint8."""
    height, width, _ = image.shape
    for y in range(height):
        for x in range(width):
            out[y, x, 0] = table[0, image[y, x, 0]]
            out[y, x, 1] = table[1, image[y, x, 1]]
            out[y, x, 2] = table[2, image[y, x, 2]]


@nb.njit(cache=True, nogil=True)
def histograms(image, counts):
    """Count the values of each channel into `counts`, (3, 256) int32."""
    height, width, _ = image.shape
    counts[:] = 0
    for y in range(height):
        for x in range(width):
            counts[0, image[y, x, 0]] += 1
            counts[1, image[y, x, 1]] += 1
            counts[2, image[y, x, 2]] += 1


@nb.njit(cache=True, nogil=True)
def auto_contrast_table(counts, table):
    """Each channel's smallest and largest value go to 0 and 255; a channel of one value stays."""
    for c in range(3):
        low, high = 0, 255
        while counts[c, low] == 0:
            low += 1
        while counts[c, high] == 0:
            high -= 1
        if low == high:
            for value in range(256):
                table[c, value] = value
            continue
        scale = np.float32(255) / np.float32(high - low)
        offset = -np.float32(low) * scale
        for value in range(256):
            table[c, value] = to_level(np.float32(value) * scale + offset)


@nb.njit(cache=True, nogil=True)
def equalization_table(counts, table):
    """Histogram equalisation, channel by channel.

    As in keras-cv the step is that of PIL's `ImageOps.equalize`, except that the count taken off
    the total is the smallest that occurs, not that of the brightest value.
    """
    for c in range(3):
        total, rarest = 0, np.int32(2**31 - 1)
        for value in range(256):
            count = counts[c, value]
            total += count
            if 0 < count < rarest:
                rarest = count
        step = (total - rarest) // 255
        below = 0
        for value in range(256):
            table[c, value] = value if step == 0 else min((below + step // 2) // step, 255)
            below += counts[c, value]
        if step:
            table[c, 0] = 0


@nb.njit(cache=True, nogil=True)
def solarization_table(addition, threshold, table):
    """Add, clip, then turn the values from the threshold up into 255 minus themselves."""
    for value in range(256):
        level = min(np.float32(value) + addition, np.float32(255))
        level = to_level(level if level < threshold else np.float32(255) - level)
        for c in range(3):
            table[c, value] = level


@nb.njit(cache=True, nogil=True)
def contrast_table(counts, factor, table):
    """Scale the distance to the channel's mean by `factor`."""
    for c in range(3):
        total, weighted = 0, 0
        for value in range(256):
            total += counts[c, value]
            weighted += value * counts[c, value]
        mean = np.float32(weighted / total)
        for value in range(256):
            table[c, value] = to_level((np.float32(value) - mean) * factor + mean)


@nb.njit(cache=True, nogil=True)
def brightness_table(shift, table):
    """Add `shift`, a part of the full range in [-1, 1]."""
    for value in range(256):
        level = to_level(np.float32(value) + shift * np.float32(255))
        for c in range(3):
            table[c, value] = level


@nb.njit(cache=True, nogil=True)
def color_degeneration(image, factor, out):
    """Blend with the grey image (ITU-R BT.601 luma); factor 0 keeps it, 1 leaves only grey."""
    height, width, _ = image.shape
    for y in range(height):
        for x in range(width):
            red = np.float32(image[y, x, 0])
            green = np.float32(image[y, x, 1])
            blue = np.float32(image[y, x, 2])
            grey = np.float32(0.2989) * red + np.float32(0.587) * green + np.float32(0.114) * blue
            out[y, x, 0] = to_level(red + factor * (grey - red))
            out[y, x, 1] = to_level(green + factor * (grey - green))
            out[y, x, 2] = to_level(blue + factor * (grey - blue))
