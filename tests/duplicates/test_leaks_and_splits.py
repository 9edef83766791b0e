"""Near and turned duplicates in leaks, splits and recipes; groups of a split."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

import cellprep as cp
from cellprep.synthetic import draw_cells

from .copies import jpeg, turn


def test_leaks_include_near_and_turned_copies() -> None:
    cells, labels = draw_cells([3] * 8, seed=7)
    test = np.concatenate([jpeg(cells[:3], 75), turn(cells[3:6], "transpose"), cells[6:7]])
    a = cp.Dataset.from_arrays(cells, labels)
    b = cp.Dataset.from_arrays(test, labels[:7], class_names=a.class_names)
    assert cp.find_leaks(a, b)["id"].tolist() == [6, 6]
    assert len(cp.find_leaks(a, b, symmetries=True)) == 8
    table = cp.find_leaks(a, b, near=4, symmetries=True)
    assert sorted(table[table["part"] == "a"]["id"]) == list(range(7))
    assert sorted(table[table["part"] == "b"]["id"]) == list(range(7))


def test_dedupe_removes_near_and_turned_copies() -> None:
    cells, labels = draw_cells([2] * 8, seed=7)
    images = np.concatenate([cells, jpeg(cells[:4], 75), turn(cells[4:8], "rotate_180")])
    labels = np.concatenate([labels, labels[:3], labels[4:5], labels[4:8]])
    assert len(cp.dedupe(images, labels)[0]) == 24
    assert len(cp.dedupe(images, labels, symmetries=True)[0]) == 20
    assert len(cp.dedupe(images, labels, near=4, symmetries=True)[0]) == 15  # a conflict among them
    step = cp.Dedupe(near=4, symmetries=True, hash="dhash")
    assert cp.Recipe.from_toml(cp.Recipe([step]).to_toml()) == cp.Recipe([step])


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"near": -1}, "`near` must be a whole number"),
        ({"near": 4.0}, "`near` must be a whole number"),
        ({"near": True}, "`near` must be a whole number"),
        ({"near": 64}, r"in \[0, 24\]"),
        ({"symmetries": "yes"}, "`symmetries`"),
        ({"symmetries": 1}, "`symmetries`"),
        ({"hash": "phsh"}, "did you mean 'phash'"),
    ],
)
def test_wrong_settings_are_refused(settings_, message) -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    cells = cp.Dataset.from_arrays(images, [0, 1])
    for call in (
        lambda: cp.find_duplicates(images, **settings_),
        lambda: cp.find_leaks(cells, cells, **settings_),
        lambda: cp.Dedupe(**settings_),
        lambda: cp.DuplicateIndex.of(cells, **settings_),
    ):
        with pytest.raises(cp.CellprepError, match=message):
            call()


def test_groups_from_file_names(data) -> None:
    """No photograph is in both splits, and classes are in proportion."""
    cells = cp.read(data / "wbc4" / "augmented", size=32)
    parts = cp.split(cells, train=0.75, test=0.25, seed=0, groups=r"^(.*/_\d+)_")
    photographs = {
        name: {number.rpartition("_")[0] for number in part.ids.tolist()}
        for name, part in parts.items()
    }
    assert not photographs["train"] & photographs["test"]
    every = photographs["train"] | photographs["test"]
    for name, share in {"train": 0.75, "test": 0.25}.items():
        for label, count in parts[name].counts().items():
            # Photographs are not divided, so a class may be off by half of one.
            photograph = 1 / sum(other.startswith(f"{label}/") for other in every)
            assert abs(count / cells.counts()[label] - share) < 0.75 * photograph
        assert "largest deviation" in parts[name].changes()["why"].iloc[-1]


def test_groups_from_folders_and_patterns(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for label in "ab":
        for patient in range(6):
            folder = tmp_path / label / f"p{patient}"
            folder.mkdir(parents=True)
            for number in range(3):
                image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
                image.save(folder / f"{number}.png")
    cells = cp.read(tmp_path)
    for groups in ("parent", r"/(p\d)/"):
        parts = cp.split(cells, train=0.5, test=0.5, seed=0, groups=groups)
        sides = defaultdict(set)
        for name, part in parts.items():
            for number in part.ids.tolist():
                key = number.rpartition("/")[0] if groups == "parent" else number.split("/")[1]
                sides[key].add(name)
        assert len(sides) == (12 if groups == "parent" else 6)
        assert all(len(names) == 1 for names in sides.values())
    for groups, message in ((r"/(q\d)/", "does not match id"), ("(", "neither 'parent' nor")):
        with pytest.raises(cp.CellprepError, match=message):
            cp.split(cells, train=0.5, test=0.5, groups=groups)
    arrays = cp.Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
    with pytest.raises(cp.CellprepError, match="file paths"):
        cp.split(arrays, train=0.5, test=0.5, groups="parent")


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"test_size": 0.5, "train_size": 0.5}, "`test_size` is scikit-learn's; pass test=0.8"),
        ({"train": 1.0, "random_state": 3}, "`random_state` is scikit-learn's; pass seed=0"),
        ({"train": 0.8, "test": 0.2, "sead": 3}, "'sead', which looks like the setting `seed`"),
        ({"train": 1.0, "group": 0.5}, "which looks like the setting `groups`"),
    ],
)
def test_names_that_are_meant_as_settings_are_no_splits(fractions, message) -> None:
    cells = cp.Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
    with pytest.raises(cp.CellprepError, match=message):
        cp.split(cells, **fractions)


@pytest.mark.parametrize("names", [("seen", "unseen"), ("fold1", "fold2"), ("grouped", "rest")])
def test_names_like_settings_are_splits_if_their_fractions_sum_to_1(names) -> None:
    images = np.arange(20, dtype=np.uint8)[:, None, None, None] + np.zeros((8, 8, 3), np.uint8)
    cells = cp.Dataset.from_arrays(images, np.arange(20) % 2)
    parts = cp.split(cells, **dict.fromkeys(names, 0.5))
    assert {name: len(part) for name, part in parts.items()} == dict.fromkeys(names, 10)


def test_a_split_knows_its_length_before_it_is_used() -> None:
    images = np.arange(20, dtype=np.uint8)[:, None, None, None] + np.zeros((8, 8, 3), np.uint8)
    parts = cp.split(cp.Dataset.from_arrays(images, np.arange(20) % 2), train=0.8, test=0.2)
    assert repr(parts["train"]).startswith("Dataset(16 from 20 images of 8x8")
    assert repr(parts["test"]).startswith("Dataset(4 from 20 images of 8x8")
