"""Close pairs of hashes: all are found, once, and equal hashes do not blow up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellprep.duplicates import candidates
from cellprep.kernels.hashing import pairs

SEEDS = st.integers(0, 2**32 - 1)


@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.integers(0, 12),
    st.integers(1, 64),
    st.integers(0, 3),
    SEEDS,
)
def test_every_close_pair_is_found_once(n, m, distance, bits, agree, seed) -> None:
    rng = np.random.default_rng(seed)
    top = np.uint64(2**bits - 1)
    first, second = (rng.integers(0, 2**64, k, np.uint64, endpoint=False) & top for k in (n, m))
    apart = np.bitwise_count(first[:, None] ^ second)
    within = np.bitwise_count(first[:, None] ^ first)
    patch = pytest.MonkeyPatch()
    patch.setattr(pairs, "_cheapest", lambda *_: agree)
    with patch.context():
        for others, table in ((second, apart), (None, within)):
            found = [np.stack(run).T for run in pairs.close_pairs(first, others, distance)]
            rows = np.concatenate([*found, np.empty((0, 3), np.int64)]).tolist()
            i, j = np.nonzero(table <= distance)
            if others is None:
                i, j = i[i < j], j[i < j]
            expected = np.stack([i, j, table[i, j]]).T.tolist()
            assert sorted(rows) == sorted(expected)
    patch.undo()


def test_equal_hashes_yield_few_pairs() -> None:
    hashes = np.full(100_000, 7, np.uint64)
    rows = np.arange(len(hashes))
    roots = np.arange(len(hashes))
    pairs_given = 0
    find = candidates._Expanding(4, True, roots)
    for first, _, _, _ in find((hashes, rows), None, 0):
        pairs_given += len(first)
        roots[: pairs_given + 1] = 0  # rows with the same root are not paired again
    assert pairs_given < 2 * len(hashes)
