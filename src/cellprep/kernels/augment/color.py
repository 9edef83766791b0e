"""Changes of value and colour on some 8-bit RGB images of a batch, in place, compiled.

Every public function takes images (n, height, width, 3) uint8, the (m,) rows to change, and one
float32 value per row for each parameter. Results are clipped to 0-255 and rounded to the nearest
level, halves up. The formulas are those of keras-cv 0.9.0, which keeps floats where these round,
unless another source is named. Loops run over whole rows of bytes, with one value per byte where
the channels differ, so that they fill vector registers.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from ..levels import equalization_table, fade, linear, luma, raise_by, solarize, spread, to_level


@nb.njit(cache=True, nogil=True)
def auto_contrast(images, rows):
    """Stretch each channel to 0-255; a channel of one value stays."""
    for i in range(len(rows)):
        _auto_contrast(images[rows[i]])


@nb.njit(cache=True, nogil=True)
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


@nb.njit(cache=True, nogil=True)
def equalization(images, rows):
    """Histogram equalisation, channel by channel.

    Like PIL's `ImageOps.equalize`, except that, as in keras-cv, the smallest count that occurs is
    subtracted from the total, not the count of the brightest value.
    """
    for i in range(len(rows)):
        _equalization(images[rows[i]])


@nb.njit(cache=True, nogil=True)
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
    for first in range(np.uint64(0), np.uint64(len(words)), np.uint64(3)):
        for j in range(3):
            word, mapped = words[first + np.uint64(j)], np.uint64(0)
            for k in range(8):
                value = (word >> np.uint64(8 * k)) & np.uint64(255)
                mapped |= np.uint64(table[(2 * j + k) % 3, value]) << np.uint64(8 * k)
            words[first + np.uint64(j)] = mapped
    for i in range(whole, len(flat)):
        flat[i] = table[i % 3, flat[i]]


@nb.njit(cache=True, nogil=True)
def solarization(images, rows, additions, thresholds):
    """Add, clip, then invert the values from the threshold up; both in levels."""
    for i in range(len(rows)):
        _solarization(images[rows[i]], additions[i], thresholds[i])


@nb.njit(cache=True, nogil=True)
def _solarization(image, addition, threshold):
    flat = image.reshape(image.size)
    for i in range(len(flat)):
        flat[i] = solarize(flat[i], addition, threshold)


@nb.njit(cache=True, nogil=True)
def solarize_above(images, rows, thresholds):
    """Invert the values from the threshold up, as `PIL.ImageOps.solarize` does."""
    for i in range(len(rows)):
        _solarization(images[rows[i]], np.float32(0), thresholds[i])


@nb.njit(cache=True, nogil=True)
def contrast(images, rows, factors):
    """Scale the distance to the channel's mean."""
    for i in range(len(rows)):
        _contrast(images[rows[i]], factors[i])


@nb.njit(cache=True, nogil=True)
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


@nb.njit(cache=True, nogil=True)
def brightness(images, rows, shifts):
    """Add a fraction of the full range, in [-1, 1]."""
    for i in range(len(rows)):
        _brightness(images[rows[i]], shifts[i])


@nb.njit(cache=True, nogil=True)
def _brightness(image, shift):
    flat = image.reshape(image.size)
    levels = shift * np.float32(255)
    for i in range(len(flat)):
        flat[i] = raise_by(flat[i], levels)


@nb.njit(cache=True, nogil=True)
def color_degeneration(images, rows, factors):
    """Blend with the grey image (ITU-R BT.601 luma): 0 keeps the colours, 1 removes them."""
    for i in range(len(rows)):
        _color_degeneration(images[rows[i]], factors[i])


@nb.njit(cache=True, nogil=True)
def _color_degeneration(image, factor):
    height, width, _ = image.shape
    for y in range(height):
        row = image[y].reshape(3 * width)
        for x in range(width):
            red, green = np.float32(row[3 * x]), np.float32(row[3 * x + 1])
            blue = np.float32(row[3 * x + 2])
            grey = luma(red, green, blue)
            row[3 * x] = fade(red, grey, factor)
            row[3 * x + 1] = fade(green, grey, factor)
            row[3 * x + 2] = fade(blue, grey, factor)


@nb.njit(cache=True, nogil=True)
def saturation(images, rows, factors):
    """Scale the distance to the grey image: 0 removes the colours, 1 keeps them."""
    for i in range(len(rows)):
        _color_degeneration(images[rows[i]], np.float32(1) - factors[i])


@nb.njit(cache=True, nogil=True)
def gain(images, rows, factors):
    """Scale all values, as `PIL.ImageEnhance.Brightness` does."""
    for i in range(len(rows)):
        _gain(images[rows[i]], factors[i])


@nb.njit(cache=True, nogil=True)
def _gain(image, factor):
    flat = image.reshape(image.size)
    for i in range(len(flat)):
        flat[i] = to_level(np.float32(flat[i]) * factor)


@nb.njit(cache=True, nogil=True)
def grey_contrast(images, rows, factors):
    """Scale the distance to the mean of the grey image, as `PIL.ImageEnhance.Contrast` does."""
    for i in range(len(rows)):
        _grey_contrast(images[rows[i]], factors[i])


@nb.njit(cache=True, nogil=True)
def _grey_contrast(image, factor):
    flat = image.reshape(image.size)
    n = len(flat) // 3
    total = 0
    for p in range(n):
        at = np.uint64(3 * p)
        red, green, blue = int(flat[at]), int(flat[at + np.uint64(1)]), int(flat[at + np.uint64(2)])
        total += (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    mean = np.float32(np.floor(total / n + 0.5))
    for i in range(len(flat)):
        flat[i] = to_level((np.float32(flat[i]) - mean) * factor + mean)


@nb.njit(cache=True, nogil=True)
def saturate(images, rows, amounts):
    """Add to the saturation of HSV [1]_; grey, whose hue is 0 there, turns red.

    Hue and value stay, so the distance of each channel to the largest one grows in proportion to
    the saturation.

    References
    ----------
    .. [1] A. R. Smith. Color gamut transform pairs. SIGGRAPH 1978.
    """
    for i in range(len(rows)):
        _saturate(images[rows[i]], amounts[i])


@nb.njit(cache=True, nogil=True)
def _saturate(image, amount):
    flat = image.reshape(image.size)
    for p in range(len(flat) // 3):
        at = np.uint64(3 * p)
        red, green = np.float32(flat[at]), np.float32(flat[at + np.uint64(1)])
        blue = np.float32(flat[at + np.uint64(2)])
        most = max(red, green, blue)
        spread = most - min(red, green, blue)
        if spread == 0:
            flat[at + np.uint64(1)] = flat[at + np.uint64(2)] = to_level(most - most * amount)
        else:
            growth = min(most, spread + amount * most) / spread
            flat[at] = to_level(most - growth * (most - red))
            flat[at + np.uint64(1)] = to_level(most - growth * (most - green))
            flat[at + np.uint64(2)] = to_level(most - growth * (most - blue))


@nb.njit(cache=True, nogil=True)
def hue(images, rows, turns):
    """Rotate the hue of HSV by a fraction of the full circle; greys stay."""
    for i in range(len(rows)):
        _hue(images[rows[i]], turns[i])


@nb.njit(cache=True, nogil=True)
def _hue(image, turn):
    flat = image.reshape(image.size)
    # As the hue rotates, each channel falls from the largest value to the smallest and rises again;
    # red, green and blue do so at 5, 3 and 1 sixths of the circle.
    six, turns = np.float32(6), np.float32(6) * turn
    for p in range(len(flat) // 3):
        at = np.uint64(3 * p)
        red, green = np.float32(flat[at]), np.float32(flat[at + np.uint64(1)])
        blue = np.float32(flat[at + np.uint64(2)])
        most = max(red, green, blue)
        spread = most - min(red, green, blue)
        part = np.float32(1) / max(spread, np.float32(1))
        if most == red:
            angle = (green - blue) * part
        elif most == green:
            angle = (blue - red) * part + np.float32(2)
        else:
            angle = (red - green) * part + np.float32(4)
        angle += turns
        for c in range(3):
            place = angle + np.float32(5 - 2 * c)
            place -= six * np.floor(place * np.float32(1 / 6))
            fall = min(max(min(place, np.float32(4) - place), np.float32(0)), np.float32(1))
            flat[at + np.uint64(c)] = to_level(most - spread * fall)


@nb.njit(cache=True, nogil=True)
def posterize(images, rows, bits):
    """Keep the highest bits of each value, as `PIL.ImageOps.posterize` does."""
    for i in range(len(rows)):
        _posterize(images[rows[i]], int(bits[i]))


@nb.njit(cache=True, nogil=True)
def _posterize(image, bits):
    flat = image.reshape(image.size)
    mask = np.uint8(256 - (1 << (8 - bits)))
    for i in range(len(flat)):
        flat[i] &= mask


@nb.njit(cache=True, nogil=True)
def channel_shuffle(images, rows, orders):
    """Permute the channels: 0 to 4 for gbr, brg, rbg, bgr, grb."""
    for i in range(len(rows)):
        _channel_shuffle(images[rows[i]], int(orders[i]))


@nb.njit(cache=True, nogil=True)
def _channel_shuffle(image, order):
    first, second = (1, 2, 0, 2, 1)[order], (2, 0, 2, 1, 0)[order]
    third = 3 - first - second
    flat = image.reshape(image.size)
    for p in range(0, len(flat), 3):
        one, two, three = flat[p + first], flat[p + second], flat[p + third]
        flat[p], flat[p + 1], flat[p + 2] = one, two, three


@nb.njit(cache=True, nogil=True)
def channel_shift(images, rows, red, green, blue):
    """Add to each channel its own fraction of the full range."""
    for i in range(len(rows)):
        _channel_shift(images[rows[i]], red[i], green[i], blue[i])


@nb.njit(cache=True, nogil=True)
def _channel_shift(image, red, green, blue):
    height, width, _ = image.shape
    levels = np.empty(3 * width, np.float32)
    for c, shift in enumerate((red, green, blue)):
        levels[c::3] = shift * np.float32(255)
    for y in range(height):
        row = image[y].reshape(3 * width)
        for i in range(3 * width):
            row[i] = to_level(np.float32(row[i]) + levels[i])


@nb.njit(cache=True, nogil=True)
def paint(images, rows, kept, value):
    """Set the pixels of images `rows` that are 0 in `kept` to a value.

    `kept` is (m, height, width) uint8 of 0 and 1. Most runs of eight pixels are alike.
    """
    ones = np.uint64(0x0101010101010101)
    eight = ones * np.uint64(value)
    for i in range(len(rows)):
        image, mask = images[rows[i]].reshape(3 * kept[i].size), kept[i].reshape(kept[i].size)
        whole = len(mask) // 8 * 8
        masks, words = mask[:whole].view(np.uint64), image[: 3 * whole].view(np.uint64)
        for j in range(len(masks)):
            if masks[j] == 0:
                words[3 * j] = words[3 * j + 1] = words[3 * j + 2] = eight
            elif masks[j] != ones:
                for p in range(8 * j, 8 * j + 8):
                    if not mask[p]:
                        image[3 * p] = image[3 * p + 1] = image[3 * p + 2] = value
        for p in range(whole, len(mask)):
            if not mask[p]:
                image[3 * p] = image[3 * p + 1] = image[3 * p + 2] = value
