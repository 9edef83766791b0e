"""What counts as a duplicate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import in_range, one_of
from ..kernels import HASHES, Hash


@dataclass(frozen=True)
class Search:
    """What counts as a duplicate besides equal pixels.

    Parameters
    ----------
    near : int or None
        Largest Hamming distance between perceptual hashes of a pair to compare, 0 to 24; None
        finds no near duplicates.
    symmetries : bool
        Whether flips and quarter turns count, alone and together with `near`.
    hash : "phash", "dhash", "ahash" or "whash"
        Definition of the hash.
    """

    near: int | None = None
    symmetries: bool = False
    hash: Hash = "phash"

    def __post_init__(self) -> None:
        if self.near is not None:
            in_range("near", self.near, 0, 24, whole=True)
        if not isinstance(self.symmetries, (bool, np.bool_)):
            one_of("symmetries", self.symmetries, ("True", "False"))
        one_of("hash", self.hash, HASHES)

    def __bool__(self) -> bool:
        return self.near is not None or bool(self.symmetries)
