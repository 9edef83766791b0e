"""The whole recipe on real photographs, and the guarantees for its result."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import cellprep as cp

RECIPE = cp.Recipe([cp.Balance(), cp.KMeansMask(), cp.RandAugment(copies=2)], seed=4)


@pytest.fixture(scope="module")
def messy(data: Path) -> cp.Dataset:
    """At 96x96: bccd, and a third of wbc4's views, grouped by photograph.

    One added picture occurs under every label, another 30 times under one label.
    """
    bccd = cp.read(data / "bccd", size=96)
    wbc4 = cp.read(data / "wbc4" / "augmented", size=96)
    at = np.arange(0, len(wbc4), 3)
    names = tuple(name for name in bccd.class_names)
    number = {name.upper(): label for label, name in enumerate(names)}
    labels = [number[wbc4.class_names[label]] for label in wbc4.labels[at]]
    ids = [f"bccd/{name}" for name in bccd.ids] + [f"wbc4/{name}" for name in wbc4.ids[at]]
    outliers = np.repeat(bccd.images[:1] // 2, 40 + 30, axis=0)
    outliers[40:] = 255 - outliers[40:]
    images = np.concatenate([bccd.images[:], wbc4.images[at], outliers])
    labels = np.concatenate([bccd.labels, labels, np.arange(40) % 5, np.full(30, 2)])
    ids += [f"outlier {i}" for i in range(70)]
    groups = [re.sub(r"^(wbc4/[A-Z]+/_\d+)_.*", r"\1", name) for name in ids]
    order = np.random.default_rng(1).permutation(len(images))
    return cp.Dataset.from_arrays(
        images[order], labels[order], names, np.array(ids)[order], np.array(groups)[order]
    )


@pytest.fixture(scope="module")
def splits(messy) -> dict[str, cp.Dataset]:
    return cp.split(cp.Recipe([cp.Dedupe()])(messy), train=0.7, val=0.15, test=0.15, seed=2)


@pytest.fixture(scope="module")
def written(splits, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("real") / "train"
    cp.write(RECIPE(splits["train"]), path, rows_per_shard=500, progress=False)
    return path


def test_planted_outliers_are_found_and_removed(messy, splits) -> None:
    table = cp.find_duplicates(messy)
    planted = table[table["id"].str.startswith("outlier")].groupby("group")
    assert sorted(planted.size()) == [30, 40]
    assert planted["conflict"].first().tolist() == [True, False]
    for subset in splits.values():
        assert not any(name.startswith("outlier") for name in subset.ids)


def test_no_photograph_is_in_two_splits(splits) -> None:
    groups = [set(subset.table()["group"]) for subset in splits.values()]
    ids = [set(subset.ids) for subset in splits.values()]
    for one in range(3):
        for other in range(one):
            assert not groups[one] & groups[other]
            assert not ids[one] & ids[other]
    assert cp.find_leaks(splits["train"], splits["test"]).empty


def test_every_split_has_every_class_near_the_requested_fraction(splits) -> None:
    """As near as whole photographs allow: most monocytes come from four photographs."""
    table = {name: subset.table() for name, subset in splits.items()}
    for label in range(5):
        of_class = {name: rows[rows["label"] == label] for name, rows in table.items()}
        whole = sum(map(len, of_class.values()))
        largest = max(rows.groupby("group").size().max() for rows in of_class.values())
        for name, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
            assert len(of_class[name]) > 0
            assert abs(len(of_class[name]) - share * whole) <= max(largest / 2, 0.03 * whole, 2)


def test_the_written_set_is_balanced_masked_and_augmented(written, splits) -> None:
    train = cp.read(written)
    largest = max(splits["train"].counts().values())
    assert list(train.counts().values()) == [3 * largest] * 5
    assert len(np.unique(train.plan.rows.keys)) == len(train)
    assert set(train.ids) <= set(splits["train"].ids)
    originals = np.flatnonzero(train.copies == 0)[:40]
    dark = (train.images[originals] == 0).all(axis=-1).mean(axis=(1, 2))
    assert ((dark > 0.05) & (dark < 0.99)).all()  # masked, but never entirely
    balanced = cp.Recipe([cp.Balance()], seed=4)(splits["train"])
    assert cp.find_duplicates(balanced).empty


def test_replay_of_the_record_is_byte_identical(written, splits) -> None:
    train = cp.read(written)
    at = np.arange(0, len(train), 61)
    assert (cp.replay(written, splits["train"], at) == train.images[at]).all()


def test_row_order_and_number_of_workers_do_not_change_the_images(written, messy, tmp_path) -> None:
    images, labels, ids = messy.images[:], messy.labels, messy.ids
    groups = messy.table()["group"].to_numpy().astype(str)
    order = np.argsort(ids)
    again = cp.Dataset.from_arrays(
        images[order], labels[order], messy.class_names, ids[order], groups[order]
    )
    clean = cp.Recipe([cp.Dedupe()])(again)
    train = cp.split(clean, train=0.7, val=0.15, test=0.15, seed=2)["train"]
    cp.write(RECIPE(train), tmp_path / "again", workers=1, progress=False)
    one, two = cp.read(written), cp.read(tmp_path / "again")
    by_row = [np.lexsort((d.copies, d.ids)) for d in (one, two)]
    for start in range(0, len(one), 701):
        some = [rows[start : start + 100] for rows in by_row]
        assert (one.ids[some[0]] == two.ids[some[1]]).all()
        assert (one.images[some[0]] == two.images[some[1]]).all()


def test_the_two_known_duplicate_pairs_are_found(data) -> None:
    """Both are EOSINOPHIL."""
    table = cp.find_duplicates(cp.read(data / "wbc4" / "original"))
    assert table.groupby("group").size().tolist() == [2, 2]
    assert set(table["class_name"]) == {"EOSINOPHIL"}
    assert not table["conflict"].any()


def test_images_of_several_sizes_need_the_setting_size(data) -> None:
    with pytest.raises(cp.CellprepError, match="pass size="):
        cp.read(data / "bccd").to_arrays()
    assert cp.read(data / "bccd", size=(64, 80)).images[:2].shape == (2, 64, 80, 3)
