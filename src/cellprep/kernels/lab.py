"""CIE L*a*b* under D65 [1]_, from levels of sRGB and back, compiled.

All powers and roots are in tables, so that a pixel costs look-ups and multiply-adds only and gives
the same bytes on every machine.

References
----------
.. [1] CIE 15:2004, Colorimetry; sRGB by IEC 61966-2-1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiling import kernel

Array = NDArray[Any]


def _to_linear(value: Array) -> NDArray[np.float32]:
    """Values of sRGB in 0-1 as linear light."""
    powers = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    return powers.astype(np.float32)


_LINEAR = _to_linear(np.arange(256) / 255)
# linear light to XYZ over the white of D65 (2 degrees)
_XYZ = (
    np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    / np.array([[0.95047], [1.0], [1.08883]])
).astype(np.float32)
_RGB = np.linalg.inv(_XYZ.astype(np.float64)).astype(np.float32)

# CIE's f(t), interpolated between 4096 steps; the rows of the matrix sum to a little more than 1.
_STEPS = 4096
_T = np.arange(_STEPS + 3) / _STEPS
_ROOT = np.where(_T > 0.008856, np.cbrt(_T), 7.787 * _T + 16 / 116).astype(np.float32)

# The least linear light of each level, and the level of each of 4096 steps of linear light.
_EDGES = np.append(_to_linear(np.maximum(np.arange(256) - 0.5, 0) / 255), np.float32(np.inf))
_LEVEL = (np.searchsorted(_EDGES, np.arange(_STEPS + 1) / _STEPS, "right") - 1).astype(np.uint8)


@kernel
def _root(t: Any) -> Any:
    at = t * np.float32(_STEPS)
    i = np.int32(at)
    return _ROOT[i] + (at - np.float32(i)) * (_ROOT[i + 1] - _ROOT[i])


@kernel
def to_lab(pixels: Array, out: Array) -> None:
    """Fill `out` (n, 3) float32 with L*, a* and b* of pixels (n, 3) uint8; (n, 2) lacks L*."""
    first = out.shape[1] - 2
    for p in range(pixels.shape[0]):
        r, g, b = _LINEAR[pixels[p, 0]], _LINEAR[pixels[p, 1]], _LINEAR[pixels[p, 2]]
        x = _root(_XYZ[0, 0] * r + _XYZ[0, 1] * g + _XYZ[0, 2] * b)
        y = _root(_XYZ[1, 0] * r + _XYZ[1, 1] * g + _XYZ[1, 2] * b)
        z = _root(_XYZ[2, 0] * r + _XYZ[2, 1] * g + _XYZ[2, 2] * b)
        if first:
            out[p, 0] = np.float32(116) * y - np.float32(16)
        out[p, first] = np.float32(500) * (x - y)
        out[p, first + 1] = np.float32(200) * (y - z)


@kernel
def _power(f: Any) -> Any:
    """The t of f(t)."""
    if f > np.float32(0.20689303):
        return f * f * f
    return (f - np.float32(16 / 116)) / np.float32(7.787)


@kernel
def _level(light: Any) -> Any:
    """The nearest level of linear light; what sRGB cannot show is clipped."""
    light = min(max(light, np.float32(0)), np.float32(1))
    level = np.int32(_LEVEL[np.int32(light * np.float32(_STEPS))])
    while light >= _EDGES[level + 1]:
        level += 1
    return np.uint8(level)


@kernel
def from_lab(lab: Array, pixels: Array) -> None:
    """Fill pixels (n, 3) uint8 with the nearest levels of L*, a* and b* (n, 3) float32."""
    for p in range(len(lab)):
        y = (lab[p, 0] + np.float32(16)) / np.float32(116)
        x, z = _power(y + lab[p, 1] / np.float32(500)), _power(y - lab[p, 2] / np.float32(200))
        y = _power(y)
        for c in range(3):
            pixels[p, c] = _level(_RGB[c, 0] * x + _RGB[c, 1] * y + _RGB[c, 2] * z)
