"""The mean and standard deviation of each channel of an image, and images that are given others.

Compiled. Sums have a fixed order, and L*a*b* is computed from tables, so that the bytes are the
same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images
from ..compiling import kernel
from ..lab import from_lab, to_lab
from ..levels import to_level


def statistics(images: Images, color_space: str) -> NDArray[np.float32]:
    """The mean of each channel, and then the standard deviation of each.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    color_space : "rgb" or "lab"
        Levels of red, green and blue, or CIE L*a*b*.

    Returns
    -------
    (n, 6) float32

    Examples
    --------
    >>> pair = np.array([[[[90, 40, 130], [110, 40, 150]]]], np.uint8)
    >>> statistics(pair, "rgb").tolist()
    [[100.0, 40.0, 140.0, 10.0, 0.0, 10.0]]
    """
    found = np.empty((len(images), 6), np.float32)
    _statistics(np.ascontiguousarray(images), color_space == "lab", found)
    return found


@kernel
def _statistics(images, lab, found):
    mean, stddev = np.empty(3), np.empty(3)
    for i in range(len(images)):
        pixels = images[i].reshape(-1, 3)
        colors = np.empty(pixels.shape, np.float32)
        _fill(pixels, lab, colors)
        _measure(colors, mean, stddev)
        for c in range(3):
            found[i, c], found[i, 3 + c] = mean[c], stddev[c]


@kernel
def _fill(pixels, lab, colors):
    """Fill with the pixels in the colour space."""
    if lab:
        to_lab(pixels, colors)
        return
    for p in range(len(pixels)):
        for c in range(3):
            colors[p, c] = pixels[p, c]


@kernel
def _measure(colors, mean, stddev):
    """Fill with the mean and standard deviation of each channel.

    The channels are summed together, so that none waits for its own last sum.
    """
    n = len(colors)
    for c in range(3):
        mean[c] = stddev[c] = 0
    for p in range(n):
        for c in range(3):
            mean[c] += colors[p, c]
    for c in range(3):
        mean[c] /= n
    for p in range(n):
        for c in range(3):
            stddev[c] += (colors[p, c] - mean[c]) ** 2
    for c in range(3):
        stddev[c] = np.sqrt(stddev[c] / n)


@kernel
def match(images, rows, lab, targets, strengths):
    """Move the mean and the standard deviation of each channel towards given ones [1]_.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    rows : (m,) int
        The images to change.
    lab : bool
        Whether the channels are those of CIE L*a*b*, and not red, green and blue.
    targets : (m, 6) float32
        As by `statistics`.
    strengths : (m,) float32
        How far to move, in [0, 1]: 0 leaves the image as it is, 1 reaches the target.

    References
    ----------
    .. [1] E. Reinhard et al. Color transfer between images. IEEE Comput. Graph. Appl. 21, 2001.
    """
    mean, stddev = np.empty(3), np.empty(3)
    for i in range(len(rows)):
        if strengths[i] == 0:
            continue
        pixels = images[rows[i]].reshape(-1, 3)
        colors = np.empty(pixels.shape, np.float32)
        _fill(pixels, lab, colors)
        _measure(colors, mean, stddev)
        for c in range(3):
            target = mean[c] + strengths[i] * (targets[i, c] - mean[c])
            ratio = 1.0
            if stddev[c] > 0:
                ratio += strengths[i] * (targets[i, 3 + c] / stddev[c] - 1)
            for p in range(len(colors)):
                colors[p, c] = (colors[p, c] - mean[c]) * ratio + target
        if lab:
            from_lab(colors, pixels)
        else:
            _to_levels(colors, pixels)


@kernel
def _to_levels(colors, pixels):
    for p in range(len(colors)):
        for c in range(3):
            pixels[p, c] = to_level(colors[p, c])
