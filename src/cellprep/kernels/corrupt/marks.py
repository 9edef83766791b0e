"""Marks that cover parts of some images of a batch, in place, compiled.

Positions are sampled from each image's seed. Lengths of stains and bubbles are in pixels at a side
of 224 and scaled by the shorter side / 224. Edges are soft over one pixel, so that marks smaller
than a pixel are still visible.
"""

from __future__ import annotations

import math

import numpy as np

from ..compiling import kernel
from ..levels import to_level
from .noise import unit

_FULL = 224


@kernel(inline="always")
def _blend(image, y, x, level, part):
    """Move a pixel by a fraction of the way to a level."""
    for c in range(3):
        value = np.float32(image[y, x, c])
        image[y, x, c] = to_level(value + np.float32(part) * (np.float32(level) - value))


@kernel(inline="always")
def _span(middle, reach, side):
    """The pixels within reach of a position."""
    return max(0, math.ceil(middle - reach)), min(side, math.floor(middle + reach) + 1)


@kernel
def stain_deposit(images, rows, counts, diameters, seeds):
    """Black marks with an uneven outline, after MedMNIST-C's stain deposits [1]_.

    Theirs are drawn by hand, ten of 24 pixels and ten of 32. Here an outline is a circle modulated
    by three waves; diameters of 21 and 26.5 pixels give the mean area of their marks. Marks keep a
    distance of 10 pixels to the border.

    References
    ----------
    .. [1] F. Di Salvo, S. Doerrich, C. Ledig. MedMNIST-C: comprehensive benchmark and improved
       classifier robustness by simulating realistic image corruptions. 2024. arXiv:2406.17536.
    """
    _, height, width, _ = images.shape
    scale = min(height, width) / _FULL
    for i in range(len(rows)):
        image, seed, drawn = images[rows[i]], seeds[i], 0
        for _ in range(int(counts[i])):
            radius = diameters[i] * scale / 2
            inset = 10 * scale + 1.15 * radius
            middle_x = inset + (width - 2 * inset) * unit(seed, drawn) - 0.5
            middle_y = inset + (height - 2 * inset) * unit(seed, drawn + 1) - 0.5
            # amplitudes of the waves, of which 2, 3 and 5 fit around the outline
            even_2, odd_2 = 0.24 * unit(seed, drawn + 2) - 0.12, 0.24 * unit(seed, drawn + 3) - 0.12
            even_3, odd_3 = 0.18 * unit(seed, drawn + 4) - 0.09, 0.18 * unit(seed, drawn + 5) - 0.09
            even_5, odd_5 = 0.12 * unit(seed, drawn + 6) - 0.06, 0.12 * unit(seed, drawn + 7) - 0.06
            drawn += 8
            top, bottom = _span(middle_y, 1.4 * radius + 1, height)
            left, right = _span(middle_x, 1.4 * radius + 1, width)
            for y in range(top, bottom):
                for x in range(left, right):
                    away = math.hypot(x - middle_x, y - middle_y)
                    far = max(away, 1e-6)
                    cos, sin = (x - middle_x) / far, (y - middle_y) / far
                    cos_2, sin_2 = cos * cos - sin * sin, 2 * cos * sin
                    cos_3, sin_3 = cos_2 * cos - sin_2 * sin, sin_2 * cos + cos_2 * sin
                    cos_5, sin_5 = cos_2 * cos_3 - sin_2 * sin_3, sin_2 * cos_3 + cos_2 * sin_3
                    waves = even_2 * cos_2 + odd_2 * sin_2 + even_3 * cos_3 + odd_3 * sin_3
                    waves += even_5 * cos_5 + odd_5 * sin_5
                    part = radius * (1 + waves) - away + 0.5
                    if part > 0:
                        _blend(image, y, x, 0, min(part, 1.0))


@kernel
def bubbles(images, rows, counts, largest, seeds):
    """Pale discs with a brighter rim, after MedMNIST-C's bubbles.

    Radii are whole numbers of pixels from 3 to `largest`; white is blended in by 100 / 255 inside
    and by 130 / 255 on a rim of 2 pixels. A later bubble replaces what it covers of an earlier one.
    Centres keep a distance of one radius to the border.
    """
    _, height, width, _ = images.shape
    scale = min(height, width) / _FULL
    cover = np.zeros((height, width), np.float32)
    for i in range(len(rows)):
        image, seed = images[rows[i]], seeds[i]
        cover[:] = 0
        for bubble in range(int(counts[i])):
            radius = 3 + math.floor((largest[i] - 2) * unit(seed, 3 * bubble))
            inset = radius * scale
            middle_x = inset + (width - 2 * inset) * unit(seed, 3 * bubble + 1) - 0.5
            middle_y = inset + (height - 2 * inset) * unit(seed, 3 * bubble + 2) - 0.5
            inner, outer = (radius + 0.5) * scale, (radius + 2.5) * scale
            top, bottom = _span(middle_y, outer + 1, height)
            left, right = _span(middle_x, outer + 1, width)
            for y in range(top, bottom):
                for x in range(left, right):
                    away = math.hypot(x - middle_x, y - middle_y)
                    rim = min(outer - away + 0.5, 1.0)
                    if rim > 0:
                        within = min(max(inner - away + 0.5, 0.0), 1.0)
                        white = (130 - 30 * within) / 255
                        cover[y, x] += rim * (white - cover[y, x])
        for y in range(height):
            for x in range(width):
                if cover[y, x] > 0:
                    _blend(image, y, x, 255, cover[y, x])


@kernel
def cutout(images, rows, sizes, seeds):
    """A black square of `sizes` times the shorter side, centred on any pixel [1]_.

    So part of it may lie outside.

    References
    ----------
    .. [1] T. DeVries, G. Taylor. Improved regularization of convolutional neural networks with
       Cutout. 2017. arXiv:1708.04552.
    """
    _, height, width, _ = images.shape
    for i in range(len(rows)):
        size = max(1, int(sizes[i] * min(height, width) + 0.5))
        top = int(unit(seeds[i], 0) * height) - size // 2
        left = int(unit(seeds[i], 1) * width) - size // 2
        images[rows[i]][max(0, top) : top + size, max(0, left) : left + size] = 0


@kernel
def grid_mask(images, rows, ratios, units, angles, seeds):
    """Black squares on a rotated grid [1]_.

    `units` are the grid's spacing as fractions of the shorter side, `ratios` the squares' side as
    fractions of that, `angles` in degrees.

    References
    ----------
    .. [1] P. Chen, S. Liu, H. Zhao, X. Wang, J. Jia. GridMask data augmentation. 2020.
       arXiv:2001.04086.
    """
    _, height, width, _ = images.shape
    within = np.empty(width, np.bool_)
    for i in range(len(rows)):
        image = images[rows[i]]
        per_pixel = 1 / (units[i] * min(height, width))
        turn = math.radians(angles[i])
        cos, sin = math.cos(turn) * per_pixel, math.sin(turn) * per_pixel
        first_u, first_v = unit(seeds[i], 0), unit(seeds[i], 1)
        for y in range(height):
            for x in range(width):
                u = first_u + x * cos + y * sin
                v = first_v + y * cos - x * sin
                within[x] = (u - np.floor(u) < ratios[i]) & (v - np.floor(v) < ratios[i])
            for x in range(width):
                if within[x]:
                    image[y, x, 0] = image[y, x, 1] = image[y, x, 2] = 0
