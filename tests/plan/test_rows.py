"""Rows under Balance, class weights and split: exact counts, stratified, without leaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

import cellprep as cp

LABELS = st.lists(st.integers(0, 3), min_size=8, max_size=60).map(np.array)


def distinct(n: int) -> np.ndarray:
    """n different images."""
    images = np.zeros((n, 8, 8, 3), np.uint8)
    images[:, 0, 0] = np.stack([np.arange(n) // 256, np.arange(n) % 256, np.zeros(n)], axis=1)
    images[:, 2:5, 1:4] = 90
    return images


def dataset(labels, groups=None, ids=None) -> cp.Dataset:
    names = [str(number) for number in range(4)]
    return cp.Dataset.from_arrays(distinct(len(labels)), labels, names, ids, groups)


@given(LABELS, st.sampled_from(["max", "min", "median", 1, 7, {"0": 3, "2": 11}]))
def test_balanced_counts_are_exact(labels, target) -> None:
    counts = np.bincount(labels, minlength=4)
    assume((counts > 1).all())
    balanced = cp.Recipe([cp.Balance(target)])(dataset(labels))
    wanted = {
        "max": [counts.max()] * 4,
        "min": [counts.min()] * 4,
        "median": [int(np.median(counts))] * 4,
    }.get(str(target), [target] * 4)
    if isinstance(target, dict):
        wanted = [3, counts[1], 11, counts[3]]
    assert list(balanced.counts().values()) == wanted
    assert set(balanced.ids.tolist()) <= set(range(len(labels)))
    # All images of a class are used equally often, give or take one.
    for label in range(4):
        uses = np.bincount(balanced.ids[balanced.labels == label], minlength=len(labels))
        uses = uses[labels == label]
        assert uses.max() - uses.min() <= 1


def test_added_copies_are_not_exact_repeats(photographs) -> None:
    labels = np.arange(len(photographs)) % 3
    labels[labels == 2] = np.arange((labels == 2).sum()) > 1
    images, balanced = cp.balance(photographs, labels, target=60)
    assert cp.find_duplicates(images, balanced).empty


def test_balance_names_the_class_that_it_cannot_balance() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    for step, match in [
        (cp.Balance(target={"x": 3}), "Allowed: 0, 1, 2, 3"),
        (cp.Balance(target={"3": 3}), "class '3' has no images"),
    ]:
        with pytest.raises(cp.CellprepError, match=match):
            len(cp.Recipe([step])(dataset(labels)))
    with pytest.raises(cp.CellprepError, match="class '3' has no images"):
        len(cp.Recipe([cp.Balance()])(dataset(labels.repeat(2))))
    with pytest.raises(cp.CellprepError, match="class '1' has one image"):
        cp.balance(distinct(6), labels)
    with pytest.raises(cp.CellprepError, match="one class"):
        cp.balance(distinct(3), [0, 0, 0])


@given(LABELS)
def test_class_weights_equal_those_of_scikit_learn(labels) -> None:
    labels = np.unique(labels, return_inverse=True)[1]
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    assert list(cp.class_weights(labels).values()) == pytest.approx(expected.tolist())
    assert cp.class_weights(labels[:, None]) == cp.class_weights(labels)


def test_class_weights_refuse_an_empty_class() -> None:
    with pytest.raises(cp.CellprepError, match="class 'b' has no images"):
        cp.class_weights([0, 2], ["a", "b", "c"])


@given(st.data())
def test_images_without_groups_are_split_exactly(data) -> None:
    counts = data.draw(st.lists(st.integers(3, 40), min_size=4, max_size=4))
    labels = np.repeat(np.arange(4), counts)
    parts = cp.split(
        dataset(labels), train=0.6, val=0.3, test=0.1, seed=data.draw(st.integers(0, 9))
    )
    for label, count in enumerate(counts):
        for name, share in (("train", 0.6), ("val", 0.3), ("test", 0.1)):
            part = parts[name].counts()[str(label)]
            assert part >= 1
            assert abs(part - share * count) < 1 or part == 1 or count < 10


@given(st.data())
def test_no_group_or_duplicate_ends_up_in_two_splits(data) -> None:
    n = data.draw(st.integers(30, 70))
    labels = np.arange(n) % 4
    groups = np.array(data.draw(st.lists(st.integers(0, 25), min_size=n, max_size=n)))
    pictures = np.array(data.draw(st.lists(st.integers(0, n), min_size=n, max_size=n)))
    images = distinct(n + 1)[pictures]
    names = [str(number) for number in range(4)]
    cells = cp.Dataset.from_arrays(images, labels, names, groups=groups)
    try:
        parts = cp.split(cells, train=0.7, test=0.3)
    except cp.CellprepError:
        assume(False)  # a class is in a single group
    ids = [part.ids for part in parts.values()]
    assert sorted(np.concatenate(ids).tolist()) == list(range(n))
    for key in (groups, pictures):
        assert not set(key[ids[0]]) & set(key[ids[1]])
    assert cp.find_leaks(parts["train"], parts["test"]).empty


@given(st.integers(0, 5), st.randoms())
def test_a_split_does_not_depend_on_the_order_of_rows(seed, random) -> None:
    n = 60
    order = np.array(random.sample(range(n), n))
    labels, groups = np.arange(n) % 3, np.arange(n) // 2 % 17
    names = ["a", "b", "c"]
    one = cp.Dataset.from_arrays(distinct(n), labels, names, groups=groups)
    two = cp.Dataset.from_arrays(distinct(n)[order], labels[order], names, order, groups[order])
    for name, part in cp.split(one, seed=seed, train=0.5, val=0.25, test=0.25).items():
        other = cp.split(two, seed=seed, train=0.5, val=0.25, test=0.25)[name]
        assert set(part.ids.tolist()) == set(other.ids.tolist())


def test_groups_are_stratified_by_class() -> None:
    """20 patients per class, of one to five images each: splits are close to their fractions."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 80)
    groups = np.repeat(np.arange(80), sizes)
    labels = groups % 4
    parts = cp.split(dataset(labels, groups), train=0.7, val=0.15, test=0.15)
    for name, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        fraction = np.array(list(parts[name].counts().values())) / np.bincount(labels)
        assert np.abs(fraction - share).max() < 0.06


@given(st.integers(2, 6), st.integers(0, 9))
def test_folds_are_equal_stratified_and_keep_groups_together(folds, seed) -> None:
    n = 72
    groups = np.concatenate([np.arange(24) // 2, np.arange(100, 148)])
    cells = dataset(np.arange(n) % 4, groups)
    parts = cp.split(cells, folds=folds, seed=seed)
    assert list(parts) == [f"fold_{k}" for k in range(1, folds + 1)]
    ids = [part.ids.tolist() for part in parts.values()]
    assert sorted(np.concatenate(ids).tolist()) == list(range(n))
    for part, inside in zip(parts.values(), ids, strict=True):
        others = cells.without(part.ids)
        assert sorted([*others.ids.tolist(), *inside]) == list(range(n))
        assert not set(groups[inside]) & set(groups[others.ids])
        assert all(abs(count - 18 / folds) <= 2 for count in part.counts().values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 1}, "`folds` must be"),
        ({"folds": 3, "train": 1.0}, "omit the fractions of train"),
        ({"folds": 50}, "class '0' has 15 images, which cannot be in all of 50 splits"),
    ],
)
def test_folds_that_cannot_be_are_refused(settings, message) -> None:
    with pytest.raises(cp.CellprepError, match=message):
        cp.split(dataset(np.arange(60) % 4), **settings)


def test_another_seed_gives_another_split() -> None:
    cells = dataset(np.arange(80) % 4)
    one, two = (cp.split(cells, train=0.5, test=0.5, seed=seed)["train"] for seed in (0, 1))
    assert set(one.ids.tolist()) != set(two.ids.tolist())


@pytest.mark.parametrize("step", [cp.Balance(), cp.Balance("min"), cp.RandAugment(copies=1)])
def test_splitting_after_copies_is_refused(step) -> None:
    made = cp.Recipe([step, cp.Dedupe(max_copies=None)])(dataset(np.arange(40) % 4))
    with pytest.raises(cp.CellprepError, match="split first"):
        cp.split(made, train=0.5, test=0.5)


@pytest.mark.parametrize(
    ("shares", "match"),
    [
        ({}, "give the fraction of each split"),
        ({"train": 0.8, "test": 0.1}, "sum to 1"),
        ({"train": 1.2, "test": -0.2}, "train"),
        ({"train": 1.0, "test": 0.0}, "above 0"),
        ({"train": "most", "test": 0.1}, "train"),
    ],
)
def test_wrong_fractions_are_refused(shares, match) -> None:
    with pytest.raises(cp.CellprepError, match=match):
        cp.split(dataset(np.arange(40) % 4), **shares)


def test_split_names_the_class_that_it_cannot_split() -> None:
    with pytest.raises(cp.CellprepError, match="one class"):
        cp.split(cp.Dataset.from_arrays(distinct(9), np.zeros(9, int)), train=0.5, test=0.5)
    with pytest.raises(cp.CellprepError, match="class '1' has 1 image"):
        cp.split(cp.Dataset.from_arrays(distinct(4), [0, 0, 0, 1]), train=0.5, test=0.5)
    with pytest.raises(cp.CellprepError, match="class '0' has 1 group"):
        cp.split(
            cp.Dataset.from_arrays(distinct(4), [0, 0, 1, 1], groups=[7, 7, 1, 2]),
            train=0.5,
            test=0.5,
        )


def test_copies_have_unique_keys_or_are_refused() -> None:
    """Copies of copies of copies, until their numbers are exhausted."""
    made = dataset(np.arange(20) % 4)
    for _ in range(6):
        made = cp.Recipe([cp.Balance(target=len(made) // 4 + 8)])(made)
        try:
            keys = made.plan.rows.keys
        except cp.CellprepError as error:
            assert "exceed the copy numbers" in str(error)  # noqa: PT017 - it need not be raised
            break
        assert len(np.unique(keys)) == len(made)
    else:
        pytest.fail("six levels of copies were accepted")
    with pytest.raises(cp.CellprepError, match="exceed the copy numbers"):
        len(cp.Recipe([cp.Balance({"0": 2**22}, jitter=None)])(dataset([0, 0, 1, 1, 2, 3])))


def test_a_class_left_with_one_image_is_reported() -> None:
    labels = np.r_[np.repeat(np.arange(4), 6), 3]
    images = distinct(25)
    images[18:] = images[18]
    clean = cp.Recipe([cp.Dedupe(), cp.Balance()])(
        cp.Dataset.from_arrays(images, labels, [str(n) for n in range(4)])
    )
    assert "class '3' has one image" in clean.changes()["why"].iloc[-1]


def test_missing_groups_and_ids_are_refused() -> None:
    for wrong in ([None, *"abcdefg"], [float("nan"), *"abcdefg"], [None, 1, 2, 3, 4, 5, 6, 7]):
        missing = np.array(wrong, dtype=object)
        with pytest.raises(cp.CellprepError, match=r"`groups` (must|has no)"):
            dataset(np.arange(8) % 4, groups=missing)
        with pytest.raises(cp.CellprepError, match=r"`ids` (must|has no)"):
            dataset(np.arange(8) % 4, ids=missing)


def test_a_slice_of_a_million_rows_needs_little_memory() -> None:
    import tracemalloc

    many = cp.Dataset.from_arrays(
        np.broadcast_to(distinct(1), (1_000_000, 8, 8, 3)), np.zeros(10**6)
    )
    assert len(many) == 10**6
    tracemalloc.start()
    assert many.images[5:9].shape == (4, 8, 8, 3)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_blocks_are_bounded_by_the_largest_intermediate_image() -> None:
    wide = np.broadcast_to(distinct(1)[:, :1, :1], (600, 1000, 500, 3))
    small = cp.Recipe([cp.Crop(16, center="image"), cp.Crop(8, center="image")])
    cut = small(cp.Dataset.from_arrays(wide, np.arange(600) % 2)).plan
    assert cut.shape == (8, 8, 3)
    assert max(stop - start for start, stop in cut.spans()) == 11  # of 1.5 MB each, in 16 MB


@pytest.mark.parametrize("seed", [-1, 1.5, "abc", None, True])
def test_functions_refuse_wrong_seeds(seed) -> None:
    for call in (
        lambda: cp.jitter(distinct(2), seed=seed),
        lambda: cp.balance(distinct(4), [0, 0, 1, 1], seed=seed),
        lambda: cp.rand_augment(distinct(2), [0, 1], seed=seed),
        lambda: cp.split(dataset(np.arange(40) % 4), train=0.5, test=0.5, seed=seed),
    ):
        with pytest.raises(cp.CellprepError, match="seed"):
            call()


def test_arrays_instead_of_a_dataset_are_refused(tmp_path) -> None:
    for call in (
        lambda: cp.split(distinct(4), train=0.5, test=0.5),
        lambda: cp.Recipe([cp.Dedupe()])(distinct(4)),
        lambda: cp.write(distinct(4), tmp_path / "out"),
        lambda: cp.find_leaks(distinct(4), distinct(4)),
    ):
        with pytest.raises(cp.CellprepError, match="expected a Dataset, got ndarray"):
            call()


def test_columns_of_a_dataset_are_read_only() -> None:
    made = dataset(np.arange(8) % 4)
    for column in (made.labels, made.ids, made.copies):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 2
