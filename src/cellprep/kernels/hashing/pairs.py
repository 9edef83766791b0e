"""All pairs of 64-bit hashes within a Hamming distance, none missed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from ..popcount import popcount

Hashes = NDArray[np.uint64]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Indices in the first and the second array, and the distances."""

_SPAN = 1 << 15
_MOST_BITS = 24  # of a bucket number


@dataclass(frozen=True)
class Cut:
    """How a search is cut into batches: blocks to agree in, and spans of the second array."""

    agree: int
    spans: list[tuple[int, int]]


def cut_as(n: int, m: int, ranks: NDArray[np.int64], distance: int) -> Cut:
    """How a search between n and m hashes is cut, for hashes that have these ranks among the m.

    So a search of hashes that are close to others, and no more, has the same batches.

    >>> cut_as(10, 70_000, np.array([3, 32_767, 32_768, 69_999]), 0).spans
    [(0, 2), (2, 3), (3, 4)]
    """
    edges = [0, *(np.flatnonzero(np.diff(ranks // _SPAN)) + 1).tolist(), len(ranks)]
    return Cut(_cheapest(n, m, distance), [*itertools.pairwise(edges)])


def close_pairs(
    first: Hashes,
    second: Hashes | None,
    distance: int,
    workers: int = 1,
    cut: Cut | None = None,
) -> Iterator[Pairs]:
    """Every pair (i, j) with at most `distance` bits between `first[i]` and `second[j]`, once.

    Without `second`, the pairs within `first`, i < j. They are yielded in batches, which bounds
    memory; their order is always the same. `cut` replaces the batches chosen for these numbers.

    Hashes are cut into `distance + k` blocks: two that differ in at most `distance` bits agree in k
    blocks or more [1]_. For each choice of k blocks, hashes are sorted into buckets by these, and
    only hashes in the same bucket are compared; a pair is yielded for the first k blocks that it
    agrees in. Hashes should be distinct, since equal ones only fill buckets.

    References
    ----------
    .. [1] M. Norouzi, A. Punjani, D. J. Fleet, Fast Exact Search in Hamming Space with Multi-Index
       Hashing, IEEE TPAMI 36(6), 2014.

    Examples
    --------
    >>> hashes = np.array([0b0000, 0b0111, 0b0001], np.uint64)
    >>> [np.stack(pairs).T.tolist() for pairs in close_pairs(hashes, None, 1)]
    [[[0, 2, 1]]]
    """
    others = first if second is None else second
    cut = cut or cut_as(len(first), len(others), np.arange(len(others)), distance)
    agree = cut.agree
    edges = np.linspace(0, 64, distance + agree + 1).round().astype(np.int64)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for chosen in itertools.combinations(range(distance + agree), agree):
            blocks = np.array(chosen, np.int64)
            starts, order = _bucketed(first, edges, blocks)
            search = _Searching(
                first[order], order, starts, others, edges, blocks, distance, second is None
            )
            for found in pool.map(search, cut.spans):
                if len(found[0]):
                    yield found


@dataclass(frozen=True)
class _Searching:
    """The pairs between a span of the second array and the buckets of the first."""

    table: Hashes
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    others: Hashes
    edges: NDArray[np.int64]
    blocks: NDArray[np.int64]
    distance: int
    same: bool

    def __call__(self, span: tuple[int, int]) -> Pairs:
        found: Any = _search(
            self.table,
            self.order,
            self.starts,
            self.others[slice(*span)],
            span[0],
            self.edges,
            self.blocks,
            self.distance,
            self.same,
        )
        return found[0], found[1], found[2]


def _cheapest(n: int, m: int, distance: int) -> int:
    """The number of blocks to agree in that costs least; 0 compares all pairs."""
    best, chosen = math.inf, 0
    for agree in range(5):
        blocks = distance + agree
        if blocks > 64:
            break
        bits = min(agree * 64 // max(blocks, 1), _MOST_BITS)
        # Buckets are uneven: real hashes fill a few of them far above the mean.
        compared = n * m * min(8 / 2**bits, 1)
        cost = math.comb(blocks, agree) * (20 * (n + m) + 2**bits + compared)
        if cost < best:
            best, chosen = cost, agree
    return chosen


@kernel
def _key(value, edges, blocks):
    """The number of a hash's bucket: the bits of the chosen blocks, truncated."""
    key = np.uint64(0)
    for block in blocks:
        width = np.uint64(edges[block + 1] - edges[block])
        part = (value >> np.uint64(edges[block])) & ((np.uint64(1) << width) - np.uint64(1))
        key = (key << width) | part
    return np.int64(key & np.uint64((1 << _MOST_BITS) - 1))


@kernel
def _bucketed(hashes, edges, blocks):
    """The start of each bucket, and the indices of the hashes bucket by bucket."""
    width = 0
    for block in blocks:
        width += edges[block + 1] - edges[block]
    starts = np.zeros((1 << min(width, _MOST_BITS)) + 1, np.int64)
    keys = np.empty(len(hashes), np.int64)
    for i in range(len(hashes)):
        keys[i] = _key(hashes[i], edges, blocks)
        starts[keys[i] + 1] += 1
    for key in range(1, len(starts)):
        starts[key] += starts[key - 1]
    following = starts[:-1].copy()
    order = np.empty(len(hashes), np.int64)
    for i in range(len(hashes)):
        order[following[keys[i]]] = i
        following[keys[i]] += 1
    return starts, order


@kernel
def _first_agreement(difference, edges, blocks):
    """Whether no earlier choice of blocks contains the pair."""
    chosen = 0
    for block in range(len(edges) - 1):
        if chosen == len(blocks):
            break
        width = np.uint64(edges[block + 1] - edges[block])
        part = (difference >> np.uint64(edges[block])) & ((np.uint64(1) << width) - np.uint64(1))
        if part == 0:
            if blocks[chosen] != block:
                return False
            chosen += 1
    return True


@kernel
def _search(table, order, starts, others, offset, edges, blocks, distance, same):
    found = np.empty((3, 1024), np.int64)
    count = 0
    for j in range(len(others)):
        value = others[j]
        key = _key(value, edges, blocks)
        for at in range(starts[key], starts[key + 1]):
            difference = table[at] ^ value
            bits = popcount(difference)
            if bits > distance:
                continue
            i = order[at]
            if same and i >= j + offset:
                break  # a bucket is sorted by index
            if not _first_agreement(difference, edges, blocks):
                continue
            if count == found.shape[1]:
                more = np.empty((3, 2 * count), np.int64)
                for part in range(3):
                    for k in range(count):  # a slice would compile for two seconds
                        more[part, k] = found[part, k]
                found = more
            found[0, count], found[1, count], found[2, count] = i, j + offset, bits
            count += 1
    return found[:, :count].copy()


@kernel
def expand(at, other, bits, starts, rows, other_starts, other_rows, roots, same, cursor, most):
    """Up to `most` pairs of rows behind pairs of hashes, from the cursor on, which is advanced.

    If both sides are the `same` set (1), a row is not paired with itself; if they are also the same
    hashes (2), each pair is returned in one order only. With `roots`, pairs of the same root are
    left out.
    """
    first, second = np.empty(most, np.int64), np.empty(most, np.int64)
    distance = np.empty(most, np.int64)
    count = 0
    while cursor[0] < len(at) and count < most:
        pair = cursor[0]
        ours = rows[starts[at[pair]] : starts[at[pair] + 1]]
        theirs = other_rows[other_starts[other[pair]] : other_starts[other[pair] + 1]]
        total = len(ours) * len(theirs)
        if len(roots) and _one_root(roots, ours, theirs):
            cursor[1] = total
        while cursor[1] < total and count < most:
            i, j = ours[cursor[1] // len(theirs)], theirs[cursor[1] % len(theirs)]
            cursor[1] += 1
            if same and (i == j or (same == 2 and at[pair] == other[pair] and i > j)):
                continue
            if len(roots) and roots[i] == roots[j]:
                continue
            first[count], second[count], distance[count] = i, j, bits[pair]
            count += 1
        if cursor[1] == total:
            cursor[0] += 1
            cursor[1] = 0
    return first[:count].copy(), second[:count].copy(), distance[:count].copy()


@kernel
def _one_root(roots, ours, theirs):
    root = roots[ours[0]]
    return (roots[ours] == root).all() and (roots[theirs] == root).all()
