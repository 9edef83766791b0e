"""Groups of duplicates, built from pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..arrays import Positions
from ..kernels.hashing.scale import Scale
from .pairs import Pairs, compare
from .signatures import Signatures

_SLACK = 1.5  # two copies of an image differ from each other by sqrt(2) times as much as from it
_COMPARED = 32  # images of a group that are compared with those of another


class Clustering:
    """Groups of images, built from pairs in increasing order of their difference.

    A pair merges two groups unless an image of one differs from an image of the other by more than
    two copies of one image do: 1.5 times what a single pair may differ by, with twice the shift. So
    an image near two different cells joins one of them. Of larger groups, the first 32 images are
    compared.

    Attributes
    ----------
    roots : (n,) int
        The first image of each image's group, itself if it is alone.
    turns : (n,) int
        The symmetry that turns that first image into this one.
    components : (n,) int
        The first image of each connected component of all pairs, which a split keeps together.
    differences : (n,) float
        From that first image, in grey levels, where the two are a pair; otherwise NaN.
    """

    def __init__(self, signatures: Signatures, shape: tuple[int, int]) -> None:
        n = len(signatures)
        self.signatures = signatures
        self.scale = Scale.of(*shape)
        self.roots = np.arange(n)
        self.turns = np.zeros(n, np.int64)
        self.differences = np.full(n, np.nan)
        self._parents = np.arange(n)
        self._members: dict[int, list[int]] = {}
        self._refused: set[tuple[int, int, int, int]] = set()

    @property
    def components(self) -> Positions:
        while (self._parents[self._parents] != self._parents).any():
            self._parents = self._parents[self._parents]
        return self._parents

    def add(self, pairs: Pairs, *, equal: bool = False) -> None:
        """Merge the groups of these pairs; `equal` images need no comparison."""
        columns = (pairs.first, pairs.second, pairs.symmetry, pairs.difference)
        for first, second, turn, difference in zip(*(c.tolist() for c in columns), strict=True):
            self._connect(first, second)
            if self._merge(first, second, turn, equal) and self.roots[second] == first:
                self.differences[second] = difference

    def _connect(self, first: int, second: int) -> None:
        """Join two connected components."""
        ends = []
        for image in (first, second):
            while self._parents[image] != image:
                self._parents[image] = self._parents[self._parents[image]]
                image = int(self._parents[image])
            ends.append(image)
        self._parents[max(ends)] = min(ends)

    def _merge(self, first: int, second: int, turn: int, equal: bool) -> bool:
        """Merge the groups of two images, if they may be; whether they were."""
        from ..kernels.hashing.symmetry import INVERSE, after

        root, other = int(self.roots[first]), int(self.roots[second])
        if root == other:
            return False
        if root > other:
            first, second, turn, root, other = second, first, INVERSE[turn], other, root
        # The symmetry that turns one root into the other.
        turn = after(after(int(self.turns[first]), turn), INVERSE[int(self.turns[second])])
        ours = self._members.get(root, [root])
        theirs = self._members.get(other, [other])
        if not equal and len(ours) + len(theirs) > 2:
            key = (root, other, len(ours), len(theirs))
            if key in self._refused:
                return False
            if not self._are_alike(ours, theirs, turn):
                self._refused.add(key)
                return False
        for member in theirs:
            self.roots[member] = root
            self.turns[member] = after(turn, int(self.turns[member]))
            self.differences[member] = np.nan
        self._members[root] = sorted([*ours, *theirs])
        self._members.pop(other, None)
        return True

    def _are_alike(self, ours: list[int], theirs: list[int], turn: int) -> bool:
        """Whether all images of two groups are near enough; `turn` is between their roots."""
        from ..kernels.hashing.differences import are_copies
        from ..kernels.hashing.symmetry import INVERSE, after

        pairs = [
            (one, other, after(after(INVERSE[int(self.turns[one])], turn), int(self.turns[other])))
            for one in ours[:_COMPARED]
            for other in theirs[:_COMPARED]
        ]
        first, second, turns = np.array(pairs).T
        # Two copies may be shifted in opposite directions.
        wide = replace(self.scale, step=2 * self.scale.step)
        found = compare(self.signatures, self.signatures, first, second, turns, wide)
        return bool(are_copies(found, self.scale, _SLACK).all())
