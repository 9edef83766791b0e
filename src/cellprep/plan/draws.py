"""All random numbers: pure functions of (seed, epoch, step, parameter, source id, copy number).

There is no state, so any row can be computed alone, in any order, on any worker. The bits are two
rounds of splitmix64 [1]_ over the keys of row and stream. The arithmetic does not use NumPy's
generators, so the numbers are the same with every version of NumPy.

References
----------
.. [1] G. Steele, D. Lea, C. Flood. Fast splittable pseudorandom number generators. OOPSLA 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import ArrayLike, NDArray

from ..arrays import Ids, Keys
from ..kernels.splitmix import GOLDEN, mix

Names = str | Sequence[str]
"""One parameter, or several with the same distribution: one row of the result for each."""


def id_keys(ids: Ids) -> Keys:
    """(n,) uint64, the random-number keys of ids; independent of their order."""
    if ids.dtype.kind == "U":
        encoded = (text.encode("utf-8", "surrogateescape") for text in ids.tolist())
        return np.fromiter(map(xxhash.xxh3_64_intdigest, encoded), np.uint64, len(ids))
    return mix(ids.astype(np.uint64) + GOLDEN)


def row_keys(ids: Keys, copies: NDArray[np.int64]) -> Keys:
    """(n,) uint64, one for each (source id, copy number)."""
    return mix(ids + GOLDEN * (copies.astype(np.uint64) + np.uint64(1)))


@lru_cache(maxsize=256)
def _stream_keys(seed: int, epoch: int, step: str, names: tuple[str, ...]) -> Keys:
    series = f"{seed}@{epoch}" if epoch else f"{seed}"  # of version 0.1, which had no epochs
    texts = [f"{series}/{step}/{name}".encode() for name in names]
    return np.array([xxhash.xxh3_64_intdigest(text) for text in texts], np.uint64)


def _with_suffix(name: Names, suffix: str) -> Names:
    return f"{name}/{suffix}" if isinstance(name, str) else [f"{one}/{suffix}" for one in name]


@dataclass(frozen=True)
class Draw:
    """The random numbers of one step for a batch of rows, one column per parameter name.

    Parameters
    ----------
    seed : int
    step : str
        Name of the step in its recipe; equal settings under another name give other numbers.
    rows : (n,) uint64
        Keys from `row_keys`.
    epoch : int
        Each epoch has other numbers; epoch 0 has those that `write` uses.

    Examples
    --------
    >>> draw = Draw(0, "jitter", row_keys(id_keys(np.arange(3)), np.zeros(3, np.int64)))
    >>> draw.uniform("angle", -1, 1)
    array([0.063..., 0.572..., 0.281...], dtype=float32)
    """

    seed: int
    step: str
    rows: Keys
    epoch: int = 0

    def bits(self, name: Names) -> Keys:
        """(n,) uint64, all 64 bits random."""
        from ..kernels.random_bits import bits

        names = (name,) if isinstance(name, str) else tuple(name)
        streams = _stream_keys(self.seed, self.epoch, self.step, names)
        result = bits(np.ascontiguousarray(self.rows), streams)
        return np.asarray(result[0]) if isinstance(name, str) else np.asarray(result)

    def _unit(self, name: Names) -> NDArray[np.float64]:
        """(n,) float64 in [0, 1), a multiple of 2**-53."""
        return np.asarray((self.bits(name) >> np.uint64(11)) * 2.0**-53)

    def uniform(self, name: Names, low: ArrayLike, high: ArrayLike) -> NDArray[np.float32]:
        """(n,) float32 in [low, high]; either may have one value per row."""
        low = np.asarray(low, np.float64)
        return (low + (high - low) * self._unit(name)).astype(np.float32)

    def normal(self, name: Names, mean: ArrayLike, stddev: ArrayLike) -> NDArray[np.float32]:
        """(n,) float32, normally distributed (Box and Muller, 1958)."""
        radius = np.sqrt(-2.0 * np.log1p(-self._unit(_with_suffix(name, "radius"))))
        deviate = radius * np.cos(2.0 * np.pi * self._unit(_with_suffix(name, "angle")))
        return np.asarray(mean + np.asarray(stddev) * deviate, np.float32)

    def integers(self, name: Names, stop: int) -> NDArray[np.int64]:
        """(n,) int64, uniform over 0 to stop - 1 (stop at most 2**31)."""
        high = self.bits(name) >> np.uint64(32)
        return ((high * np.uint64(stop)) >> np.uint64(32)).astype(np.int64)

    def boolean(self, name: Names) -> NDArray[np.bool_]:
        """(n,) bool, True half the time."""
        return np.asarray(self.bits(name) >> np.uint64(63) == 1)
