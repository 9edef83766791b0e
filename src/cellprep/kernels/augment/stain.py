"""Stain strengths changed on some 8-bit RGB images of a batch, in place, compiled.

Optical density (OD) is -ln((level + 1) / 256), so white has none, and the densities of stains add
up (Beer and Lambert). With one stain per row of a matrix M, an image's OD is S M, where S are the
strengths of the stains in each pixel; these become S' = S * factor + offset [1]_.

OD is linear in S, so each channel of the result is a product of powers of (level + 1) / 256, one
for each channel of the image. The powers of all 256 levels are computed once per image. They come
from tables and a polynomial, so that bytes are the same on every machine.

References
----------
.. [1] D. Tellez et al. Whole-slide mitosis detection in H&E breast histology using PHH3 as a
   reference to train distilled stain-invariant convolutional networks. IEEE Trans. Med. Imaging
   37, 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Positions
from ..compiling import kernel

HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
"""The OD of haematoxylin, eosin and DAB in red, green and blue [2]_.

References
----------
.. [2] A. C. Ruifrok, D. A. Johnston. Quantification of histochemical staining by color
   deconvolution. Anal. Quant. Cytol. Histol. 23, 2001.
"""

_FINE = 2.0**32
_LN2 = 0.6931471805599453
_STEPS = 256
_MOST = 512  # exponents are clipped to this

# Rounded to a multiple of 2**-32, so that they do not depend on the library that computes them.
_LOG2 = np.rint(np.log2(np.arange(1, 257) / 256) * _FINE) / _FINE
_FRACTION = np.rint(np.exp2(np.arange(_STEPS) / _STEPS) * _FINE) / _FINE
_WHOLE = np.ldexp(1.0, np.arange(-_MOST, _MOST + 1))


@kernel
def density(level):
    """The OD of a level, 0 to 5.55."""
    return -_LN2 * _LOG2[level]


@kernel
def _power_of_2(x):
    """2**x: a whole power, one of 256 steps between two, and a polynomial between two steps."""
    x = min(max(x, -float(_MOST)), float(_MOST))
    step = np.int64(np.floor(x * _STEPS))
    rest = (x - step / _STEPS) * _LN2
    near_one = 1 + rest * (1 + rest * (0.5 + rest / 6))
    return _WHOLE[(step >> 8) + _MOST] * _FRACTION[step & 255] * near_one


@kernel
def _complete(stains, basis):
    """Fill the matrix with the stains, and the direction perpendicular to both if there are two."""
    for s in range(len(stains)):
        for c in range(3):
            basis[s, c] = stains[s, c]
    if len(stains) == 2:
        for c in range(3):
            a, b = (c + 1) % 3, (c + 2) % 3
            basis[2, c] = basis[0, a] * basis[1, b] - basis[0, b] * basis[1, a]


@kernel
def _invert(m, inverse):
    """Fill with the inverse of a 3x3 matrix, by cofactors."""
    for i in range(3):
        for j in range(3):
            a, b, c, d = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
            inverse[j, i] = m[a, c] * m[b, d] - m[a, d] * m[b, c]
    determinant = m[0, 0] * inverse[0, 0] + m[0, 1] * inverse[1, 0] + m[0, 2] * inverse[2, 0]
    for i in range(3):
        for j in range(3):
            inverse[i, j] /= determinant


@kernel
def _tabulate(stains, factors, offsets, table):
    """Fill the table (3, 256, 3): what a level of a channel contributes to each new channel."""
    basis, strengths = np.empty((3, 3)), np.empty((3, 3))
    _complete(stains, basis)
    _invert(basis, strengths)
    for new in range(3):
        added = 0.0
        for s in range(len(stains)):
            added += offsets[s] * basis[s, new]
        for old in range(3):
            power = 0.0
            for s in range(3):
                factor = factors[s] if s < len(stains) else np.float32(1)
                power += strengths[old, s] * factor * basis[s, new]
            bits = 8 - added / _LN2 if old == 0 else 0.0
            for level in range(256):
                table[old, level, new] = _power_of_2(power * _LOG2[level] + bits)


@kernel
def _changes(factors, offsets):
    """Whether any strength changes."""
    changes = False
    for s in range(len(factors)):
        changes |= factors[s] != 1 or offsets[s] != 0
    return changes


@kernel
def _recompose(image, table):
    flat = image.reshape(image.size)
    red, green, blue = table[0], table[1], table[2]
    for p in range(len(flat) // 3):
        at = np.uint64(3 * p)
        r, g, b = flat[at], flat[at + np.uint64(1)], flat[at + np.uint64(2)]
        for c in range(3):
            value = red[r, c] * green[g, c] * blue[b, c]
            # minus 1, rounded to the nearest level, halves up
            flat[at + np.uint64(c)] = np.int32(min(max(value, 1.0), 256.0) - 0.5)


@kernel
def restain(images, rows, stains, factors, offsets):
    """Multiply the strength of each stain by a factor, then add an offset.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    rows : (m,) int
        The images to change.
    stains : (m, k, 3) float32
        The OD of k = 2 or 3 stains in red, green and blue, linearly independent. Of two, what is
        perpendicular to both is kept.
    factors, offsets : (m, k) float32
        By image and stain. A factor of 1 and an offset of 0 leave every level as it is.
    """
    table = np.empty((3, 256, 3))
    for i in range(len(rows)):
        if _changes(factors[i], offsets[i]):
            _tabulate(stains[i], factors[i], offsets[i], table)
            _recompose(images[rows[i]], table)


def hed(
    images: Images,
    rows: Positions,
    haematoxylin: NDArray[Any],
    eosin: NDArray[Any],
    dab: NDArray[Any],
) -> None:
    """Change the strengths of haematoxylin, eosin and DAB by these fractions: 0.1 adds a tenth."""
    changes = np.stack([haematoxylin, eosin, dab], axis=1)
    stains = np.repeat(HED[None], len(rows), axis=0)
    restain(images, rows, stains, 1 + changes, np.zeros_like(changes))
