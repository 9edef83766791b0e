"""Near pairs: candidates whose thumbnails differ by no more than processing causes.

Rows are numbered by their ids before they get here, so their order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions
from ..kernels.hashing.scale import Scale
from .candidates import Ranks, candidate_pairs
from .settings import Search
from .signatures import Signatures

_BATCH = 1 << 14  # pairs compared at a time


@dataclass(frozen=True, eq=False)
class Pairs:
    """Confirmed pairs: turned by `symmetry`, image `first` is a copy of image `second`.

    `distance` is that of the hashes, in bits; `difference` that of the images, in grey levels.
    """

    first: Positions
    second: Positions
    symmetry: NDArray[np.int64]
    distance: NDArray[np.int64]
    difference: NDArray[np.float64]

    def take(self, at: Any) -> Pairs:
        """The pairs at these positions."""
        return Pairs(*(getattr(self, field.name)[at] for field in fields(self)))


def near_pairs(
    signatures: Signatures,
    others: Signatures | None,
    search: Search,
    shape: tuple[int, int],
    roots: Positions | None = None,
    ranks: Ranks | None = None,
) -> Iterator[Pairs]:
    """Near pairs, within one set or between two, in batches.

    Two images are near if their hashes differ in at most `search.near` bits, or those of the
    centre of one and of a window of the other, turned if symmetries count; and if the difference
    of their details is no larger than processing causes (`kernels.hashing.differences`).

    `roots` may change between batches: pairs with the same root are left out. `ranks` are those of
    `candidate_pairs`.
    """
    from ..kernels.hashing import differences, symmetry

    scale = Scale.of(*shape)
    inverse = np.array(symmetry.INVERSE)
    candidates = candidate_pairs(signatures, others, search, shape, roots, ranks)
    for first, second, turn, distance in candidates:
        if others is None:
            back = first > second
            first, second = np.minimum(first, second), np.maximum(first, second)
            turn = np.where(back, inverse[turn], turn)
        # A pair may be a candidate more than once, and under several symmetries.
        at = first_of_runs(np.lexsort((distance, turn, second, first)), first, second, turn)
        first, second, turn, distance = first[at], second[at], turn[at], distance[at]
        theirs = signatures if others is None else others
        found = compare(signatures, theirs, first, second, turn, scale)
        copies = np.flatnonzero(differences.are_copies(found, scale))
        order = copies[np.lexsort((found[copies, 1], second[copies], first[copies]))]
        at = first_of_runs(order, first, second)
        at = at[np.lexsort((second[at], first[at], found[at, 1]))]
        if len(at):
            yield Pairs(first[at], second[at], turn[at], distance[at], found[at, 1])


def first_of_runs(order: Positions, *columns: NDArray[Any]) -> Positions:
    """Of positions in a given order, the first of each run with equal values in all columns."""
    new = np.zeros(len(order), bool)
    new[:1] = True
    for column in columns:
        new[1:] |= np.diff(column[order]) != 0
    return order[new]


def compare(
    signatures: Signatures,
    others: Signatures,
    first: Positions,
    second: Positions,
    turn: NDArray[np.int64],
    scale: Scale,
) -> NDArray[np.float64]:
    """(n, 2): detail and difference of each pair, with the first image turned."""
    from ..kernels.hashing.differences import differences

    found = np.empty((len(first), 2))
    for start in range(0, len(first), _BATCH):
        batch = slice(start, start + _BATCH)
        images, index = np.unique(first[batch], return_inverse=True)
        other_images, other_index = np.unique(second[batch], return_inverse=True)
        found[batch] = differences(
            signatures.details(images),
            others.details(other_images),
            np.stack([index, other_index, turn[batch]], axis=1),
            scale.step,
        )
    return found


def hash_distances(
    signatures: Signatures,
    others: Signatures,
    first: Positions,
    second: Positions,
    turn: NDArray[np.int64],
    near: int,
) -> NDArray[np.int64]:
    """(n,) number of bits in which the hashes of each pair differ, with the first image turned.

    Of the whole images if that is near enough, otherwise of the centre of one and a window of the
    other.
    """
    from ..kernels.hashing.windows import turned_hashes

    turned = np.empty((len(first), 9), np.uint64)
    for one in np.unique(turn):
        at = turn == one
        turned[at] = turned_hashes(signatures.windows[first[at]], int(one))
    other = others.windows[second]
    windows = np.minimum(
        np.bitwise_count(turned[:, :1] ^ other).min(axis=1, initial=64),
        np.bitwise_count(turned ^ other[:, :1]).min(axis=1, initial=64),
    )
    whole = np.bitwise_count(signatures.hashes[first] ^ others.hashes[second])
    return np.asarray(np.where((turn == 0) & (whole <= near), whole, windows), dtype=np.int64)
