"""Affine transformations of 8-bit RGB images and of masks, bilinear and nearest, compiled.

A coordinate names the centre of a pixel. `warp` computes images pixel by pixel, or with AVX-512
eight pixels at a time, with the same bytes. The functions at the end are operations about the
image's centre: they take some rows of a batch, images (n, height, width, 3) uint8 or masks (n,
height, width) bool, and change them in place; outside lies the mirror image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Masks, Positions
from ..avx512 import affine as avx512
from ..avx512 import vectors
from ..avx512.vectors import POSITION_BITS, WEIGHT_BITS
from ..compiling import kernel
from ..levels import border_indices

Pixels = NDArray[Any]
"""Images or masks."""
Values = NDArray[np.float32]
"""(m,), one value per row."""
_MOST_FRAMED = 8
"""A frame of more than this many times the image's pixels costs more than it saves."""


def similarity(
    side: tuple[int, int],
    *,
    rotation: NDArray[np.float32],
    shift_x: NDArray[np.float32],
    shift_y: NDArray[np.float32],
    zoom: NDArray[np.float32],
    flip_x: NDArray[np.bool_],
    flip_y: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Matrices that flip, rotate, zoom and shift about the image's centre, in this order.

    Parameters
    ----------
    side : (height, width)
    rotation : (n,)
        Degrees, counter-clockwise.
    shift_x, shift_y : (n,)
        To the right and down, as a fraction of the width and height.
    zoom : (n,)
        Above 1 magnifies.
    flip_x, flip_y : (n,) bool
        Mirror left to right, top to bottom.

    Returns
    -------
    (n, 2, 3) float64
        From (x, y, 1) in the result to (x, y) in the image.
    """
    height, width = side
    angle = np.deg2rad(rotation.astype(np.float64))
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    sign_x, sign_y = np.where(flip_x, -1.0, 1.0), np.where(flip_y, -1.0, 1.0)
    linear = np.array([[sign_x * cos, -sign_x * sin], [sign_y * sin, sign_y * cos]])
    linear = linear.transpose(2, 0, 1)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.stack([shift_x.astype(np.float64) * width, shift_y.astype(np.float64) * height], 1)
    constant = middle - np.einsum("nij,nj->ni", linear, middle + shift)
    return np.concatenate([linear, constant[:, :, None]], axis=2)


def warp(
    source: Images,
    at: Positions,
    out: Images,
    to: Positions,
    matrices: NDArray[np.float64],
    fill: str | int,
) -> None:
    """Transform images by affine maps, bilinear, from one array to another or in place.

    Positions are whole multiples of 2**-32 pixels and weights of 2**-13, so a value is within 0.1
    of the exact one before it is rounded.

    Parameters
    ----------
    source : (n, height, width, 3) uint8
    at : (m,) int
        The images to transform; an image may occur several times.
    out : (k, height, width, 3) uint8
        May be `source`, if `to` equals `at`.
    to : (m,) int
        Where the results go; all different.
    matrices : (m, 2, 3) float64
        From (x, y, 1) in the result to (x, y) in the image.
    fill : "reflect", "edge" or a value in 0-255
        What lies outside the image.
    """
    _, height, width, _ = source.shape
    maps = np.rint(matrices * 2.0**POSITION_BITS).astype(np.int64)
    low, high = _reach(maps, height, width)
    lowest, highest = low.min(axis=0, initial=0), high.max(axis=0, initial=1)
    across = border_indices(np.arange(lowest[0], highest[0]), width, fill)
    down = border_indices(np.arange(lowest[1], highest[1]), height, fill)
    frame = 0 if isinstance(fill, str) else fill
    source = source.view()
    source.flags.writeable = False  # so that Numba compiles one version
    framed = (high - low).prod(axis=1).max(initial=0)
    if vectors.SUPPORTED and framed <= _MOST_FRAMED * height * width:
        avx512.warp(source, at, out, to, maps, low, high, lowest, across, down, frame)
    else:
        maps[:, :, 2] -= lowest << POSITION_BITS
        _by_pixels(source, at, out, to, maps, across, down * (width + 2), frame)


def _reach(
    maps: NDArray[np.int64], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The smallest (x, y) that each map reads, and the largest plus one; at least the image."""
    right = -(-width // 8) * 8 - 1  # the AVX-512 path computes eight pixels at a time
    along, down, first = maps[:, :, 0] * right, maps[:, :, 1] * (height - 1), maps[:, :, 2]
    low = first + np.minimum(along, 0) + np.minimum(down, 0)  # linear: the extremes are at corners
    high = first + np.maximum(along, 0) + np.maximum(down, 0)
    return (
        np.minimum(low >> POSITION_BITS, 0),
        np.maximum((high >> POSITION_BITS) + 2, (width, height)),
    )


def warp_masks(
    masks: Masks, rows: Positions, matrices: NDArray[np.float64], fill: str | int
) -> None:
    """Transform masks in place as `warp` does images, each pixel from the nearest.

    Outside lies an empty mask where `fill` is a value.
    """
    _, height, width = masks.shape
    maps = np.rint(matrices * 2.0**POSITION_BITS).astype(np.int64)
    x, y = np.arange(width), np.arange(height)[:, None]
    half = np.int64(1) << (POSITION_BITS - 1)
    for row, (to_x, to_y) in zip(rows.tolist(), maps, strict=True):
        across, down = ((a * x + b * y + c + half) >> POSITION_BITS for a, b, c in (to_x, to_y))
        framed = np.pad(masks[row], 1)
        masks[row] = framed[border_indices(down, height, fill), border_indices(across, width, fill)]


@kernel
def _by_pixels(source, at, out, to, maps, across, down, frame):
    _, height, width, _ = source.shape
    # A pixel is one number of three fields of 21 bits, so that its channels are weighted at once:
    # a field holds 8 bits of value and 13 of weight.
    one = np.int64(1)
    fields = one | (one << 21) | (one << 42)
    half = fields << (WEIGHT_BITS - 1)
    whole = one << WEIGHT_BITS
    stride = width + 2
    pixels = np.full((height + 2) * stride, fields * frame)
    for i in range(len(to)):
        flat = source[at[i]].reshape(3 * height * width)
        made = out[to[i]].reshape(3 * height * width)
        step_x, step_y = maps[i, 0, 0], maps[i, 1, 0]
        for y in range(height):
            row = flat[3 * width * y : 3 * width * (y + 1)]
            framed = pixels[stride * (y + 1) + 1 :]
            for x in range(width):
                k = np.uint64(3 * x)
                red, green = np.int64(row[k]), np.int64(row[k + np.uint64(1)])
                framed[x] = red | (green << 21) | (np.int64(row[k + np.uint64(2)]) << 42)
        for y in range(height):
            row = made[3 * width * y : 3 * width * (y + 1)]
            at_x = maps[i, 0, 1] * y + maps[i, 0, 2]
            at_y = maps[i, 1, 1] * y + maps[i, 1, 2]
            for x in range(width):
                left, top = np.uint64(at_x >> POSITION_BITS), np.uint64(at_y >> POSITION_BITS)
                part_x = (at_x >> (POSITION_BITS - WEIGHT_BITS)) & (whole - 1)
                part_y = (at_y >> (POSITION_BITS - WEIGHT_BITS)) & (whole - 1)
                both = (part_x * part_y + (whole >> 1)) >> WEIGHT_BITS
                x0, x1 = across[left], across[left + np.uint64(1)]
                y0, y1 = down[top], down[top + np.uint64(1)]
                level = (
                    pixels[np.uint64(y0 + x0)] * (whole - part_x - part_y + both)
                    + pixels[np.uint64(y0 + x1)] * (part_x - both)
                    + pixels[np.uint64(y1 + x0)] * (part_y - both)
                    + pixels[np.uint64(y1 + x1)] * both
                    + half
                )
                k = np.uint64(3 * x)
                row[k] = np.uint8(level >> WEIGHT_BITS)
                row[k + np.uint64(1)] = np.uint8(level >> (21 + WEIGHT_BITS))
                row[k + np.uint64(2)] = np.uint8(level >> (42 + WEIGHT_BITS))
                at_x += step_x
                at_y += step_y


# -- operations ------------------------------------------------------------------------------------


def rotation(pixels: Pixels, rows: Positions, degrees: Values) -> None:
    """Rotate counter-clockwise."""
    angle = np.deg2rad(degrees.astype(np.float64))
    cos, sin = np.cos(angle), np.sin(angle)
    _transform(pixels, rows, _about_centre(pixels, rows, cos, -sin, sin, cos))


def flip(pixels: Pixels, rows: Positions, directions: Values) -> None:
    """Flip left to right (0), top to bottom (1), or both (2)."""
    across, down = directions != 1, directions != 0
    if pixels.ndim == 4:
        _flip_images(pixels, rows, across, down)
    else:
        for row, x, y in zip(rows.tolist(), across, down, strict=True):
            pixels[row] = pixels[row, :: -1 if y else 1, :: -1 if x else 1]


@kernel
def _flip_images(images, rows, across, down):
    _, height, width, _ = images.shape
    line = np.empty(3 * width, np.uint8)
    one, two = np.uint64(1), np.uint64(2)
    for i in range(len(rows)):
        image = images[rows[i]]
        for y in range(height if across[i] else 0):
            row = image[y].reshape(3 * width)
            for k in range(3 * width):
                line[k] = row[k]
            for x in range(width):
                to, at = np.uint64(3 * x), np.uint64(3 * (width - 1 - x))
                row[to], row[to + one], row[to + two] = line[at], line[at + one], line[at + two]
        for y in range(height // 2 if down[i] else 0):
            upper = image[y].reshape(3 * width)
            lower = image[height - 1 - y].reshape(3 * width)
            for k in range(3 * width):
                upper[k], lower[k] = lower[k], upper[k]


def translation(pixels: Pixels, rows: Positions, right: Values, down: Values) -> None:
    """Move by fractions of the width and height."""
    matrices = _about_centre(pixels, rows, 1, 0, 0, 1)
    for axis, part in enumerate((right, down)):
        side = pixels.shape[2 - axis]
        middle = (side - 1) / 2
        matrices[:, axis, 2] = middle - (middle + part.astype(np.float64) * side)
    _transform(pixels, rows, matrices)


def zoom(pixels: Pixels, rows: Positions, factors: Values) -> None:
    """Magnify by a factor."""
    scale = 1 / factors.astype(np.float64)
    _transform(pixels, rows, _about_centre(pixels, rows, scale, 0, 0, scale))


def centered_shear_x(pixels: Pixels, rows: Positions, slopes: Values) -> None:
    """Shear along the rows; the middle row stays."""
    matrices = _about_centre(pixels, rows, 1, 0, 0, 1)
    matrices[:, 0, 1] = slopes
    matrices[:, 0, 2] = slopes * (1 - pixels.shape[1]) / 2
    _transform(pixels, rows, matrices)


def centered_shear_y(pixels: Pixels, rows: Positions, slopes: Values) -> None:
    """Shear along the columns; the middle column stays."""
    matrices = _about_centre(pixels, rows, 1, 0, 0, 1)
    matrices[:, 1, 0] = slopes
    matrices[:, 1, 2] = slopes * (1 - pixels.shape[2]) / 2
    _transform(pixels, rows, matrices)


def _about_centre(
    pixels: Pixels, rows: Positions, xx: Any, xy: Any, yx: Any, yy: Any
) -> NDArray[np.float64]:
    """Matrices like those of `similarity`, whose linear part is (xx, xy), (yx, yy)."""
    x, y = (pixels.shape[2] - 1) / 2, (pixels.shape[1] - 1) / 2
    matrices = np.empty((len(rows), 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 0, 2] = xx, xy, x - (xx * x + xy * y)
    matrices[:, 1, 0], matrices[:, 1, 1], matrices[:, 1, 2] = yx, yy, y - (yx * x + yy * y)
    return matrices


def _transform(pixels: Pixels, rows: Positions, matrices: NDArray[np.float64]) -> None:
    if pixels.ndim == 3:
        warp_masks(pixels, rows, matrices, "reflect")
    else:
        warp(pixels, rows, pixels, rows, matrices, "reflect")
