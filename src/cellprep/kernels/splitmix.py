"""splitmix64, from which every random number comes.

These are plain functions of 64-bit integers: on NumPy arrays they work as they are, and compiled
code compiles them (`numba.njit(mix)`). So importing this module needs no compiler.

References
----------
.. [1] G. Steele, D. Lea, C. Flood. Fast splittable pseudorandom number generators. OOPSLA 2014.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Keys

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The step from one state of splitmix64 to the next: 2**64 divided by the golden ratio."""


def mix(bits: Keys) -> Keys:
    """The finaliser of splitmix64: every input bit affects every output bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
