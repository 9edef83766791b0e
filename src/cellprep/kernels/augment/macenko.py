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

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Masks
from ..compiling import kernel
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


@kernel
def _macenko(images, stains, found):
    vectors, pair = np.empty((3, 3)), np.empty((2, 3))
    for i in range(len(images)):
        pixels = images[i].reshape(-1, 3)
        colors, slopes = np.empty(pixels.shape), np.empty(len(pixels))
        n = _stained(pixels, colors)
        if n < max(_STAINED * len(pixels), 1):
            continue
        first, second = _plane(colors, n, vectors)
        for p in range(n):
            slopes[p] = _dot(colors[p], vectors[second]) / _dot(colors[p], vectors[first])
        for k in range(2):
            share = _OUTERMOST if k == 0 else 1 - _OUTERMOST
            _direct(vectors[first], vectors[second], _quantile(slopes, n, share), pair[k])
        cosine = _dot(pair[0], pair[1])
        if 1 - cosine * cosine < _APART * _APART:
            continue
        found[i] = True
        more = 0 if pair[0, 0] >= pair[1, 0] else 1
        for c in range(3):
            stains[i, 0, c], stains[i, 1, c] = pair[more, c], pair[1 - more, c]


@kernel
def _stained(pixels, colors):
    """Fill with the OD of the stained pixels; how many they are."""
    n = 0
    for p in range(len(pixels)):
        for c in range(3):
            colors[n, c] = density(pixels[p, c])
        if min(colors[n, 0], colors[n, 1], colors[n, 2]) >= _LEAST:
            n += 1
    return n


@kernel
def _plane(colors, n, vectors):
    """The rows of `vectors` that become the first two singular vectors of n colours.

    The first has a positive product with every colour.
    """
    moments = np.zeros((3, 3))
    for p in range(n):
        for i in range(3):
            for j in range(3):
                moments[i, j] += colors[p, i] * colors[p, j]
    _diagonalize(moments, vectors)
    first = 0
    for i in range(1, 3):
        if moments[i, i] > moments[first, first]:
            first = i
    second, third = (first + 1) % 3, (first + 2) % 3
    if moments[third, third] > moments[second, second]:
        second = third
    if vectors[first, 0] + vectors[first, 1] + vectors[first, 2] < 0:
        for c in range(3):
            vectors[first, c] = -vectors[first, c]
    return first, second


@kernel
def _diagonalize(a, vectors):
    """Make a symmetric matrix diagonal and fill the rows with its eigenvectors (cyclic Jacobi)."""
    for i in range(3):
        for j in range(3):
            vectors[i, j] = 1 if i == j else 0
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
                one, other = a[k, p], a[k, q]
                a[k, p], a[k, q] = cosine * one - sine * other, sine * one + cosine * other
                one, other = vectors[p, k], vectors[q, k]
                vectors[p, k] = cosine * one - sine * other
                vectors[q, k] = sine * one + cosine * other
            for k in range(3):
                one, other = a[p, k], a[q, k]
                a[p, k], a[q, k] = cosine * one - sine * other, sine * one + cosine * other


@kernel
def _quantile(values, n, share):
    """The value with this share of the n values below it, interpolated as by `np.quantile`."""
    at = share * (n - 1)
    k = int(at)
    _select(values, n, k)
    low, high = values[k], values[min(k + 1, n - 1)]
    for p in range(k + 1, n):
        high = min(high, values[p])
    return low + (at - k) * (high - low)


@kernel
def _select(values, n, k):
    """Move the k-th smallest of n values to position k, with none below it after (Hoare's FIND).

    `np.partition` would do, but takes Numba as long to compile as everything else here.
    """
    low, high = 0, n - 1
    while low < high:
        pivot, i, j = values[k], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if j < k:
            low = i
        if k < i:
            high = j


@kernel
def _direct(first, second, slope, out):
    """Fill with the direction of this slope in the plane of two vectors, of length 1."""
    for c in range(3):
        out[c] = first[c] + slope * second[c]
    length = np.sqrt(_dot(out, out))
    for c in range(3):
        out[c] /= length


@kernel
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
