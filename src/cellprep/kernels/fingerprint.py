"""Fingerprints of images, compiled: XXH3 would be called once an image, under the interpreter's lock."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from ..draws import mix

_LANES = 64
_PRIME = np.uint64(0x9E3779B185EBCA87)  # the first of XXH64's
_mixed: Any = nb.njit(mix)  # of one number here


@nb.njit(cache=True, nogil=True)
def _turned(lane, word):
    bits = lane ^ word
    return ((bits << np.uint64(29)) | (bits >> np.uint64(35))) * _PRIME


@nb.njit(cache=True, nogil=True)
def _take(lanes, words):
    """Apart, so that the compiler sees two arrays and fills vector registers."""
    for i in range(len(lanes)):
        lanes[i] = _turned(lanes[i], words[i])


@nb.njit(cache=True, nogil=True)
def _mix(lanes):
    for i in range(len(lanes)):
        lanes[i] = _mixed(lanes[i])


@nb.njit(cache=True, nogil=True)
def fingerprints(data):
    """(n, 2) uint64 of (n, size) uint8: to tell other data, not to keep out forgers.

    Lanes of 64 bits take a word each, turned and multiplied, so that every change of a word changes
    its lane for good; in the end the lanes are mixed as by splitmix64, and turned into one another.
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
            _take(lanes, words[start : start + _LANES])
        for i in range(whole, size):
            lanes[i % _LANES] = _turned(lanes[i % _LANES], np.uint64(data[k, i]))
        _mix(lanes)
        for i in range(_LANES):
            out[k, i % 2] = _turned(out[k, i % 2], lanes[i])
        _mix(out[k])
    return out
