"""All random numbers: each a pure function of (seed, step, parameter, source id, copy number).

Nothing here keeps a state, so any row can be made alone, in any order, on any worker. The bits
come from two rounds of splitmix64 [1]_ over the row's key and the stream's; the arithmetic is our
own, so they are the same under every version of NumPy.

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
from ..errors import CellprepError
from ..kernels.splitmix import GOLDEN, mix

Names = str | Sequence[str]
"""One parameter, or several of one distribution: their columns come as rows of one array."""


def check_seed(seed: object) -> int:
    """A seed is a whole number in [0, 2**63)."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise CellprepError(f"`seed` must be a whole number in [0, 2**63), got {seed!r}")
    return int(seed)


def id_keys(ids: Ids) -> Keys:
    """(n,) uint64 that stand for the ids, whatever their order."""
    if ids.dtype.kind == "U":
        encoded = (text.encode("utf-8", "surrogateescape") for text in ids.tolist())
        return np.fromiter(map(xxhash.xxh3_64_intdigest, encoded), np.uint64, len(ids))
    return mix(ids.astype(np.uint64) + GOLDEN)


def row_keys(ids: Keys, copies: NDArray[np.int64]) -> Keys:
    """(n,) uint64, one for each (source id, copy number)."""
    return mix(ids + GOLDEN * (copies.astype(np.uint64) + np.uint64(1)))


@lru_cache(maxsize=256)
def _stream_keys(seed: int, step: str, names: tuple[str, ...]) -> Keys:
    texts = [f"{seed}/{step}/{name}".encode() for name in names]
    return np.array([xxhash.xxh3_64_intdigest(text) for text in texts], np.uint64)


def _each(name: Names, part: str) -> Names:
    return f"{name}/{part}" if isinstance(name, str) else [f"{each}/{part}" for each in name]


@dataclass(frozen=True)
class Draw:
    """The random numbers of one step for a batch of rows, one column a parameter name.

    Parameters
    ----------
    seed : int
    step : str
        Name of the step in its recipe; equal settings under another name draw other numbers.
    rows : (n,) uint64
        Keys made by `row_keys`.

    Examples
    --------
    >>> draw = Draw(0, "jitter", row_keys(id_keys(np.arange(3)), np.zeros(3, np.int64)))
    >>> draw.uniform("angle", -1, 1)
    array([0.063..., 0.572..., 0.281...], dtype=float32)
    """

    seed: int
    step: str
    rows: Keys

    def bits(self, name: Names) -> Keys:
        """(n,) uint64, all 64 bits random."""
        from ..kernels.random_bits import bits

        names = (name,) if isinstance(name, str) else tuple(name)
        drawn = bits(np.ascontiguousarray(self.rows), _stream_keys(self.seed, self.step, names))
        return np.asarray(drawn[0]) if isinstance(name, str) else np.asarray(drawn)

    def _unit(self, name: Names) -> NDArray[np.float64]:
        """(n,) float64 in [0, 1), a multiple of 2**-53."""
        return np.asarray((self.bits(name) >> np.uint64(11)) * 2.0**-53)

    def uniform(self, name: Names, low: ArrayLike, high: ArrayLike) -> NDArray[np.float32]:
        """(n,) float32 in [low, high]; either may hold one value a row."""
        low = np.asarray(low, np.float64)
        return (low + (high - low) * self._unit(name)).astype(np.float32)

    def normal(self, name: Names, mean: ArrayLike, stddev: ArrayLike) -> NDArray[np.float32]:
        """(n,) float32 of a normal distribution (Box and Muller, 1958)."""
        radius = np.sqrt(-2.0 * np.log1p(-self._unit(_each(name, "radius"))))
        deviate = radius * np.cos(2.0 * np.pi * self._unit(_each(name, "angle")))
        return np.asarray(mean + np.asarray(stddev) * deviate, np.float32)

    def integers(self, name: Names, stop: int) -> NDArray[np.int64]:
        """(n,) int64, uniform over 0 to stop - 1 (stop at most 2**31)."""
        high = self.bits(name) >> np.uint64(32)
        return ((high * np.uint64(stop)) >> np.uint64(32)).astype(np.int64)

    def boolean(self, name: Names) -> NDArray[np.bool_]:
        """(n,) bool, True half the time."""
        return np.asarray(self.bits(name) >> np.uint64(63) == 1)
