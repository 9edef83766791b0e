"""Tables too large to be computed at once: the same rows as those of small ones."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.plan import balancing, choice, groups, profile, table
from cellprep.plan.choice import Kept, Repeats
from cellprep.plan.fingerprint import Fingerprint
from cellprep.plan.rows import Rows

COUNTS = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(np.array)


@contextmanager
def large() -> Iterator[None]:
    """Every table counts as large, and is looked at a few rows at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "SMALL", 0)
        patch.setattr(choice, "_BLOCK", 16)
        patch.setattr(table, "_BLOCK", 7)
        patch.setattr(groups, "_SORTED", 5)
        yield


def some(n: int) -> st.SearchStrategy[np.ndarray]:
    numbers = st.integers(0, n - 1)
    return st.lists(numbers, max_size=30).map(lambda at: np.array(at, np.int64))


@large()
@given(st.data())
def test_kept_rows_are_those_of_the_mask(data) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=1, max_size=90)))
    expected = np.flatnonzero(mask)
    kept = Kept.of(mask)
    assert len(kept) == len(expected)
    run = data.draw(st.slices(len(expected)).filter(lambda run: run.step in (None, 1)))
    np.testing.assert_array_equal(kept.rows(run), expected[run])
    if len(expected):
        at = data.draw(some(len(expected)))
        np.testing.assert_array_equal(kept.rows(at), expected[at])


@large()
@given(COUNTS, st.data())
def test_repeated_rows_are_those_of_numpy(counts, data) -> None:
    expected = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    repeats = Repeats.compact(counts, len(counts))
    assert len(repeats) == len(expected)
    run = data.draw(st.slices(len(expected)).filter(lambda run: run.step in (None, 1)))
    np.testing.assert_array_equal(repeats.rows(run), expected[run])
    np.testing.assert_array_equal(
        repeats.repetition(run), np.arange(len(expected))[run] - first[expected[run]]
    )
    if len(expected):
        at = data.draw(some(len(expected)))
        np.testing.assert_array_equal(repeats.rows(at), expected[at])
        np.testing.assert_array_equal(repeats.repetition(at), at - first[expected[at]])


@large()
@given(st.integers(1, 4), st.integers(1, 40))
def test_equal_counts_need_no_array(count, n) -> None:
    one, each = Repeats.compact(count, n), Repeats.compact(np.full(n, count), n)
    assert isinstance(one.counts, int)
    for find in (lambda c: c.rows(slice(None)), lambda c: c.repetition(slice(None))):
        np.testing.assert_array_equal(find(one), find(each))


@large()
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), max_size=60))
def test_values_that_occur_again_are_found(values) -> None:
    values = np.array(values, np.uint64)
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(groups.occur_again(values), counts[where] > 1)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.data())
def test_rows_of_lowest_rank_get_the_surplus(labels, data) -> None:
    """As in a stable sort by rank, though ranks may be equal."""
    labels = np.array(labels)
    n = len(labels)
    rank = np.array(data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)), np.uint64)
    present, names = np.bincount(labels, minlength=4), [*"abcd"]
    target = {
        name: data.draw(st.integers(0, 70))
        for name, some in zip(names, present, strict=True)
        if some
    }
    found = balancing.balance_counts(labels, present, names, target, rank)
    for label, name in enumerate(names):
        if name in target:
            of_class = found[labels == label]
            order = np.argsort(rank[labels == label], kind="stable")
            whole, surplus = divmod(target[name], int(present[label]))
            assert of_class[order].tolist() == [whole + 1] * surplus + [whole] * (
                int(present[label]) - surplus
            )


def cells() -> cp.Dataset:
    """60 images of 4 classes, some repeated, one under another label."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (60, 12, 12, 3), np.uint8)
    images[40:48] = images[:8]
    images[50:54] = images[30]
    labels = np.r_[np.arange(40) % 4, np.arange(8) % 4, np.arange(12) % 3]
    labels[41] = 3
    names = ["a", "b", "c", "d"]
    return cp.Dataset.from_arrays(images, labels, names, groups=np.arange(60) // 2)


RECIPES = {
    "copies": [cp.Dedupe(), cp.Balance(), cp.RandAugment(copies=2)],
    "copies only": [cp.Balance(9), cp.RandAugment(copies=2, keep_originals=False)],
    "dropped": [cp.Dedupe(on_conflict="majority"), cp.Balance("min"), cp.Jitter()],
    "copies of copies": [cp.Balance(20), cp.Corrupt(copies=1), cp.Dedupe(max_copies=None)],
    "near": [cp.Dedupe(near=4), cp.Crop(8), cp.KMeansMask(), cp.StainJitter()],
}


def written(made: cp.Dataset, path: Path) -> dict[str, bytes]:
    cp.write(made, path, rows_per_shard=16, progress=False)
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", RECIPES)
def test_a_large_table_gives_the_same_bytes(name, tmp_path) -> None:
    recipe = cp.Recipe(RECIPES[name], seed=3)
    small = recipe(cells())
    expected, removed = written(small, tmp_path / "small"), small.removed()
    second_epoch, rows = small.epoch(1).images[:], small.table()
    with large():
        made = recipe(cells())
        assert written(made, tmp_path / "large") == expected
        assert made.removed().equals(removed)
        assert made.table().equals(rows)
        np.testing.assert_array_equal(made.epoch(1).images[:], second_epoch)


@pytest.mark.parametrize("name", RECIPES)
def test_a_large_table_has_the_same_fingerprint_and_sample(name, monkeypatch) -> None:
    monkeypatch.setattr(profile, "SAMPLE", 11)

    def found() -> tuple[Fingerprint, list[int], list[int]]:
        plan = cp.Recipe(RECIPES[name], seed=3)(cells()).plan
        sampled, counts = profile.sample(plan.table), plan.table.counts(4)
        return Fingerprint.of(plan, "shards", 16), sampled.tolist(), counts.tolist()

    expected = found()
    with large():
        assert found() == expected
    assert sum(expected[2]) > 11 == len(expected[1])


def test_a_plan_is_sent_without_what_it_has_computed() -> None:
    """Other processes get a byte or two per row, instead of the rows."""
    n = 200_000
    images = np.broadcast_to(np.zeros((1, 8, 8, 3), np.uint8), (n, 8, 8, 3))
    plan = cp.Recipe([cp.RandAugment(copies=3)])(
        cp.Dataset.from_arrays(images, np.arange(n) % 8)
    ).plan
    assert len(plan.rows.keys) == 4 * n
    sent = pickle.dumps(plan.table)
    assert len(sent) < 1.1 * n
    again = pickle.loads(sent).rows
    for name in ("ids", "id_keys", "labels", "copies"):
        old, new = getattr(plan.rows, name), getattr(again, name)
        assert old.dtype == new.dtype
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("ids", [np.array(["b/2", "a/1"]), np.array([7, 5]), np.array([0, 1])])
def test_rows_are_the_same_in_another_process(ids) -> None:
    rows = Rows.of(ids, np.array([300, 0]), np.array([0, 2]), groups=np.array(["x", "y"]))
    again = pickle.loads(pickle.dumps(rows))
    for name in ("ids", "id_keys", "labels", "copies", "groups"):
        old, new = getattr(rows, name), getattr(again, name)
        assert old.dtype == new.dtype
        np.testing.assert_array_equal(old, new)
