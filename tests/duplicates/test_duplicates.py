"""Exact duplicates: found in any order, confirmed by pixels, removed by policy."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.duplicates import exact
from cellprep.plan.digests import digest

# Rows as (picture, label, id); few pictures and labels make many groups and conflicts.
ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 999)),
    min_size=1,
    max_size=40,
    unique_by=lambda row: row[2],
)
POLICIES = st.fixed_dictionaries(
    {
        "on_conflict": st.sampled_from(["drop", "majority", "keep"]),
        "on_duplicate": st.sampled_from(["one", "drop", "keep"]),
        "max_copies": st.sampled_from([None, 1, 2, 4, 10]),
    }
)


def picture(number: int) -> np.ndarray:
    """Pictures that differ in at most one value."""
    image = np.full((4, 5, 3), 7, np.uint8)
    image.flat[number] += number > 0
    return image


def dataset(rows) -> cp.Dataset:
    pictures, labels, ids = zip(*rows, strict=True)
    images = np.stack([picture(number) for number in pictures])
    return cp.Dataset.from_arrays(images, labels, ["a", "b", "c"], ids)


def survivors(rows, on_conflict, on_duplicate, max_copies) -> set[int]:
    """The policies in plain Python, one group at a time."""
    groups = defaultdict(list)
    for number, label, name in rows:
        groups[number].append((name, label))
    stay = set()
    for members in groups.values():
        names = sorted(name for name, _ in members)
        labels = [label for _, label in members]
        if len(members) == 1:
            stay.update(names)
            continue
        if max_copies is not None and len(members) > max_copies:
            continue
        if len(set(labels)) > 1:
            if on_conflict == "keep":
                stay.update(names)
            if on_conflict != "majority":
                continue
            top = max(set(labels), key=labels.count)
            if 2 * labels.count(top) <= len(labels):
                continue
            names = sorted(name for name, label in members if label == top)
        stay.update({"one": names[:1], "drop": [], "keep": names}[on_duplicate])
    return stay


@given(ROWS, POLICIES)
def test_dedupe_follows_its_policies(rows, policy) -> None:
    clean = cp.Recipe([cp.Dedupe(**policy)])(dataset(rows))
    assert set(clean.ids.tolist()) == survivors(rows, **policy)
    assert len(clean) + len(clean.removed()) == len(rows)
    assert len(clean) == len(set(clean.ids.tolist()))


@given(ROWS, POLICIES, st.randoms())
def test_dedupe_does_not_depend_on_order_and_is_idempotent(rows, policy, random) -> None:
    shuffled = random.sample(rows, len(rows))
    step = cp.Recipe([cp.Dedupe(**policy)])
    once = step(dataset(rows))
    assert set(once.ids.tolist()) == set(step(dataset(shuffled)).ids.tolist())
    assert step(once).ids.tolist() == once.ids.tolist()


@given(ROWS)
def test_table_lists_every_duplicate_with_conflicts_first(rows) -> None:
    table = cp.find_duplicates(dataset(rows))
    by_picture = defaultdict(set)
    for number, _, name in rows:
        by_picture[number].add(name)
    expected = {frozenset(names) for names in by_picture.values() if len(names) > 1}
    assert {frozenset(group["id"]) for _, group in table.groupby("group")} == expected
    label_of = {name: label for _, label, name in rows}
    assert table["label"].tolist() == [label_of[name] for name in table["id"]]
    for _, group in table.groupby("group"):
        assert (group["conflict"] == (group["label"].nunique() > 1)).all()
        assert group["id"].is_monotonic_increasing
    assert table["group"].is_monotonic_increasing
    assert table["conflict"].is_monotonic_decreasing


@pytest.mark.parametrize("bits", [0, 1])
def test_colliding_digests_do_not_merge_groups(monkeypatch, bits) -> None:
    weak = lambda images: images[:, :1, 0, 0].astype(np.uint64) & np.uint64(bits)  # noqa: E731
    monkeypatch.setattr(exact, "digest", lambda images: np.repeat(weak(images), 2, axis=1))
    rows = [(number % 5, number % 3, number) for number in range(23)]
    groups = cp.find_duplicates(dataset(rows)).groupby("group")["id"].apply(sorted).tolist()
    assert sorted(groups) == [list(range(number, 23, 5)) for number in range(5)]


def test_digest_depends_on_the_shape() -> None:
    image = np.zeros((1, 4, 6, 3), np.uint8)
    assert (digest(image) != digest(image.reshape(1, 6, 4, 3))).any()


def test_training_set_with_conflicts_and_outliers() -> None:
    """11,959 pictures: a pair in each class, one under every label, one 200 times in one class."""
    rng = np.random.default_rng(0)
    counts = [852, 2181, 1085, 2026, 849, 993, 2330, 1643]
    images = rng.integers(0, 256, (11_959, 8, 8, 3), np.uint8)
    labels = np.repeat(np.arange(8), counts)
    first = np.cumsum(counts) - counts
    images[first + 5] = images[first]  # a pair in each class
    outliers = rng.integers(0, 256, (2, 8, 8, 3), np.uint8)
    images = np.concatenate(
        [images, np.repeat(outliers[:1], 1600, 0), np.repeat(outliers[1:], 200, 0)]
    )
    labels = np.concatenate([labels, np.repeat(np.arange(8), 200), np.full(200, 5)])
    order = rng.permutation(len(images))
    images, labels = images[order], labels[order, None]
    assert len(images) == 13_759

    def left(**settings) -> int:
        return len(cp.dedupe(images, labels, **settings)[0])

    assert left(on_duplicate="keep") == 11_959
    assert left() == 11_951
    assert left(on_duplicate="drop") == 11_943
    assert left(max_copies=None) == 11_952  # the outlier with one label is kept once
    assert cp.find_duplicates(images, labels)["group"].nunique() == 10


def test_leaks() -> None:
    train = dataset([(0, 0, 1), (1, 1, 2), (1, 1, 3), (2, 0, 4)])
    test = dataset([(1, 2, 1), (3, 0, 2), (4, 0, 7), (4, 0, 8)])
    table = cp.find_leaks(train, test)
    assert table[["part", "id", "conflict"]].values.tolist() == [
        ["a", 2, True],
        ["a", 3, True],
        ["b", 1, True],
    ] or sorted(map(tuple, table[["part", "id"]].values.tolist())) == [("a", 2), ("a", 3), ("b", 1)]
    assert table["conflict"].all()
    assert cp.find_leaks(test, dataset([(5, 0, 0)])).empty
    with pytest.raises(cp.CellprepError, match="size="):
        cp.find_leaks(train, cp.Dataset.from_arrays(np.zeros((1, 9, 9, 3), np.uint8), [0]))


def test_leaks_compare_class_names_not_numbers() -> None:
    image = picture(0)[None]
    one = cp.Dataset.from_arrays(image, ["mono"], class_names=["baso", "mono"])
    two = cp.Dataset.from_arrays(image, ["mono"], class_names=["mono", "platelet"])
    table = cp.find_leaks(one, two)
    assert table["class_name"].tolist() == ["mono", "mono"]
    assert not table["conflict"].any()


def test_labels_are_optional_for_finding() -> None:
    table = cp.find_duplicates(np.stack([picture(0), picture(1), picture(0)]))
    assert table["id"].tolist() == [0, 2]
    assert not table["conflict"].any()


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.integers(0, 8))
def test_equal_middle_rows_do_not_make_duplicates(kinds, row) -> None:
    """Images in memory are compared by one row first; the other rows still count."""
    images = np.full((len(kinds), 9, 5, 3), 7, np.uint8)
    images[:, row] = np.array(kinds, np.uint8)[:, None, None]
    table = cp.find_duplicates(images)
    groups = {tuple(sorted(group["id"])) for _, group in table.groupby("group")}
    same = {tuple(np.flatnonzero(np.array(kinds) == kind).tolist()) for kind in set(kinds)}
    assert groups == {group for group in same if len(group) > 1}
