"""Random bits of many rows and streams at once, compiled."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from ..arrays import Keys
from .compiling import kernel
from .splitmix import mix

_mix: Any = nb.njit(mix)


@kernel
def bits(rows: Keys, streams: Keys) -> Keys:
    """(m, n) uint64: the random bits of each row (n,) in each stream (m,)."""
    sampled = np.empty((len(streams), len(rows)), np.uint64)
    for k in range(len(streams)):
        for i in range(len(rows)):
            sampled[k, i] = _mix(_mix(rows[i] ^ streams[k]) + streams[k])
    return sampled
