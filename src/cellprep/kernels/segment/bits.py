"""Masks packed into bits, 64 pixels per word, for compiled code.

A mask (h, w) is an array (rows, words) of uint64. Pixel x of a row is bit x % 64 of word x // 64,
and the rows form one long string. A margin of zeros surrounds the mask: rows above and below, and
bits after each row, which also separate it from the next one. So shifting needs no border checks,
no run of ones continues from one row into the next, and the outside is a single region.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from ..popcount import popcount

Array = NDArray[Any]

NONE, ONE, ALL = np.uint64(0), np.uint64(1), np.uint64(2**64 - 1)
_BYTES = np.uint64(0x0101010101010101)
# Multiplied by this, eight bytes of 0 or 1 have byte k in bit k of the highest byte.
_GATHER = np.uint64(0x0102040810204080)
# Bit k of byte k; and the addend that carries any set bit of a byte into its highest bit.
_STAIRS, _CARRY = np.uint64(0x8040201008040201), np.uint64(0x7F7F7F7F7F7F7F7F)


@kernel
def empty_masks(n: int, h: int, w: int, margin: int) -> Array:
    """Packed masks of zeros with a margin of at least one."""
    return np.zeros((n, h + 2 * margin, (w + margin) // 64 + 1), np.uint64)


@kernel
def pack(values: Array, least: Any, bits: Array) -> None:
    """Set the bits where `values` (h, w) are at least `least`, a uint8; clear the rest."""
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


@kernel
def unpack(bits: Array, out: Array) -> None:
    """Write a packed mask to `out` (h, w) as bytes of 0 and 1."""
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


@kernel
def lowest_one(word: Any) -> Any:
    """Position of the lowest set bit [Warren 2012, 5-4]; one instruction after compilation."""
    return popcount(~word & (word - ONE))


@kernel
def flip_span(string: Array, start: int, stop: int) -> None:
    """Invert the bits from `start` up to `stop`.

    All bits of a word from `start` on and from `stop` on are inverted; twice is not at all.
    """
    first, last = start >> 6, stop >> 6
    string[first] ^= ALL << (start & 63)
    for j in range(first + 1, last + 1):
        string[j] ^= ALL
    string[last] ^= ALL << (stop & 63)


@kernel
def ones_in_span(string: Array, start: int, stop: int) -> Any:
    """Number of set bits from `start` up to `stop`."""
    first, last = start >> 6, stop >> 6
    total = -popcount(string[first] & ~(ALL << (start & 63)))
    for j in range(first, last):
        total += popcount(string[j])
    return total + popcount(string[last] & ~(ALL << (stop & 63)))


@kernel
def outline(bits: Array) -> tuple[int, int]:
    """Area of a mask in pixels, and its perimeter in pixel sides, image border included."""
    string, words = bits.ravel(), bits.shape[1]
    here, before, above = string[words:], string[words - 1 :], string
    area, sides = 0, 0
    for j in range(len(here)):
        area += popcount(here[j])
        sides += popcount(here[j] ^ (here[j] << 1 | before[j] >> 63))
        sides += popcount(here[j] ^ above[j])
    return area, sides


@kernel
def count_common(bits: Array, other: Array) -> int:
    """Number of pixels that two masks share."""
    string, others = bits.ravel(), other.ravel()
    total = 0
    for j in range(len(string)):
        total += popcount(string[j] & others[j])
    return total


@kernel
def intersect(bits: Array, other: Array) -> None:
    """Clear the pixels of a mask that `other` lacks."""
    string, others = bits.ravel(), other.ravel()
    for j in range(len(string)):
        string[j] &= others[j]
