"""Number of set bits in a word, compiled; for arrays there is `np.bitwise_count`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import kernel

# The lower half of every 2, 4 and 8 bits, and the lowest bit of every byte.
_PAIRS, _FOURS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_EIGHTS, _BYTES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)


@kernel
def popcount(word: Any) -> Any:
    """Number of ones in a uint64; LLVM compiles this to a single instruction.

    References
    ----------
    .. [1] H. S. Warren. Hacker's Delight, 2nd edition, 2012, section 5-1.
    """
    word -= word >> np.uint64(1) & _PAIRS
    word = (word & _FOURS) + (word >> np.uint64(2) & _FOURS)
    word = word + (word >> np.uint64(4)) & _EIGHTS
    return np.int64(word * _BYTES >> np.uint64(56))
