"""Fingerprints of images, compiled: XXH3 through its binding holds the interpreter's lock."""

from __future__ import annotations

import numba as nb
import numpy as np

_LANES = 32
_PRIME = np.uint64(0x9E3779B185EBCA87)  # the first of XXH64's


@nb.njit(cache=True, nogil=True)
def fingerprints(data):
    """(n, 2) uint64 of (n, size) uint8: to tell other data, not to keep out forgers.

    Lanes of 64 bits take a word each, turned and multiplied, so that every change of a word changes
    its lane for good; in the end the lanes are mixed as by splitmix64.
    """
    n, size = data.shape
    out = np.full((n, 2), np.uint64(size), np.uint64)
    lanes = np.empty(_LANES, np.uint64)
    whole = size // (8 * _LANES) * (8 * _LANES)
    for k in range(n):
        for i in range(_LANES):
            lanes[i] = np.uint64(i + 1) * _PRIME
        words = data[k, :whole].view(np.uint64)
        for start in range(0, len(words), _LANES):
            some = words[start : start + _LANES]
            for i in range(_LANES):
                lane = lanes[i] ^ some[i]
                lanes[i] = ((lane << np.uint64(29)) | (lane >> np.uint64(35))) * _PRIME
        for i in range(whole, size):
            lane = lanes[i % _LANES] ^ np.uint64(data[k, i])
            lanes[i % _LANES] = ((lane << np.uint64(29)) | (lane >> np.uint64(35))) * _PRIME
        for i in range(_LANES):
            bits = out[k, i % 2] ^ lanes[i]
            bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            out[k, i % 2] = bits ^ (bits >> np.uint64(31))
    return out
