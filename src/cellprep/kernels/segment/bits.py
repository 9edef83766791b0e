"""Masks as strings of bits, 64 pixels a word, for compiled code.

A mask (h, w) is an array (rows, words) of uint64. Pixel x of a row is bit x % 64 of word x // 64,
and the rows follow each other as one string. A margin of zeros goes around: rows above and below,
and bits after each row, which come before the next one too. So moved bits meet no border, no run
of ones goes from one row into the next, and what lies outside is one region.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NONE, ONE, ALL = np.uint64(0), np.uint64(1), np.uint64(2**64 - 1)
# The lower half of every 2, 4 and 8 bits, and the lowest bit of every byte.
_PAIRS, _FOURS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_EIGHTS, _BYTES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)
# Eight bytes of 0 or 1 times this have byte k as bit k of the highest byte.
_GATHER = np.uint64(0x0102040810204080)
# Bit k of byte k; and what carries any bit of a byte into its highest one.
_STAIRS, _CARRY = np.uint64(0x8040201008040201), np.uint64(0x7F7F7F7F7F7F7F7F)


@nb.njit(cache=True, nogil=True)
def strings(n: int, h: int, w: int, margin: int) -> Array:
    """Empty masks with a margin of one or more."""
    return np.zeros((n, h + 2 * margin, (w + margin) // 64 + 1), np.uint64)


@nb.njit(cache=True, nogil=True)
def pack(values: Array, least: Any, bits: Array) -> None:
    """1 where a byte is `least`, a uint8, or more."""
    h, w = values.shape
    rows = bits.view(np.uint8)
    top = (len(bits) - h) // 2
    line = np.zeros(8 * rows.shape[1], np.uint8)
    eights = line.view(np.uint64)
    for y in range(h):
        row, packed = values[y], rows[top + y]
        for x in range(w):
            line[x] = np.uint8(row[x] >= least)
        for k in range(len(eights)):
            packed[k] = np.uint8(eights[k] * _GATHER >> 56)


@nb.njit(cache=True, nogil=True)
def unpack(bits: Array, out: Array) -> None:
    """Bytes of 0 and 1."""
    h, w = out.shape
    rows = bits.view(np.uint8)
    top = (len(bits) - h) // 2
    line = np.empty(8 * rows.shape[1], np.uint8)
    eights = line.view(np.uint64)
    for y in range(h):
        row, packed = out[y], rows[top + y]
        for k in range(len(eights)):
            one_each = np.uint64(packed[k]) * _BYTES & _STAIRS
            eights[k] = one_each + _CARRY >> 7 & _BYTES
        for x in range(w):
            row[x] = line[x]


@nb.njit(cache=True, nogil=True)
def ones(word: Any) -> Any:
    """How many bits of a word are 1 [Warren 2012, 5-1]; LLVM knows this as one instruction."""
    word -= word >> 1 & _PAIRS
    word = (word & _FOURS) + (word >> 2 & _FOURS)
    word = word + (word >> 4) & _EIGHTS
    return np.int64(word * _BYTES >> 56)


@nb.njit(cache=True, nogil=True)
def lowest_one(word: Any) -> Any:
    """Place of the lowest bit that is 1 [Warren 2012, 5-4]; one instruction again."""
    return ones(~word & (word - ONE))


@nb.njit(cache=True, nogil=True)
def flip_span(string: Array, start: int, stop: int) -> None:
    """Turn the bits from `start` to before `stop`: all that follow either in its word, twice."""
    first, last = start >> 6, stop >> 6
    string[first] ^= ALL << (start & 63)
    for j in range(first + 1, last + 1):
        string[j] ^= ALL
    string[last] ^= ALL << (stop & 63)


@nb.njit(cache=True, nogil=True)
def ones_in_span(string: Array, start: int, stop: int) -> Any:
    """How many of the bits from `start` to before `stop` are 1."""
    first, last = start >> 6, stop >> 6
    total = -ones(string[first] & ~(ALL << (start & 63)))
    for j in range(first, last):
        total += ones(string[j])
    return total + ones(string[last] & ~(ALL << (stop & 63)))
