"""The two stains of an image, estimated from its colours by Macenko's method [1]_, compiled.

The optical densities of the pixels lie near the plane of two stains: that of the first two singular
vectors of all densities. The stains are the outermost directions in it, up to a percentile against
noise. Eigenvectors come from Jacobi's method and directions are compared by their slope, so that
there is nothing but the arithmetic of IEEE 754: the bytes are the same on every machine.

References
----------
.. [1] M. Macenko et al. A method for normalizing histology slides for quantitative analysis. ISBI
   2009.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Masks
from .stain import HED, density

_LEAST = 0.15
"""The OD that a pixel must have in every channel to count as stained."""
_STAINED = 0.01
"""The least share of stained pixels."""
_OUTERMOST = 0.01
"""The share of directions beyond each stain."""
_APART = 0.1
"""The least sine of the angle between the two stains."""
_SWEEPS = 12  # far more than 3x3 matrices need


def macenko(images: Images) -> tuple[NDArray[np.float32], Masks]:
    """The stains of each image, and whether they were found.

    They are not found where less than a hundredth of the pixels is stained (an OD of 0.15 or more
    in every channel), or where all have one colour. The stains are then `HED`'s.

    Parameters
    ----------
    images : (n, height, width, 3) uint8

    Returns
    -------
    stains : (n, 2, 3) float32
        The OD of both stains in red, green and blue, of length 1. The first, like haematoxylin,
        absorbs more of the red light.
    found : (n,) bool
    """
    stains = np.repeat(HED[None, :2], len(images), axis=0)
    found = np.zeros(len(images), bool)
    _macenko(images, stains, found)
    return stains, found


@nb.njit(cache=True, nogil=True)
def _macenko(images, stains, found):
    for i in range(len(images)):
        colors = _stained(images[i].reshape(-1, 3))
        if len(colors) < max(_STAINED * images[i].size / 3, 1):
            continue
        first, second = _plane(colors)
        slopes = np.empty(len(colors))
        for p in range(len(colors)):
            slopes[p] = _dot(colors[p], second) / _dot(colors[p], first)
        one = _unit(first + _quantile(slopes, _OUTERMOST) * second)
        other = _unit(first + _quantile(slopes, 1 - _OUTERMOST) * second)
        cosine = _dot(one, other)
        if 1 - cosine * cosine < _APART * _APART:
            continue
        if one[0] < other[0]:
            one, other = other, one
        stains[i, 0], stains[i, 1], found[i] = one, other, True


@nb.njit(cache=True, nogil=True)
def _stained(pixels):
    """The OD of the stained pixels."""
    colors = np.empty(pixels.shape)
    n = 0
    for p in range(len(pixels)):
        for c in range(3):
            colors[n, c] = density(pixels[p, c])
        if min(colors[n, 0], colors[n, 1], colors[n, 2]) >= _LEAST:
            n += 1
    return colors[:n]


@nb.njit(cache=True, nogil=True)
def _plane(colors):
    """The first two singular vectors of the rows; with the first, all rows have a product > 0."""
    moments = np.zeros((3, 3))
    for p in range(len(colors)):
        for i in range(3):
            for j in range(3):
                moments[i, j] += colors[p, i] * colors[p, j]
    values, vectors = _eigen(moments)
    order = np.argsort(-values)
    first = vectors[:, order[0]].copy()
    if first.sum() < 0:
        first = -first
    return first, vectors[:, order[1]].copy()


@nb.njit(cache=True, nogil=True)
def _eigen(symmetric):
    """Eigenvalues and eigenvectors (columns) of a symmetric matrix, by cyclic Jacobi rotations."""
    a, vectors = symmetric.copy(), np.eye(3)
    for _ in range(_SWEEPS):
        for p, q in ((0, 1), (0, 2), (1, 2)):
            if a[p, q] == 0:
                continue
            ratio = (a[q, q] - a[p, p]) / (2 * a[p, q])
            tangent = 1 / (abs(ratio) + np.sqrt(ratio * ratio + 1))
            if ratio < 0:
                tangent = -tangent
            cosine = 1 / np.sqrt(tangent * tangent + 1)
            sine = tangent * cosine
            for k in range(3):
                a[k, p], a[k, q] = (
                    cosine * a[k, p] - sine * a[k, q],
                    sine * a[k, p] + cosine * a[k, q],
                )
                vectors[k, p], vectors[k, q] = (
                    cosine * vectors[k, p] - sine * vectors[k, q],
                    sine * vectors[k, p] + cosine * vectors[k, q],
                )
            for k in range(3):
                a[p, k], a[q, k] = (
                    cosine * a[p, k] - sine * a[q, k],
                    sine * a[p, k] + cosine * a[q, k],
                )
    return np.diag(a).copy(), vectors


@nb.njit(cache=True, nogil=True)
def _quantile(values, share):
    """The value with this share of the values below it, interpolated as by `np.quantile`."""
    at = share * (len(values) - 1)
    below = int(at)
    parted = np.partition(values, below)
    low = parted[below]
    high = parted[below + 1 :].min() if below + 1 < len(values) else low
    return low + (at - below) * (high - low)


@nb.njit(cache=True, nogil=True)
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@nb.njit(cache=True, nogil=True)
def _unit(vector):
    return vector / np.sqrt(_dot(vector, vector))
