"""Blurs of 8-bit RGB images by small convolution kernels, compiled.

Radii and sigmas are in pixels at a side of 224, where the kernels equal those of the references. At
another side, a kernel's points are moved by side / 224 and distributed over the pixels around them
by triangles. That equals enlarging the image to 224, blurring it there, and averaging it back.
"""

from __future__ import annotations

from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Positions
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
    kernels = [_disk(float(value), scale) for value in found]
    most = max(len(kernel) for kernel in kernels)
    margins = [(most - len(kernel)) // 2 for kernel in kernels]
    return np.stack([np.pad(k, m) for k, m in zip(kernels, margins, strict=True)])[place]


@lru_cache(maxsize=64)
def _disk(radius: float, scale: float) -> NDArray[np.float32]:
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


@nb.njit(cache=True, nogil=True)
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
        out[i] /= np.float32(total)
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
    above, before = kernels.shape[1] // 2, kernels.shape[2] // 2
    down = np.pad(np.arange(height), above, mode=border)  # type: ignore[call-overload]
    across = np.pad(np.arange(width), before, mode=border)  # type: ignore[call-overload]
    _convolve(images, rows, np.ascontiguousarray(kernels), down, across)


@nb.njit(cache=True, nogil=True)
def _convolve(images, rows, kernels, down, across):
    _, height, width, _ = images.shape
    _, high, wide = kernels.shape
    padded = np.empty((len(down), 3 * len(across)), np.float32)
    line = np.empty(3 * width, np.float32)
    tap_y = np.empty(high * wide, np.int64)
    tap_x = np.empty(high * wide, np.int64)
    weight = np.zeros(high * wide + 3, np.float32)
    for i in range(len(rows)):
        image = images[rows[i]]
        for y in range(len(down)):
            row, to = image[down[y]].reshape(3 * width), padded[y]
            for x in range(len(across)):
                at, here = np.uint64(3 * across[x]), np.uint64(3 * x)
                to[here] = row[at]
                to[here + np.uint64(1)] = row[at + np.uint64(1)]
                to[here + np.uint64(2)] = row[at + np.uint64(2)]
        taps = 0
        for v in range(high):
            for u in range(wide):
                if kernels[i, v, u] != 0:
                    tap_y[taps], tap_x[taps], weight[taps] = v, 3 * u, kernels[i, v, u]
                    taps += 1
        for y in range(height):
            line[:] = 0
            first = 0
            while (
                first + 4 <= taps
            ):  # four at a time, so that sums are loaded and stored less often
                a = padded[y + tap_y[first], tap_x[first] :]
                b = padded[y + tap_y[first + 1], tap_x[first + 1] :]
                c = padded[y + tap_y[first + 2], tap_x[first + 2] :]
                d = padded[y + tap_y[first + 3], tap_x[first + 3] :]
                by_a, by_b, by_c, by_d = weight[first : first + 4]
                for j in range(3 * width):
                    line[j] += (by_a * a[j] + by_b * b[j]) + (by_c * c[j] + by_d * d[j])
                first += 4
            for tap in range(first, taps):
                a = padded[y + tap_y[tap], tap_x[tap] :]
                for j in range(3 * width):
                    line[j] += weight[tap] * a[j]
            row = image[y].reshape(3 * width)
            for j in range(3 * width):
                row[j] = to_level(line[j])
