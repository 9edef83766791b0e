"""64-bit perceptual hashes, bit for bit those of the Python library imagehash.

The four definitions begin alike: luminance as Pillow rounds it, brought to a small square by
Pillow's Lanczos filter, both in fixed point. Ties are part of a definition: the cosine and the
wavelet transform add in the order of SciPy and of PyWavelets, so a coefficient that is zero but
for rounding falls on the same side of the median.
"""

from __future__ import annotations

import functools
import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ...arrays import Images
from .. import HASHES

Hashes = NDArray[np.uint64]
"""(n,), one bit a cell of an 8x8 grid, row by row from the most significant: as hexadecimal they
are what imagehash prints."""

_BITS = 22  # of a filter's coefficients behind the point: 32 less a pixel's 8 and two to overflow
_SIDE = 32  # of the square that phash transforms


def perceptual_hashes(images: Images, kind: str = "phash") -> Hashes:
    """(n,) uint64: the hash of each image by one of four definitions.

    "phash" marks the low frequencies of the luminance that lie above their median [1]_; "dhash" the
    cells of an 8x8 thumbnail that are lighter than their left neighbour; "ahash" those lighter than
    the mean; "whash" those above the median in a Haar wavelet without its mean.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
        Of any size, down to one pixel.
    kind : "phash", "dhash", "ahash" or "whash"

    References
    ----------
    .. [1] imagehash 4.3: `phash`, `dhash`, `average_hash` and `whash` with their defaults.

    Examples
    --------
    >>> image = np.zeros((1, 16, 16, 3), np.uint8)
    >>> image[:, :8, :8] = 255
    >>> [f"{hash:016x}" for hash in perceptual_hashes(image, "ahash").tolist()]
    ['f0f0f0f000000000']
    """
    assert kind in HASHES
    _, height, width, _ = images.shape
    hashes = np.empty(len(images), np.uint64)
    if kind == "phash":
        sides = (_SIDE, _SIDE)
    elif kind == "whash":
        scale = max(8, 2 ** (min(height, width).bit_length() - 1))
        sides = (scale, scale)
    else:
        sides = (8, 9 if kind == "dhash" else 8)
    filters = (*_lanczos(width, sides[1]), *_lanczos(height, sides[0]))
    if kind == "phash":
        _phash(images, *filters, *_roots(), hashes)
    elif kind == "whash":
        _whash(images, *filters, hashes)
    else:
        _thumbnail_hash(images, *filters, kind == "dhash", hashes)
    return hashes


@functools.lru_cache(64)
def _lanczos(size: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where each of the `wanted` windows over `size` pixels begins and ends, and its weights."""
    scale = size / wanted
    stretch = max(scale, 1.0)
    support = 3.0 * stretch
    spans = np.empty((wanted, 2), np.int64)
    weights = np.zeros((wanted, 2 * math.ceil(support) + 1), np.int32)
    for place in range(wanted):
        center = (place + 0.5) * scale
        start = max(int(center - support + 0.5), 0)
        stop = min(int(center + support + 0.5), size)
        found = [_lanczos_at((x - center + 0.5) * (1.0 / stretch)) for x in range(start, stop)]
        total = 0.0
        for weight in found:  # in this order: sum() would compensate what is lost
            total += weight
        for tap, weight in enumerate(found):
            fixed = (weight / total if total else weight) * (1 << _BITS)
            weights[place, tap] = int(fixed - 0.5 if fixed < 0 else fixed + 0.5)
        spans[place] = start, stop
    return spans, weights


def _lanczos_at(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x else 1.0


@nb.njit(cache=True, nogil=True)
def _resized(image, x_spans, x_weights, y_spans, y_weights, scratch, out):
    """The luminance of an image in `out`: columns first, or rows, and rounded in between."""
    lines, fewer, turned, small = scratch
    height, width, _ = image.shape
    rows_first = _rows_first(height, width, len(y_spans), len(x_spans))
    for y in range(height):
        for x in range(width):
            red, green, blue = image[y, x, 0], image[y, x, 1], image[y, x, 2]
            total = np.uint32(red) * 19595 + np.uint32(green) * 38470 + np.uint32(blue) * 7471
            grey = np.uint8((total + 0x8000) >> 16)
            if rows_first:
                lines[y, x] = grey
            else:
                lines[x, y] = grey
    if rows_first:
        _filtered(lines, y_spans, y_weights, fewer)
        _transposed(fewer, turned)
        _filtered(turned, x_spans, x_weights, small)
        _transposed(small, out)
    else:
        _filtered(lines, x_spans, x_weights, fewer)
        _transposed(fewer, turned)
        _filtered(turned, y_spans, y_weights, out)


@nb.njit(cache=True, nogil=True)
def _rows_first(height, width, wanted_height, wanted_width):
    """The order of Pillow since 13.0; before, it always began with the columns."""
    return height - wanted_height > max(0, 2 * (width - wanted_width))


@nb.njit(cache=True, nogil=True)
def _filtered(lines, spans, weights, out):
    """Weighted sums of lines."""
    length = out.shape[1]
    total = np.empty(length, np.int32)
    for place in range(len(out)):
        total[:] = np.int32(1 << (_BITS - 1))
        start = spans[place, 0]
        for line in range(start, spans[place, 1]):
            weight = weights[place, line - start]
            source = lines[line]
            for i in range(length):
                total[i] += weight * np.int32(source[i])
        for i in range(length):
            out[place, i] = np.uint8(min(max(total[i] >> _BITS, 0), 255))


@nb.njit(cache=True, nogil=True)
def _transposed(table, out):
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            out[j, i] = table[i, j]


@nb.njit(cache=True, nogil=True)
def _scratch(images, y_spans, x_spans):
    """What `_resized` needs on its way: all lines, fewer, these turned, and fewer again."""
    _, across, along, _ = images.shape
    wanted, other = len(y_spans), len(x_spans)
    if not _rows_first(across, along, wanted, other):
        across, along = along, across
        wanted, other = other, wanted
    return (
        np.empty((across, along), np.uint8),
        np.empty((wanted, along), np.uint8),
        np.empty((along, wanted), np.uint8),
        np.empty((other, wanted), np.uint8),
    )


@nb.njit(cache=True, nogil=True)
def _thumbnail_hash(images, x_spans, x_weights, y_spans, y_weights, differences, hashes):
    scratch = _scratch(images, y_spans, x_spans)
    small = np.empty((len(y_spans), len(x_spans)), np.uint8)
    for i in range(len(images)):
        _resized(images[i], x_spans, x_weights, y_spans, y_weights, scratch, small)
        total = np.int64(0)
        for y in range(8):
            for x in range(8):
                total += np.int64(small[y, x])
        bits = np.uint64(0)
        for y in range(8):
            for x in range(8):
                if differences:
                    mark = small[y, x + 1] > small[y, x]
                else:
                    mark = 64 * np.int64(small[y, x]) > total
                bits = (bits << np.uint64(1)) | np.uint64(mark)
        hashes[i] = bits


@nb.njit(cache=True, nogil=True)
def _above_median(table):
    """The bits of an 8x8 table that lie above the mean of its two middle values."""
    ordered = np.sort(table.copy().ravel())
    median = (ordered[31] + ordered[32]) / 2
    bits = np.uint64(0)
    for y in range(8):
        for x in range(8):
            bits = (bits << np.uint64(1)) | np.uint64(table[y, x] > median)
    return bits


# -- phash --------------------------------------------------------------------------------------


@nb.njit(cache=True, nogil=True)
def _phash(images, x_spans, x_weights, y_spans, y_weights, turns, cosines, hashes):
    scratch = _scratch(images, y_spans, x_spans)
    small = np.empty((len(y_spans), len(x_spans)), np.uint8)
    here, there = np.empty((_SIDE, _SIDE)), np.empty((_SIDE, _SIDE))
    row_here, row_there = np.empty((_SIDE, 8)), np.empty((_SIDE, 8))
    low = np.empty((8, 8))
    for i in range(len(images)):
        _resized(images[i], x_spans, x_weights, y_spans, y_weights, scratch, small)
        for y in range(_SIDE):
            for x in range(_SIDE):
                here[y, x] = small[y, x]
        _dct(here, there, turns, cosines)
        for x in range(_SIDE):
            for y in range(8):
                row_here[x, y] = here[y, x]
        _dct(row_here, row_there, turns, cosines)
        for x in range(8):
            for y in range(8):
                low[y, x] = row_here[x, y]
        hashes[i] = _above_median(low)


@functools.cache
def _roots() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """cos and sin of k/32 turns, (32, 2), and cos of k/128 turns, (33,), as SciPy rounds them."""
    turns = np.array([_Turns(32)(k) for k in range(32)])
    return turns, np.array([_Turns(128)(k)[0] for k in range(33)])


class _Turns:
    """cos and sin of k/n turns, each the product of a coarse and a fine rotation."""

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
        """By the library of the machine, from within the first eighth of a turn."""
        angle = 0.25 * math.pi / self.n
        eighth, rest = divmod(8 * k, self.n)
        if eighth % 2:
            rest = self.n - rest
        cosine, sine = math.cos(rest * angle), math.sin(rest * angle)
        if eighth in (1, 2):
            cosine, sine = sine, cosine
        return (cosine if eighth < 2 else -cosine), sine


@nb.njit(cache=True, nogil=True)
def _dct(c, spare, turns, cosines):
    """The first 8 coefficients of the type-II cosine transform along axis 0, in place.

    Sums and differences of neighbours are the spectrum of a real series; a real Fourier transform
    back, in steps of 2, 4 and 4, and one rotation of each pair give the coefficients [1]_.

    .. [1] P. N. Swarztrauber, Vectorizing the FFTs, Parallel Computations, 1982: the order of
       FFTPACK and its heirs.
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


@nb.njit(cache=True, nogil=True)
def _step_2(c, out, turns):
    """Two interleaved half spectra of 16 out of one of 32."""
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


@nb.njit(cache=True, nogil=True)
def _step_4(c, out, size, count, turns):
    """Of each of `count` spectra of 4 `size` values four of `size`, `count` of a kind in a row."""
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


# -- whash --------------------------------------------------------------------------------------


@nb.njit(cache=True, nogil=True)
def _whash(images, x_spans, x_weights, y_spans, y_weights, hashes):
    scale = len(x_spans)
    scratch = _scratch(images, y_spans, x_spans)
    small = np.empty((len(y_spans), len(x_spans)), np.uint8)
    table, spare = np.empty((scale, scale)), np.empty((scale, scale))
    for i in range(len(images)):
        _resized(images[i], x_spans, x_weights, y_spans, y_weights, scratch, small)
        for y in range(scale):
            for x in range(scale):
                table[y, x] = small[y, x] / 255.0
        side = scale
        while side > 1:
            _haar(table, spare, side)
            side //= 2
        table[0, 0] = 0
        while side < scale:
            side *= 2
            _haar_back(table, spare, side)
        while side > 8:
            _haar(table, spare, side)
            side //= 2
        hashes[i] = _above_median(table[:8, :8])


_HALF = 0.7071067811865476  # the root of a half


@nb.njit(cache=True, nogil=True)
def _haar(table, spare, side):
    """One level of the wavelet on the first `side` rows and columns: sums first, then details."""
    half = side // 2
    for y in range(half):
        for x in range(side):
            a, b = _HALF * table[2 * y, x], _HALF * table[2 * y + 1, x]
            spare[y, x] = b + a
            spare[half + y, x] = a - b
    for y in range(side):
        for x in range(half):
            a, b = _HALF * spare[y, 2 * x], _HALF * spare[y, 2 * x + 1]
            table[y, x] = b + a
            table[y, half + x] = a - b


@nb.njit(cache=True, nogil=True)
def _haar_back(table, spare, side):
    """What `_haar` did, undone."""
    half = side // 2
    for y in range(side):
        for x in range(half):
            a, b = _HALF * table[y, x], _HALF * table[y, half + x]
            spare[y, 2 * x] = a + b
            spare[y, 2 * x + 1] = a - b
    for y in range(half):
        for x in range(side):
            a, b = _HALF * spare[y, x], _HALF * spare[half + y, x]
            table[2 * y, x] = a + b
            table[2 * y + 1, x] = a - b
