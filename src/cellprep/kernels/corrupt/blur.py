"""Blurs of 8-bit RGB images by small convolution kernels, compiled.

Radii and sigmas are in pixels at a side of 224, where the kernels equal those of the references. At
another side, a kernel's points are moved by side / 224 and distributed over the pixels around them
by triangles. That equals enlarging the image to 224, blurring it there, and averaging it back.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Positions
from ..compiling import kernel
from ..levels import to_level

_FULL_SIDE = 224

Kernels = NDArray[np.float32]
"""(m, height, width), both odd: weights of the pixels around the centre, with a sum of 1."""


def disks(radius: NDArray[np.float32], scale: float) -> Kernels:
    """Defocus: all points within the radius have equal weight (Hendrycks and Dietterich [1]_).

    Their smoothing of the disc, by sigma 0.1 pixels or less, changes no weight by 1e-20 and is
    omitted.

    References
    ----------
    .. [1] D. Hendrycks, T. Dietterich. Benchmarking neural network robustness to common corruptions
       and perturbations. ICLR 2019. arXiv:1903.12261.
    """
    found, place = np.unique(radius, return_inverse=True)
    radii = found.tolist()
    size = max(len(_disk(value, scale)) for value in radii)
    return np.stack([_disk(value, scale, size) for value in radii])[place]


@lru_cache(maxsize=256)
def _disk(radius: float, scale: float, size: int | None = None) -> NDArray[np.float32]:
    """One disc; with zeros around it if a `size` is given."""
    if size is not None:
        disk = _disk(radius, scale)
        return np.pad(disk, (size - len(disk)) // 2)
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = y**2 + x**2 <= radius**2
    y, x = y[inside][None], x[inside][None]
    return np.asarray(_scaled(y, x, np.ones(y.shape, np.float32), scale)[0])


def lines(
    radius: NDArray[np.float32],
    sigma: NDArray[np.float32],
    angle: NDArray[np.float32],
    scale: float,
) -> Kernels:
    """Motion: 2 * radius + 1 points on a line to one side, weighted by half a Gaussian.

    This is ImageMagick's `MagickMotionBlurImage(radius, sigma, angle)`, with the angle in degrees
    clockwise from the right; points are rounded to whole pixels.
    """
    reach = 2 * np.ceil(radius.astype(np.float64)) + 1
    along = np.arange(int(reach.max()))
    weights = np.exp(-((along / sigma[:, None].astype(np.float64)) ** 2) / 2)
    weights[along >= reach[:, None]] = 0
    turn = np.deg2rad(angle.astype(np.float64))[:, None]
    y, x = (np.ceil(along * part - 0.5).astype(np.int64) for part in (np.sin(turn), np.cos(turn)))
    return np.asarray(_scaled(y, x, weights.astype(np.float32), scale))


@kernel
def _scaled(y, x, weights, scale):
    """Kernels from points (m, k), each distributed over the pixels around it."""
    m, k = y.shape
    most = 0
    for i in range(m):
        for j in range(k):
            if weights[i, j] > 0:
                most = max(most, abs(y[i, j]), abs(x[i, j]))
    width = max(scale, 1.0)
    reach = int(np.ceil(most * scale + width)) - 1
    out = np.zeros((m, 2 * reach + 1, 2 * reach + 1), np.float32)
    for i in range(m):
        total = 0.0
        for j in range(k):
            at_y, at_x = y[i, j] * scale + reach, x[i, j] * scale + reach
            top, left = int(np.floor(at_y - width)) + 1, int(np.floor(at_x - width)) + 1
            for v in range(top, int(np.ceil(at_y + width))):
                for u in range(left, int(np.ceil(at_x + width))):
                    part = (1 - abs(v - at_y) / width) * (1 - abs(u - at_x) / width)
                    part *= weights[i, j]
                    if part > 0:
                        out[i, v, u] += part
                        total += part
        for v in range(out.shape[1]):
            for u in range(out.shape[2]):
                out[i, v, u] /= np.float32(total)
    return out


def defocus_blur(images: Images, rows: Positions, radii: NDArray[np.float32]) -> None:
    """Blur by a disc, in place; radii in pixels at a side of 224."""
    convolve(images, rows, disks(radii, _scale(images)), "reflect")


def motion_blur(
    images: Images,
    rows: Positions,
    radii: NDArray[np.float32],
    sigmas: NDArray[np.float32],
    angles: NDArray[np.float32],
) -> None:
    """Blur along a line, in place; radii and sigmas in pixels at a side of 224, angles in °."""
    convolve(images, rows, lines(radii, sigmas, angles, _scale(images)), "edge")


def gaussian_blur(images: Images, rows: Positions, sigmas: NDArray[np.float32]) -> None:
    """Blur by a normal distribution, in place, along the rows and then the columns.

    `sigmas` are in pixels at a side of 224. Weights reach to 4 sigma; outside lies the mirror image
    about the outer edge of the border pixels, as in `scipy.ndimage.gaussian_filter`.
    """
    scaled = (sigmas * np.float32(_scale(images))).astype(np.float64)
    reach = np.floor(4 * scaled + 0.5)
    offsets = np.arange(-int(reach.max()), int(reach.max()) + 1)
    weights = np.exp(-((offsets / scaled[:, None]) ** 2) / 2)
    weights[abs(offsets) > reach[:, None]] = 0
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    convolve(images, rows, weights[:, None, :], "symmetric")
    convolve(images, rows, weights[:, :, None], "symmetric")


def _scale(images: Images) -> float:
    return float(min(images.shape[1:3]) / _FULL_SIDE)


def convolve(images: Images, rows: Positions, kernels: Kernels, border: str) -> None:
    """Weighted sums around every pixel of some images, in place, like `cv2.filter2D`.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    rows : (m,) int
        The images to change, all different.
    kernels : (m, high, wide) float32
    border : "symmetric", "reflect" or "edge"
        What lies outside, as in `numpy.pad`.
    """
    _, height, width, _ = images.shape
    _, high, wide = kernels.shape
    down, across = _padded(height, high // 2, border), _padded(width, wide // 2, border)
    _convolve(images, rows, np.ascontiguousarray(kernels), down, across)


@lru_cache(maxsize=64)
def _padded(side: int, margin: int, border: str) -> NDArray[np.int64]:
    """The pixel to read at each position from -margin to side + margin - 1."""
    return np.pad(np.arange(side), margin, mode=border)  # type: ignore[call-overload, no-any-return]


@kernel
def _convolve(images, rows, kernels, down, across):
    _, height, width, _ = images.shape
    stride = 3 * len(across)
    padded = np.empty(height * stride, np.float32)
    sums = np.empty(3 * width, np.float32)
    for i in range(len(rows)):
        lines = images[rows[i]].reshape(height, 3 * width)
        for y in range(height):
            _pad(lines[y], across, padded[stride * y : stride * (y + 1)])
        tap_y, tap_x, weights = _taps(kernels[i])
        at = np.empty(len(weights), np.uint64)
        for y in range(height):
            for tap in range(len(at)):
                at[tap] = stride * down[y + tap_y[tap]] + tap_x[tap]
            sums[:] = 0
            for first in range(0, len(at) - 7, 8):
                _add_eight(sums, padded, at[first:], weights[first:])
            _finish(lines[y], sums, padded, at[len(at) - 7 :], weights[len(at) - 7 :])


@kernel
def _pad(line, across, padded):
    """A row of pixels as float32, with the pixels outside that `across` names."""
    width = len(line) // 3
    before = (len(across) - width) // 2
    inside = padded[3 * before : 3 * before + len(line)]
    for j in range(len(line)):
        inside[j] = np.float32(line[j])
    for begin, end in ((0, before), (before + width, len(across))):
        for x in range(begin, end):
            for c in range(3):
                padded[3 * x + c] = np.float32(line[3 * across[x] + c])


@kernel
def _taps(kernel):
    """Where a kernel is not 0: y, 3 * x and weight, for groups of eight, then four, then three.

    Groups that are not full have weights of 0.
    """
    count = np.count_nonzero(kernel)
    eights, rest = count // 8, count % 8
    size = 8 * eights + 7
    tap_y, tap_x = np.zeros(size, np.int64), np.zeros(size, np.int64)
    weights = np.zeros(size, np.float32)
    tap = 0
    for v in range(kernel.shape[0]):
        for u in range(kernel.shape[1]):
            if kernel[v, u] != 0:
                if tap == 8 * eights and rest < 4:
                    tap += 4
                tap_y[tap], tap_x[tap], weights[tap] = v, 3 * u, kernel[v, u]
                tap += 1
    return tap_y, tap_x, weights


# Several taps at a time, so that sums are loaded and stored less often. The order of additions
# decides the last bit of a sum: it must stay.


@kernel
def _add_eight(sums, padded, at, weights):
    a, b, c, d, e, f, g, h = at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
    by_a, by_b, by_c, by_d = weights[0], weights[1], weights[2], weights[3]
    by_e, by_f, by_g, by_h = weights[4], weights[5], weights[6], weights[7]
    for j in range(np.uint64(len(sums))):
        value = (by_a * padded[a + j] + by_b * padded[b + j]) + (
            by_c * padded[c + j] + by_d * padded[d + j]
        )
        value = sums[j] + value
        sums[j] = value + (
            (by_e * padded[e + j] + by_f * padded[f + j])
            + (by_g * padded[g + j] + by_h * padded[h + j])
        )


@kernel
def _finish(line, sums, padded, at, weights):
    """Add four taps at once, three one after the other, and round to levels."""
    a, b, c, d, e, f, g = at[0], at[1], at[2], at[3], at[4], at[5], at[6]
    by_a, by_b, by_c, by_d = weights[0], weights[1], weights[2], weights[3]
    by_e, by_f, by_g = weights[4], weights[5], weights[6]
    for j in range(np.uint64(len(sums))):
        value = sums[j] + (
            (by_a * padded[a + j] + by_b * padded[b + j])
            + (by_c * padded[c + j] + by_d * padded[d + j])
        )
        value = ((value + by_e * padded[e + j]) + by_f * padded[f + j]) + by_g * padded[g + j]
        line[j] = to_level(value)
