"""Near duplicates: what is found, how it is reported, and what is left alone."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cellprep as cp
from cellprep.duplicates import clustering, signatures
from cellprep.kernels.hashing import differences, windows
from cellprep.kernels.hashing.scale import Scale
from cellprep.synthetic import draw_cells

from .copies import MOVED, PROCESSED, jpeg, messy, moved, noisy, turn


def recall_and_strangers(images: np.ndarray, distance: int) -> tuple[dict[str, float], int]:
    """Share of copies of each kind grouped with their originals, and number of merged originals."""
    kinds = {**PROCESSED, **{f"moved {name}": make for name, make in MOVED.items()}}
    copies = [make(images) for make in kinds.values()]
    everything = np.concatenate([images, *copies])
    of = np.tile(np.arange(len(images)), len(kinds) + 1)
    order = np.random.default_rng(1).permutation(len(of))
    table = cp.find_duplicates(everything[order], near=distance, symmetries=True)
    group = np.full(len(of), -1)
    group[order[table["id"]]] = table["group"]
    found = (group >= 0) & (group == group[of])
    n = len(images)
    strangers = sum(len(set(of[group == number])) - 1 for number in set(group[group >= 0].tolist()))
    kind = np.repeat(np.arange(len(kinds)), n)
    return {
        name: float(found[n:][kind == number].mean()) for number, name in enumerate(kinds)
    }, strangers


def check(recall: dict[str, float]) -> None:
    for name, share in recall.items():
        assert share >= (0.9 if name.startswith("moved") else 0.97), (name, share)


@pytest.mark.parametrize("side", [64, 96, 160])
def test_planted_copies_of_synthetic_cells_are_found(side) -> None:
    recall, strangers = recall_and_strangers(draw_cells([8] * 8, side=side, seed=4)[0], 4)
    check(recall)
    assert strangers == 0


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("folder", ["bccd", "bcisc/images"])
def test_planted_copies_of_photographs_are_found(data, folder, half) -> None:
    """The limits were chosen on all photographs; each half must meet them on its own."""
    files = sorted((data / folder).rglob("*.jpg"))[half::2]
    images = np.stack(
        [np.asarray(Image.open(file).convert("RGB").resize((96, 96))) for file in files]
    )
    recall, strangers = recall_and_strangers(images, 4)
    check(recall)
    assert strangers == 0


def test_different_photographs_are_not_duplicates(data) -> None:
    """At any distance. Of 61,425 and 35,778 pairs, two: cells that were photographed twice."""
    found = {}
    for folder in ("bccd", "bcisc/images"):
        files = sorted((data / folder).rglob("*.jpg"))
        images = np.stack(
            [np.asarray(Image.open(file).convert("RGB").resize((96, 96))) for file in files]
        )
        table = cp.find_duplicates(images, near=14, symmetries=True)
        found[folder] = [[files[i].stem for i in rows["id"]] for _, rows in table.groupby("group")]
    assert found["bccd"] == []
    assert found["bcisc/images"] == [["lymp_6-1_0", "lymp_6-2_0"], ["lymp_8-1_0", "lymp_8-2_0"]]


def test_synthetic_look_alikes_are_not_duplicates() -> None:
    images = draw_cells([75] * 8, seed=8)[0]
    assert cp.find_duplicates(images, near=12, symmetries=True).empty


@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_images_are_not_near_duplicates(value) -> None:
    rng = np.random.default_rng(0)
    images = np.full((200, 96, 96, 3), value, np.int64) + rng.integers(-1, 2, (200, 96, 96, 3))
    images = np.clip(images, 0, 255).astype(np.uint8)
    assert cp.find_duplicates(images, near=8, symmetries=True).empty


def test_table_reports_relation_symmetry_and_conflict() -> None:
    cell, other = draw_cells([1, 1, 0, 0, 0, 0, 0, 0], seed=2)[0][:2, None]
    images = np.concatenate([cell, other, jpeg(cell, 75), turn(cell, "rotate_90"), cell])
    table = cp.find_duplicates(images, [0, 0, 1, 0, 0], near=4, symmetries=True).set_index("id")
    assert table["relation"].to_dict() == {0: "exact", 2: "near", 3: "symmetry", 4: "exact"}
    assert table["symmetry"].to_dict() == {
        0: "identity",
        2: "identity",
        3: "rotate_90",
        4: "identity",
    }
    assert table["conflict"].all()
    assert set(table["votes"]) == {"0 3, 1 1"}
    assert (table["distance"] <= 4).all()
    assert table["difference"][2] > 0
    assert (table["difference"][[0, 3, 4]] == 0).all()


def test_hash_distances_equal_those_of_imagehash() -> None:
    import imagehash

    images = draw_cells([3] * 8, seed=6)[0]
    both = np.concatenate([images, jpeg(images, 50)])
    reference = {"phash": imagehash.phash, "ahash": imagehash.average_hash}
    for name, hashed in reference.items():
        table = cp.find_duplicates(both, near=8, hash=name)
        assert len(table) == len(both)
        later = table[table["id"] >= len(images)]
        for number, distance in zip(later["id"], later["distance"], strict=True):
            one, two = (Image.fromarray(both[i]) for i in (number, number - len(images)))
            assert distance == hashed(one) - hashed(two)


def shuffled_groups(images: np.ndarray, seed: int) -> set[frozenset[int]]:
    order = np.random.default_rng(seed).permutation(len(images))
    dataset = cp.Dataset.from_arrays(images[order], order % 2, ["a", "b"], ids=order)
    table = cp.find_duplicates(dataset, near=6, symmetries=True)
    return {frozenset(rows["id"]) for _, rows in table.groupby("group")}


def test_groups_do_not_depend_on_row_order() -> None:
    cells = draw_cells([2] * 8, seed=5)[0]
    makers = [*PROCESSED.values(), *MOVED.values()]
    images = np.concatenate([cells, *[make(cells[i : i + 4]) for i, make in enumerate(makers)]])
    groups = shuffled_groups(images, 0)
    assert len(groups) > 10
    assert shuffled_groups(images, 1) == groups


def test_chain_is_not_one_group_but_stays_in_one_split() -> None:
    """Each step of the chain is small, but its ends are not near."""
    wide = draw_cells([1, 1, 1, 1, 0, 0, 0, 0], side=128, seed=9)[0]
    steps = [wide[:, 16:112, 4 + 2 * k : 100 + 2 * k] for k in range(12)]
    images = np.ascontiguousarray(np.concatenate(steps))
    of = np.tile(np.arange(4), 12)
    shift = np.repeat(np.arange(12), 4)
    table = cp.find_duplicates(images, near=4)
    for _, rows in table.groupby("group"):
        assert len(set(of[rows["id"]])) == 1
        assert np.ptp(shift[rows["id"]]) <= 3
    labels = (of % 2).astype(int)
    splits = cp.split(cp.Dataset.from_arrays(images, labels), train=0.5, test=0.5, near=4, seed=0)
    sides = defaultdict(set)
    for name, one in splits.items():
        for number in one.ids.tolist():
            sides[of[number]].add(name)
    assert all(len(names) == 1 for names in sides.values())


def test_image_near_two_cells_does_not_merge_them() -> None:
    cell = draw_cells([1, 0, 0, 0, 0, 0, 0, 0], seed=3)[0].astype(float)
    rng = np.random.default_rng(0)
    bump = np.repeat(np.repeat(rng.normal(0, 1, (1, 24, 24, 1)), 4, 1), 4, 2)
    for strength in np.arange(1.0, 8.0, 0.25):
        images = np.concatenate([cell + s * strength * bump for s in (0, 1, 2)])
        images = np.clip(np.rint(images), 0, 255).astype(np.uint8)
        pairs_of = [
            not cp.find_duplicates(images[[i, j]], near=8).empty
            for i, j in ((0, 1), (1, 2), (0, 2))
        ]
        if pairs_of == [True, True, False]:
            found = differences.differences(
                differences.details(windows.thumbnails(images[[0]])),
                differences.details(windows.thumbnails(images[[2]])),
                np.array([[0, 0, 0]]),
                2,
            )
            if not differences.are_copies(found, Scale.of(96, 96), clustering._SLACK).all():
                break
    else:
        pytest.fail("no strength puts an image between two others")
    assert len(cp.find_duplicates(images, near=8)) == 2


@pytest.mark.slow
def test_rotated_views_of_one_photograph_are_not_duplicates(data) -> None:
    cells = cp.read(data / "wbc4" / "augmented", size=96)
    assert len(cp.find_duplicates(cells, near=8, symmetries=True)) <= 0.02 * len(cells)


def test_difference_does_not_depend_on_the_order_of_a_pair() -> None:
    images = draw_cells([2] * 8, seed=1)[0]
    one = differences.details(windows.thumbnails(images))
    two = differences.details(windows.thumbnails(noisy(moved(images, 1, -1))))
    n = len(images)
    for other in (np.arange(n), np.roll(np.arange(n), 1)):
        at = np.stack([np.arange(n), other, np.zeros(n, int)], axis=1)
        there = differences.differences(one, two, at, 1)
        back = differences.differences(two, one, at[:, [1, 0, 2]], 1)
        np.testing.assert_allclose(there, back, rtol=1e-5)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_signatures_do_not_depend_on_the_executor(executor) -> None:
    from cellprep.system import executors

    cells, new = messy(3)
    images = np.concatenate([cells, new])
    plain = cp.find_duplicates(images, near=4, symmetries=True)
    with executors.using(executor, workers=2):
        table = cp.find_duplicates(images, near=4, symmetries=True)
    assert table.equals(plain)


def test_thumbnails_in_a_temporary_file_give_the_same_table(monkeypatch) -> None:
    cells, new = messy(4)
    images = np.concatenate([cells, new])
    plain = cp.find_duplicates(images, near=4, symmetries=True)
    monkeypatch.setattr(signatures, "_IN_MEMORY", 1000)
    assert cp.find_duplicates(images, near=4, symmetries=True).equals(plain)


@pytest.mark.parametrize("symmetries", [False, True])
def test_differences_that_were_kept_are_those_of_each_image_and_its_first(monkeypatch, symmetries):
    """A group's first image changes while groups merge; differences from the old one are void."""
    images = draw_cells([3] * 8, side=48, seed=6)[0]
    made = [moved(images, down, right) for down in (0, 2) for right in (0, 2, 4)]
    images = np.concatenate([*made, *(turn(noisy(part), "rotate_90") for part in made[:4])])
    images = images[np.random.default_rng(0).permutation(len(images))]
    found = cp.find_duplicates(images, near=8, symmetries=symmetries)
    merge = clustering.Clustering._merge
    monkeypatch.setattr(clustering.Clustering, "_merge", lambda *all: merge(*all) and False)
    again = cp.find_duplicates(images, near=8, symmetries=symmetries)  # all are computed
    assert found["difference"].nunique() > 20
    pd.testing.assert_frame_equal(found, again)
