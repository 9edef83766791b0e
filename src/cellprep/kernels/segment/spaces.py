"""Colour spaces for clustering the pixels of stained cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import SPACES
from ..compiling import kernel
from ..lab import to_lab

Array = NDArray[Any]

# "purple": value at half saturation, lower limit, and weight of darkness
_HALF = np.float32(200)
_LEAST = np.float32(-5)
_DARKNESS = np.float32(1 / 256)

_PIXELS = 2048  # that the background is measured on


@kernel
def _stain(pixels: Array, out: Array) -> None:
    for p in range(pixels.shape[0]):
        r, g, b = int(pixels[p, 0]), int(pixels[p, 1]), int(pixels[p, 2])
        most, spread = max(r, g, b), max(r, g, b) - min(r, g, b)
        out[p, 0] = np.float32(g)
        out[p, 1] = np.float32(255 * spread) / np.float32(max(most, 1))


@kernel
def _white(image: Array, counts: Array, white: Array) -> None:
    """Factors that map each channel's 80th percentile, which is background, to 255.

    The percentile is that of a few thousand pixels, spread evenly.
    """
    counts[:] = 0
    step = max(1, len(image) // _PIXELS)
    seen = (len(image) + step - 1) // step
    for p in range(0, len(image), step):
        for c in range(3):
            counts[c, image[p, c]] += 1
    for c in range(3):
        below, value = np.int64(counts[c, 0]), 0
        while 5 * below < 4 * seen:
            value += 1
            below += counts[c, value]
        white[c] = np.float32(255) / np.float32(max(value, 1))


@kernel(inline="always")
def _purple_of(green: Any, blue: Any) -> Any:
    purple = max(blue - green, _LEAST)
    return _HALF * purple / (_HALF + abs(purple)) - _DARKNESS * green


@kernel(inline="always")
def _dark_of(half_red: Any, half_green: Any) -> Any:
    return max(np.float32(255) - (half_red + half_green), np.float32(0))


@kernel
def _purple(pixels: Array, out: Array) -> None:
    counts = np.empty((3, 256), np.int32)
    white = np.empty(3, np.float32)
    for n in range(pixels.shape[0]):
        image, row = pixels[n], out[n, :, 0]
        _white(image, counts, white)
        to_green, to_blue = white[1], white[2]
        flat = image.ravel()
        for p in range(len(row)):
            at = np.uint64(3) * np.uint64(p)
            green = to_green * np.float32(flat[at + np.uint64(1)])
            row[p] = _purple_of(green, to_blue * np.float32(flat[at + np.uint64(2)]))


@kernel
def _dark(pixels: Array, out: Array) -> None:
    counts = np.empty((3, 256), np.int32)
    white = np.empty(3, np.float32)
    for n in range(pixels.shape[0]):
        image, row = pixels[n], out[n, :, 0]
        _white(image, counts, white)
        to_red, to_green = white[0] * np.float32(0.5), white[1] * np.float32(0.5)
        flat = image.ravel()
        for p in range(len(row)):
            at = np.uint64(3) * np.uint64(p)
            red = to_red * np.float32(flat[at])
            row[p] = _dark_of(red, to_green * np.float32(flat[at + np.uint64(1)]))


@kernel
def scores_of(pixels: Array, colors: Array, dark: bool) -> Array:
    """(n, k) darkness, or else purple, of colours (n, k, 3) of each image, as in `to_space`."""
    counts = np.empty((3, 256), np.int32)
    white = np.empty(3, np.float32)
    out = np.empty(colors.shape[:2], np.float32)
    for n in range(len(pixels)):
        _white(pixels[n], counts, white)
        for c in range(colors.shape[1]):
            red, green, blue = colors[n, c] * white
            half = np.float32(0.5)
            out[n, c] = _dark_of(half * red, half * green) if dark else _purple_of(green, blue)
    return out


def to_space(images: NDArray[np.uint8], name: str) -> NDArray[np.float32]:
    """Images in another colour space.

    Parameters
    ----------
    images : (n, h, w, 3) uint8
        RGB.
    name : str
        One of

        - ``"rgb"``: unchanged, 0 to 255.
        - ``"lab"``: CIE L*a*b* under D65 [1]_; L* is 0 to 100, a* and b* about -110 to 110.
        - ``"chroma"``: a* and b* only, so that brightness has little influence.
        - ``"stain"``: green and HSV saturation, both 0 to 255. Every dye of a Romanowsky stain
          absorbs green, so a nucleus is dark in it and saturated.
        - ``"purple"``: u = blue minus green, each relative to the image's own background (its 80th
          percentile in that channel, set to 255). The dyes of nucleus and cytoplasm absorb green
          and transmit blue; haemoglobin absorbs both, so red cells remain close to the background
          under any light. Values below -5 are all background and are clipped; above,
          200 u / (200 + u) keeps the spread within a nucleus from outweighing the step from
          background to cytoplasm. Minus 1/256 of green, which orders the greys of a colourless
          image. About -10 to 200.
        - ``"dark"``: 255 minus the mean of red and green, each relative to the image's own
          background as above; 0 to 255. A nucleus absorbs both, eosin and haemoglobin transmit red.

    Returns
    -------
    (n, h, w, d) float32, with d = 3, 3, 2, 2, 1, 1 in the order above.

    References
    ----------
    .. [1] CIE 15:2004, Colorimetry; sRGB by IEC 61966-2-1.

    Examples
    --------
    >>> import numpy as np
    >>> purple = np.array([[[[120, 60, 160]]]], np.uint8)
    >>> to_space(purple, "lab").round().astype(int).tolist()
    [[[[37, 44, -44]]]]
    """
    n, h, w, _ = images.shape
    pixels = np.ascontiguousarray(images).reshape(n, h * w, 3)
    if name == "rgb":
        return images.astype(np.float32)
    if name == "lab":
        out = np.empty((n, h * w, 3), np.float32)
        to_lab(pixels.reshape(-1, 3), out.reshape(-1, 3))
    elif name == "chroma":
        out = np.empty((n, h * w, 2), np.float32)
        to_lab(pixels.reshape(-1, 3), out.reshape(-1, 2))
    elif name == "stain":
        out = np.empty((n, h * w, 2), np.float32)
        _stain(pixels.reshape(-1, 3), out.reshape(-1, 2))
    elif name == "purple":
        out = np.empty((n, h * w, 1), np.float32)
        _purple(pixels, out)
    elif name == "dark":
        out = np.empty((n, h * w, 1), np.float32)
        _dark(pixels, out)
    else:
        raise ValueError(f"`color_space` must be one of {SPACES}, got {name!r}.")
    return out.reshape(n, h, w, -1)
