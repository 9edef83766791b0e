"""Random numbers: the same in all versions, and random."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import cellprep as cp
from cellprep.errors import check_seed
from cellprep.plan.draws import Draw, id_keys, row_keys

N = 40_000


def draw(seed: int = 0, step: str = "jitter", n: int = N, copy: int = 0, epoch: int = 0) -> Draw:
    return Draw(seed, step, row_keys(id_keys(np.arange(n)), np.full(n, copy)), epoch)


def test_random_numbers_are_those_of_earlier_versions() -> None:
    """Every later version must be able to recreate a written data set."""
    numbers = Draw(7, "jitter", row_keys(id_keys(np.arange(3)), np.arange(3)))
    text = Draw(7, "jitter", row_keys(id_keys(np.array(["a/1.png", "é"])), np.zeros(2, np.int64)))
    assert numbers.bits("x").tolist() == GOLDEN["int"]
    assert text.bits("x").tolist() == GOLDEN["text"]
    assert numbers.integers("op", 10).tolist() == GOLDEN["integers"]
    assert numbers.uniform("angle", -1, 1).tolist() == pytest.approx(GOLDEN["uniform"], abs=1e-7)
    assert numbers.normal("m", 0.5, 0.15).tolist() == pytest.approx(GOLDEN["normal"], abs=1e-6)


def test_values_follow_their_distributions() -> None:
    d = draw()
    assert stats.kstest(d.uniform("u", -3, 5), stats.uniform(-3, 8).cdf).pvalue > 1e-3
    assert stats.kstest(d.normal("n", 2, 3), stats.norm(2, 3).cdf).pvalue > 1e-3
    assert stats.chisquare(np.bincount(d.integers("i", 10), minlength=10)).pvalue > 1e-3
    assert stats.binomtest(int(d.boolean("b").sum()), N).pvalue > 1e-3
    ones = np.unpackbits(d.bits("x").view(np.uint8)).reshape(N, 64).mean(axis=0)
    assert np.abs(ones - 0.5).max() < 0.02


@pytest.mark.parametrize(
    "other",
    [
        draw().uniform("v", 0, 1),
        draw(seed=1).uniform("u", 0, 1),
        draw(step="jitter-2").uniform("u", 0, 1),
        draw(copy=1).uniform("u", 0, 1),
        draw(epoch=1).uniform("u", 0, 1),
        np.roll(draw().uniform("u", 0, 1), 1),
    ],
    ids=["parameter", "seed", "step", "copy", "epoch", "id"],
)
def test_every_component_of_the_key_gives_uncorrelated_numbers(other) -> None:
    first = draw().uniform("u", 0, 1)
    assert (first != other).mean() > 0.999
    assert abs(np.corrcoef(first, other)[0, 1]) < 4 / np.sqrt(N)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, unique=True), st.randoms())
def test_a_row_has_the_same_numbers_alone_and_in_a_batch(ids, random) -> None:
    keys = row_keys(id_keys(np.array(ids)), np.zeros(len(ids), np.int64))
    batch = Draw(0, "s", keys).bits("p")
    at = random.randrange(len(ids))
    assert Draw(0, "s", keys[at : at + 1]).bits("p")[0] == batch[at]


@given(st.floats(-100, 100, width=32), st.floats(0, 50, width=32))
def test_uniform_values_are_in_their_range(low, width) -> None:
    values = draw(n=500).uniform("u", low, low + width)
    assert values.min() >= np.float32(low)
    assert values.max() <= np.float32(low + width)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, "1", None])
def test_wrong_seeds_are_refused(seed) -> None:
    with pytest.raises(cp.CellprepError, match="seed"):
        check_seed(seed)
    with pytest.raises(cp.CellprepError, match="seed"):
        cp.Recipe([cp.Dedupe()], seed)


GOLDEN = {
    "int": [1085872200422608892, 13250356430214053613, 13375687556242786201],
    "text": [2672439827562683316, 10413686018647443036],
    "integers": [0, 1, 0],
    "uniform": [0.6255418062210083, 0.5713034868240356, 0.012176398187875748],
    "normal": [0.5460612177848816, 0.55389404296875, 0.33091849088668823],
}
