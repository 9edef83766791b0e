"""Changes of brightness and contrast on some 8-bit RGB images of a batch, in place, compiled.

Every operation takes images (n, height, width, 3) uint8, the (m,) rows to change, and one float32
value per row for each parameter. Results are clipped to 0-255 and rounded to the nearest level,
halves up. The formulas are those of keras-cv 0.9.0, which keeps floats where these round, unless
another source is named. Loops run over whole rows of bytes, with one value per byte where the
channels differ, so that they fill vector registers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Positions
from ..compiling import kernel
from ..levels import (
    equalization_table,
    linear,
    luma_level,
    raise_by,
    solarize,
    spread,
    to_level,
)


@kernel
def auto_contrast(images, rows):
    """Stretch each channel to 0-255; a channel of one value stays."""
    for i in range(len(rows)):
        _auto_contrast(images[rows[i]])


@kernel
def _auto_contrast(image):
    height, width, _ = image.shape
    low = np.full(3 * width, 255, np.uint8)
    high = np.zeros(3 * width, np.uint8)
    for y in range(height):
        row = image[y].reshape(3 * width)
        for i in range(3 * width):
            low[i] = min(low[i], row[i])
            high[i] = max(high[i], row[i])
    scale = np.ones(3 * width, np.float32)
    offset = np.zeros(3 * width, np.float32)
    for c in range(3):
        least, most = low[c], high[c]
        for i in range(c, 3 * width, 3):
            least, most = min(least, low[i]), max(most, high[i])
        if most > least:
            factor = np.float32(255) / np.float32(most - least)
            for i in range(c, 3 * width, 3):
                scale[i], offset[i] = factor, -np.float32(least) * factor
    for y in range(height):
        row = image[y].reshape(3 * width)
        for i in range(3 * width):
            row[i] = linear(row[i], scale[i], offset[i])


@kernel
def equalization(images, rows):
    """Histogram equalisation, channel by channel.

    Like PIL's `ImageOps.equalize`, except that, as in keras-cv, the smallest count that occurs is
    subtracted from the total, not the count of the brightest value.
    """
    for i in range(len(rows)):
        _equalization(images[rows[i]])


@kernel
def _equalization(image):
    flat = image.reshape(image.size)
    # Eight pixels are read as three words: reading a byte alone costs as much as its increment.
    # Increments of one counter wait for each other, so neighbours count in two tables.
    whole = len(flat) - len(flat) % 24
    words = flat[:whole].view(np.uint64)
    counts = np.zeros((2, 3, 256), np.uint32)
    for first in range(np.uint64(0), np.uint64(len(words)), np.uint64(3)):
        for j in range(3):
            word = words[first + np.uint64(j)]
            for k in range(8):
                value = (word >> np.uint64(8 * k)) & np.uint64(255)
                counts[k % 2, (2 * j + k) % 3, value] += np.uint32(1)
    for i in range(whole, len(flat)):
        counts[0, i % 3, flat[i]] += np.uint32(1)
    table = np.empty((3, 256), np.uint8)
    for c in range(3):
        equalization_table(counts[0, c] + counts[1, c], len(flat) // 3, table[c])
    _look_up(flat, table)


@kernel
def _look_up(flat, tables):
    """Map the values of each channel by its table, (3, 256) uint8, eight pixels at a time."""
    whole = len(flat) - len(flat) % 24
    words = flat[:whole].view(np.uint64)
    for first in range(np.uint64(0), np.uint64(len(words)), np.uint64(3)):
        for j in range(3):
            word, mapped = words[first + np.uint64(j)], np.uint64(0)
            for k in range(8):
                value = (word >> np.uint64(8 * k)) & np.uint64(255)
                mapped |= np.uint64(tables[(2 * j + k) % 3, value]) << np.uint64(8 * k)
            words[first + np.uint64(j)] = mapped
    for i in range(whole, len(flat)):
        flat[i] = tables[i % 3, flat[i]]


@kernel
def solarization(images, rows, additions, thresholds):
    """Add, clip, then invert the values from the threshold up; both in levels."""
    for i in range(len(rows)):
        _solarization(images[rows[i]], additions[i], thresholds[i])


@kernel
def _solarization(image, addition, threshold):
    flat = image.reshape(image.size)
    for i in range(len(flat)):
        flat[i] = solarize(flat[i], addition, threshold)


@kernel
def solarize_above(images, rows, thresholds):
    """Invert the values from the threshold up, as `PIL.ImageOps.solarize` does."""
    for i in range(len(rows)):
        _solarization(images[rows[i]], np.float32(0), thresholds[i])


@kernel
def contrast(images, rows, factors):
    """Scale the distance to the channel's mean."""
    for i in range(len(rows)):
        _contrast(images[rows[i]], factors[i])


@kernel
def _contrast(image, factor):
    height, width, _ = image.shape
    sums = np.zeros(3 * width, np.uint32)
    for y in range(height):
        row = image[y].reshape(3 * width)
        for i in range(3 * width):
            sums[i] += np.uint32(row[i])
    mean = np.empty(3 * width, np.float32)
    for c in range(3):
        total = 0
        for i in range(c, 3 * width, 3):
            total += int(sums[i])
        level = np.float32(total / (height * width))
        for i in range(c, 3 * width, 3):
            mean[i] = level
    for y in range(height):
        row = image[y].reshape(3 * width)
        for i in range(3 * width):
            row[i] = spread(row[i], mean[i], factor)


@kernel
def brightness(images, rows, shifts):
    """Add a fraction of the full range, in [-1, 1]."""
    for i in range(len(rows)):
        _brightness(images[rows[i]], shifts[i])


@kernel
def _brightness(image, shift):
    flat = image.reshape(image.size)
    levels = shift * np.float32(255)
    for i in range(len(flat)):
        flat[i] = raise_by(flat[i], levels)


@kernel
def gain(images, rows, factors):
    """Scale all values, as `PIL.ImageEnhance.Brightness` does."""
    for i in range(len(rows)):
        _gain(images[rows[i]], factors[i])


@kernel
def _gain(image, factor):
    flat = image.reshape(image.size)
    for i in range(len(flat)):
        flat[i] = to_level(np.float32(flat[i]) * factor)


@kernel
def grey_contrast(images, rows, factors):
    """Scale the distance to the mean of the grey image, as `PIL.ImageEnhance.Contrast` does."""
    for i in range(len(rows)):
        _grey_contrast(images[rows[i]], factors[i])


@kernel
def _grey_contrast(image, factor):
    flat = image.reshape(image.size)
    n = len(flat) // 3
    total = np.int64(0)
    for p in range(n):
        at = np.uint64(3 * p)
        total += np.int64(luma_level(flat[at], flat[at + np.uint64(1)], flat[at + np.uint64(2)]))
    mean = np.float32(np.floor(total / n + 0.5))
    for i in range(len(flat)):
        flat[i] = to_level((np.float32(flat[i]) - mean) * factor + mean)


@kernel
def posterize(images, rows, bits):
    """Keep the highest bits of each value, as `PIL.ImageOps.posterize` does."""
    for i in range(len(rows)):
        _posterize(images[rows[i]], int(bits[i]))


@kernel
def _posterize(image, bits):
    flat = image.reshape(image.size)
    mask = np.uint8(256 - (1 << (8 - bits)))
    for i in range(len(flat)):
        flat[i] &= mask


@kernel
def invert(images, rows):
    """The negative."""
    for i in range(len(rows)):
        flat = images[rows[i]].reshape(images[0].size)
        for j in range(len(flat)):
            flat[j] = ~flat[j]


def gamma(images: Images, rows: Positions, exponents: NDArray[np.float32]) -> None:
    """Raise the values, as fractions of the full range, to a power: above 1 darkens.

    This is `skimage.exposure.adjust_gamma`.
    """
    fractions = np.arange(256) / 255
    curves = 255 * fractions ** exponents.astype(np.float64)[:, None]
    _map_all(images, rows, np.floor(curves + 0.5).astype(np.uint8))


@kernel
def _map_all(images, rows, curves):
    tables = np.empty((3, 256), np.uint8)
    for i in range(len(rows)):
        for c in range(3):
            for value in range(256):
                tables[c, value] = curves[i, value]
        _look_up(images[rows[i]].reshape(images[0].size), tables)
