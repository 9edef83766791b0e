"""The first 8 coefficients of a cosine transform of 32 values, bit for bit as SciPy computes them.

SciPy's own result differs between processors: its build for ARM fuses multiplications with
additions, and this rounds coefficients that are zero but for rounding to the other side.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel

SIDE = 32


@functools.cache
def twiddles() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """cos and sin of k/32 turns, (32, 2), and cos of k/128 turns, (33,), rounded as in SciPy."""
    turns = np.array([_Turns(32)(k) for k in range(32)])
    return turns, np.array([_Turns(128)(k)[0] for k in range(33)])


class _Turns:
    """cos and sin of k/n turns, each the product of a coarse and a fine rotation, as in SciPy."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.bits = 1
        while 4**self.bits < (n + 2) // 2:
            self.bits += 1

    def __call__(self, k: int) -> tuple[float, float]:
        if 2 * k > self.n:
            cosine, sine = self(self.n - k)
            return cosine, -sine
        fine = k & ((1 << self.bits) - 1)
        (a, b), (c, d) = self._direct(fine), self._direct(k - fine)
        return a * c - b * d, a * d + b * c

    def _direct(self, k: int) -> tuple[float, float]:
        """By the C library, from an angle within the first eighth of a turn."""
        angle = 0.25 * math.pi / self.n
        eighth, rest = divmod(8 * k, self.n)
        if eighth % 2:
            rest = self.n - rest
        cosine, sine = math.cos(rest * angle), math.sin(rest * angle)
        if eighth in (1, 2):
            cosine, sine = sine, cosine
        return (cosine if eighth < 2 else -cosine), sine


@kernel
def dct(c, spare, turns, cosines):
    """The first 8 coefficients of the type-II cosine transform along axis 0, in place.

    Sums and differences of neighbours form the spectrum of a real series. Its inverse Fourier
    transform, by radix 2, 4 and 4, and a rotation of each pair give the coefficients [1]_.

    References
    ----------
    .. [1] P. N. Swarztrauber, Vectorizing the FFTs, Parallel Computations, 1982: the order of
       additions in FFTPACK and in SciPy.
    """
    lanes = c.shape[1]
    for x in range(lanes):
        c[0, x] *= 2
        c[31, x] *= 2
    for k in range(1, 31, 2):
        for x in range(lanes):
            a, b = c[k, x], c[k + 1, x]
            c[k, x] = a + b
            c[k + 1, x] = b - a
    _step_2(c, spare, turns)
    _step_4(spare, c, 4, 2, turns)
    _step_4(c, spare, 1, 8, turns)
    for k in range(1, 8):
        u, v = cosines[k], cosines[32 - k]
        for x in range(lanes):
            a, b = spare[k, x], spare[32 - k, x]
            c[k, x] = 0.5 * ((u * b + v * a) + (u * a - v * b))
    for x in range(lanes):
        c[0, x] = spare[0, x]


@kernel
def _step_2(c, out, turns):
    """Split one half spectrum of 32 values into two of 16, interleaved."""
    for x in range(c.shape[1]):
        a, b = c[0, x], c[31, x]
        out[0, x] = a + b
        out[16, x] = a - b
        out[15, x] = 2 * c[15, x]
        out[31, x] = -2 * c[16, x]
    for i in range(2, 16, 2):
        u, v = turns[i // 2, 0], turns[i // 2, 1]
        for x in range(c.shape[1]):
            a, b = c[i - 1, x], c[31 - i, x]
            p, q = c[i, x], c[32 - i, x]
            out[i - 1, x] = a + b
            out[i, x] = p - q
            real, imaginary = a - b, p + q
            out[15 + i, x] = u * real - v * imaginary
            out[16 + i, x] = u * imaginary + v * real


@kernel
def _step_4(c, out, size, count, turns):
    """Split each of `count` half spectra of 4 `size` values into four of `size`, by kind."""
    lanes = c.shape[1]
    kind = count * size
    last = size - 1
    root = np.sqrt(2.0)
    for k in range(count):
        c0, o = 4 * k * size, k * size
        c1, c2, c3 = c0 + size, c0 + 2 * size, c0 + 3 * size
        for x in range(lanes):
            a, b = c[c0, x], c[c3 + last, x]
            p, q = 2 * c[c1 + last, x], 2 * c[c2, x]
            out[o, x] = (a + b) + p
            out[o + 2 * kind, x] = (a + b) - p
            out[o + kind, x] = (a - b) - q
            out[o + 3 * kind, x] = (a - b) + q
        if size == 1:
            continue
        for x in range(lanes):
            a, b = c[c0 + last, x], c[c2 + last, x]
            p, q = c[c3, x], c[c1, x]
            out[o + last, x] = 2 * (a + b)
            out[o + last + kind, x] = root * ((a - b) - (p + q))
            out[o + last + 2 * kind, x] = 2 * (p - q)
            out[o + last + 3 * kind, x] = -root * ((a - b) + (p + q))
        for i in range(2, size, 2):
            for x in range(lanes):
                a, b = c[c0 + i - 1, x], c[c3 + last - i, x]
                d, e = c[c0 + i, x], c[c3 + size - i, x]
                f, g = c[c2 + i - 1, x], c[c1 + last - i, x]
                p, q = c[c2 + i, x], c[c1 + size - i, x]
                out[o + i - 1, x] = (a + b) + (f + g)
                out[o + i, x] = (d - e) + (p - q)
                for j in range(1, 4):
                    if j == 1:
                        real, imaginary = (a - b) - (p + q), (d + e) + (f - g)
                    elif j == 2:
                        real, imaginary = (a + b) - (f + g), (d - e) - (p - q)
                    else:
                        real, imaginary = (a - b) + (p + q), (d + e) - (f - g)
                    u, v = turns[j * count * i // 2, 0], turns[j * count * i // 2, 1]
                    out[o + i - 1 + j * kind, x] = u * real - v * imaginary
                    out[o + i + j * kind, x] = u * imaginary + v * real
