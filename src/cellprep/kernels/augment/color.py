"""Changes of colour on some 8-bit RGB images of a batch, in place, compiled.

Every operation takes images (n, height, width, 3) uint8, the (m,) rows to change, and one float32
value per row for each parameter. Results are clipped to 0-255 and rounded to the nearest level,
halves up. The formulas are those of keras-cv 0.9.0, which keeps floats where these round, unless
another source is named. Loops run over whole rows of bytes, with one value per byte where the
channels differ, so that they fill vector registers.
"""

from __future__ import annotations

import numpy as np

from ..compiling import kernel
from ..levels import fade, linear, luma, to_level


@kernel
def color_degeneration(images, rows, factors):
    """Blend with the grey image (ITU-R BT.601 luma): 0 keeps the colours, 1 removes them."""
    for i in range(len(rows)):
        _color_degeneration(images[rows[i]], factors[i])


@kernel
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


@kernel
def saturation(images, rows, factors):
    """Scale the distance to the grey image: 0 removes the colours, 1 keeps them."""
    for i in range(len(rows)):
        _color_degeneration(images[rows[i]], np.float32(1) - factors[i])


@kernel
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


@kernel
def _saturate(image, amount):
    flat = image.reshape(image.size)
    for p in range(len(flat) // 3):
        at = np.uint64(3 * p)
        red, green = np.float32(flat[at]), np.float32(flat[at + np.uint64(1)])
        blue = np.float32(flat[at + np.uint64(2)])
        most = max(red, green, blue)
        spread, fall = most - min(red, green, blue), amount * most
        growth = min(most, spread + fall) / max(spread, np.float32(1))
        flat[at] = to_level(most - growth * (most - red))
        # choices between values, not branches, which would keep the loop out of vector registers
        by_green = growth * (most - green) if spread > 0 else fall
        by_blue = growth * (most - blue) if spread > 0 else fall
        flat[at + np.uint64(1)] = to_level(most - by_green)
        flat[at + np.uint64(2)] = to_level(most - by_blue)


@kernel
def hue(images, rows, turns):
    """Rotate the hue of HSV by a fraction of the full circle; greys stay."""
    for i in range(len(rows)):
        _hue(images[rows[i]], turns[i])


@kernel
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


@kernel
def channel_shuffle(images, rows, orders):
    """Permute the channels: 0 to 4 for gbr, brg, rbg, bgr, grb."""
    for i in range(len(rows)):
        _channel_shuffle(images[rows[i]], int(orders[i]))


@kernel
def _channel_shuffle(image, order):
    first, second = np.uint64((1, 2, 0, 2, 1)[order]), np.uint64((2, 0, 2, 1, 0)[order])
    third = np.uint64(3) - first - second
    flat = image.reshape(image.size)
    for p in range(np.uint64(0), np.uint64(len(flat)), np.uint64(3)):
        one, two, three = flat[p + first], flat[p + second], flat[p + third]
        flat[p], flat[p + np.uint64(1)], flat[p + np.uint64(2)] = one, two, three


@kernel
def channel_shift(images, rows, red, green, blue):
    """Add to each channel its own fraction of the full range."""
    still = np.ones(3, np.float32)
    for i in range(len(rows)):
        levels = np.array([red[i], green[i], blue[i]], np.float32) * np.float32(255)
        _each_channel(images[rows[i]], still, levels)


@kernel
def color_cast(images, rows, red, green, blue):
    """Scale each channel by its own factor, as light of another colour does [1]_.

    References
    ----------
    .. [1] J. von Kries. Chromatic adaptation. 1902.
    """
    still = np.zeros(3, np.float32)
    for i in range(len(rows)):
        factors = np.array([red[i], green[i], blue[i]], np.float32)
        _each_channel(images[rows[i]], factors, still)


@kernel
def channel_gain(images, rows, gains, offsets):
    """Multiply each channel and add to it; clipped and rounded to the nearest level, halves up.

    `gains` and `offsets` are (m, 3) float32, offsets in levels.
    """
    for i in range(len(rows)):
        _each_channel(images[rows[i]], gains[i], offsets[i])


@kernel
def _each_channel(image, factors, offsets):
    height, width, _ = image.shape
    scale = np.empty(3 * width, np.float32)
    offset = np.empty(3 * width, np.float32)
    for c in range(3):
        scale[c::3], offset[c::3] = factors[c], offsets[c]
    for y in range(height):
        row = image[y].reshape(3 * width)
        for i in range(3 * width):
            row[i] = linear(row[i], scale[i], offset[i])


@kernel
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
