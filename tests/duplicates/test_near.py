"""Near and turned duplicates: what is found, how it is reported, and what is left alone."""

from __future__ import annotations

import io
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp
from cellprep.duplicates import candidates, clustering, signatures
from cellprep.duplicates.settings import Search
from cellprep.kernels import SYMMETRIES
from cellprep.kernels.hashing import differences, pairs, symmetry, windows
from cellprep.kernels.hashing.scale import Scale
from cellprep.synthetic import draw_cells

SEEDS = st.integers(0, 2**32 - 1)


# -- what a planted copy is ---------------------------------------------------------------------


def jpeg(images: np.ndarray, quality: int) -> np.ndarray:
    made = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        made.append(np.asarray(Image.open(file)))
    return np.stack(made)


def resized(images: np.ndarray) -> np.ndarray:
    side = images.shape[1]
    small = [Image.fromarray(image).resize((round(0.9 * side),) * 2) for image in images]
    return np.stack([np.asarray(image.resize((side, side))) for image in small])


def moved(images: np.ndarray, down: int, right: int, mode: str = "edge") -> np.ndarray:
    edge = max(abs(down), abs(right))
    wide = np.pad(images, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode=mode)
    _, height, width, _ = images.shape
    return wide[:, edge - down :, edge - right :][:, :height, :width]


def noisy(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 4, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def lit(images: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(np.rint(images * factor), 0, 255).astype(np.uint8)


def turn(images: np.ndarray, name: str) -> np.ndarray:
    return np.ascontiguousarray(symmetry.turned(images, SYMMETRIES.index(name)))


PROCESSED = {
    "jpeg 95": lambda images: jpeg(images, 95),
    "jpeg 75": lambda images: jpeg(images, 75),
    "jpeg 50": lambda images: jpeg(images, 50),
    "resized": resized,
    "noise": noisy,
    "lighter": lambda images: lit(images, 1.08),
    "darker": lambda images: lit(images, 0.92),
    "turned": lambda images: turn(images, "rotate_90"),
    "flipped": lambda images: turn(images, "flip_left_right"),
    "flipped jpeg 75": lambda images: jpeg(turn(images, "flip_top_bottom"), 75),
}
MOVED = {
    "right": lambda images: moved(images, 0, 2),
    "up": lambda images: moved(images, -2, 0),
    "both": lambda images: moved(images, 2, -2),
    "black": lambda images: moved(images, 2, 2, "constant"),
    "wrapped": lambda images: np.roll(images, 2, axis=1),
    "one pixel": lambda images: moved(images, 1, 0),
    "turned": lambda images: moved(turn(images, "rotate_270"), 2, 0),
}


def recall_and_strangers(images: np.ndarray, distance: int) -> tuple[dict[str, float], int]:
    """How many copies of each kind are grouped with their originals, and pairs of originals."""
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


# -- near duplicates ----------------------------------------------------------------------------


@pytest.mark.parametrize("side", [64, 96, 160])
def test_planted_copies_of_drawn_cells(side) -> None:
    recall, strangers = recall_and_strangers(draw_cells([8] * 8, side=side, seed=4)[0], 4)
    check(recall)
    assert strangers == 0


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("folder", ["bccd", "bcisc/images"])
def test_planted_copies_of_photographs(data, folder, half) -> None:
    """The limits were chosen on all of them: either half has to hold them alone."""
    files = sorted((data / folder).rglob("*.jpg"))[half::2]
    images = np.stack(
        [np.asarray(Image.open(file).convert("RGB").resize((96, 96))) for file in files]
    )
    recall, strangers = recall_and_strangers(images, 4)
    check(recall)
    assert strangers == 0


def test_different_photographs_stay_apart(data) -> None:
    """At any distance: of 61,425 and 35,778 pairs two, of cells that were taken twice."""
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


def test_look_alikes_stay_apart() -> None:
    images = draw_cells([75] * 8, seed=8)[0]
    assert cp.find_duplicates(images, near=12, symmetries=True).empty


@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_images_have_nothing_to_compare(value) -> None:
    rng = np.random.default_rng(0)
    images = np.full((200, 96, 96, 3), value, np.int64) + rng.integers(-1, 2, (200, 96, 96, 3))
    images = np.clip(images, 0, 255).astype(np.uint8)
    assert cp.find_duplicates(images, near=8, symmetries=True).empty


def test_the_table_says_how_images_are_related() -> None:
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


def test_distances_are_those_of_imagehash() -> None:
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


def test_the_order_of_rows_does_not_matter() -> None:
    cells = draw_cells([2] * 8, seed=5)[0]
    makers = [*PROCESSED.values(), *MOVED.values()]
    images = np.concatenate([cells, *[make(cells[i : i + 4]) for i, make in enumerate(makers)]])
    groups = shuffled_groups(images, 0)
    assert len(groups) > 10
    assert shuffled_groups(images, 1) == groups


def test_chains_are_not_merged_blindly() -> None:
    """Every step is small, the ends are not near; a split still keeps the chain whole."""
    wide = draw_cells([1, 1, 1, 1, 0, 0, 0, 0], side=128, seed=9)[0]
    steps = [wide[:, 16:112, 4 + 2 * k : 100 + 2 * k] for k in range(12)]
    images = np.ascontiguousarray(np.concatenate(steps))
    of = np.tile(np.arange(4), 12)
    place = np.repeat(np.arange(12), 4)
    table = cp.find_duplicates(images, near=4)
    for _, rows in table.groupby("group"):
        assert len(set(of[rows["id"]])) == 1
        assert np.ptp(place[rows["id"]]) <= 3
    labels = (of % 2).astype(int)
    parts = cp.split(cp.Dataset.from_arrays(images, labels), train=0.5, test=0.5, near=4, seed=0)
    sides = defaultdict(set)
    for name, part in parts.items():
        for number in part.ids.tolist():
            sides[of[number]].add(name)
    assert all(len(names) == 1 for names in sides.values())


def test_an_image_near_two_cells_does_not_join_them() -> None:
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


def test_views_of_one_photograph_are_no_duplicates(data) -> None:
    cells = cp.read(data / "wbc4" / "augmented", size=96)
    assert len(cp.find_duplicates(cells, near=8, symmetries=True)) <= 0.02 * len(cells)


# -- symmetries ---------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(2, 14), SEEDS)
def test_symmetries_are_found_and_named(height, width, n, seed) -> None:
    """Images of few values, so that turned ones abound; non-square ones have four symmetries."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 2, (n, height, width, 3), np.uint8)
    for i in range(1, n):
        if rng.random() < 0.6:
            turns = symmetry.symmetries_of(height, width)
            images[i] = symmetry.turned(images[rng.integers(i)][None], rng.choice(turns))[0]
    table = cp.find_duplicates(images, symmetries=True)
    turns = symmetry.symmetries_of(height, width)
    least = [min(symmetry.turned(x[None], g).tobytes() for g in turns) for x in images]
    expected = defaultdict(set)
    for number, name in enumerate(least):
        expected[name].add(number)
    groups = {frozenset(rows["id"]) for _, rows in table.groupby("group")}
    assert groups == {frozenset(numbers) for numbers in expected.values() if len(numbers) > 1}
    for _, rows in table.groupby("group"):
        first = images[rows["id"].iloc[0]][None]
        for number, name, relation in zip(
            rows["id"], rows["symmetry"], rows["relation"], strict=True
        ):
            same = symmetry.turned(first, SYMMETRIES.index(name))[0]
            np.testing.assert_array_equal(same, images[number])
            if number != rows["id"].iloc[0]:
                equal = np.array_equal(images[number], first[0])
                assert relation == ("exact" if equal else "symmetry")


@given(st.integers(0, 7), st.integers(0, 7), SEEDS)
def test_symmetries_form_a_group(one, two, seed) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, 5, 5, 3), np.uint8)
    both = symmetry.turned(symmetry.turned(images, one), two)
    np.testing.assert_array_equal(both, symmetry.turned(images, symmetry.after(one, two)))
    back = symmetry.turned(symmetry.turned(images, one), symmetry.INVERSE[one])
    np.testing.assert_array_equal(back, images)
    pillow = Image.fromarray(images[0])
    if one:
        pillow = pillow.transpose(Image.Transpose[SYMMETRIES[one].upper()])
    np.testing.assert_array_equal(pillow, symmetry.turned(images, one)[0])


@pytest.mark.parametrize("shape", [(96, 96), (7, 12), (50, 31)])
def test_marks_turn_with_the_image(shape) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), np.uint8)
    small = windows.thumbnails(images)
    hashes = windows.window_hashes(small, 1)
    for one in symmetry.symmetries_of(*shape):
        other = np.ascontiguousarray(symmetry.turned(images, one))
        np.testing.assert_array_equal(symmetry.invariants(other), symmetry.invariants(images))
        turned_small = windows.thumbnails(other)
        np.testing.assert_array_equal(turned_small, symmetry.turned(small[..., None], one)[..., 0])
        found = windows.turned_hashes(hashes, one)
        expected = windows.window_hashes(turned_small, 1)
        np.testing.assert_array_equal(found[:, 0], expected[:, 0])
        np.testing.assert_array_equal(np.sort(found), np.sort(expected))


def test_images_with_one_invariant_are_not_compared_with_each_other(monkeypatch) -> None:
    """Any order of the same pixels has the same sums: 300 of them, and a flipped copy of each."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (36, 3), np.uint8)
    images = np.stack([rng.permutation(pixels).reshape(6, 6, 3) for _ in range(300)])
    images = np.concatenate([images, images[:, ::-1]])
    compared = []
    plain = symmetry.matching
    monkeypatch.setattr(
        symmetry, "matching", lambda a, b, at: compared.append(len(a)) or plain(a, b, at)
    )
    table = cp.find_duplicates(images, symmetries=True)
    assert table["group"].nunique() == 300
    assert sum(compared) < 10 * len(images)


def test_ten_thousand_equal_images_are_one_node() -> None:
    images = np.zeros((10_000, 6, 6, 3), np.uint8)
    images[:, 0, 0] = 9
    images[::2] = images[0, ::-1]
    table = cp.find_duplicates(images, symmetries=True, near=4)
    assert len(table) == 10_000
    assert table["group"].nunique() == 1


# -- pairs of hashes ----------------------------------------------------------------------------


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


def test_a_hundred_thousand_equal_hashes_do_not_explode() -> None:
    hashes = np.full(100_000, 7, np.uint64)
    rows = np.arange(len(hashes))
    roots = np.arange(len(hashes))
    pairs_given = 0
    find = candidates._Expanding(4, True, roots)
    for first, _, _, _ in find((hashes, rows), None, 0):
        pairs_given += len(first)
        roots[: pairs_given + 1] = 0  # rows with the same root are not paired again
    assert pairs_given < 2 * len(hashes)


def test_the_difference_knows_no_first_and_second() -> None:
    images = draw_cells([2] * 8, seed=1)[0]
    one = differences.details(windows.thumbnails(images))
    two = differences.details(windows.thumbnails(noisy(moved(images, 1, -1))))
    n = len(images)
    for other in (np.arange(n), np.roll(np.arange(n), 1)):
        at = np.stack([np.arange(n), other, np.zeros(n, int)], axis=1)
        there = differences.differences(one, two, at, 1)
        back = differences.differences(two, one, at[:, [1, 0, 2]], 1)
        np.testing.assert_allclose(there, back, rtol=1e-5)


# -- leaks, splits, recipes ---------------------------------------------------------------------


def test_leaks_may_be_near_or_turned() -> None:
    cells, labels = draw_cells([3] * 8, seed=7)
    test = np.concatenate([jpeg(cells[:3], 75), turn(cells[3:6], "transpose"), cells[6:7]])
    a = cp.Dataset.from_arrays(cells, labels)
    b = cp.Dataset.from_arrays(test, labels[:7], class_names=a.class_names)
    assert cp.find_leaks(a, b)["id"].tolist() == [6, 6]
    assert len(cp.find_leaks(a, b, symmetries=True)) == 8
    table = cp.find_leaks(a, b, near=4, symmetries=True)
    assert sorted(table[table["part"] == "a"]["id"]) == list(range(7))
    assert sorted(table[table["part"] == "b"]["id"]) == list(range(7))


def test_dedupe_takes_near_and_turned_copies() -> None:
    cells, labels = draw_cells([2] * 8, seed=7)
    images = np.concatenate([cells, jpeg(cells[:4], 75), turn(cells[4:8], "rotate_180")])
    labels = np.concatenate([labels, labels[:3], labels[4:5], labels[4:8]])
    assert len(cp.dedupe(images, labels)[0]) == 24
    assert len(cp.dedupe(images, labels, symmetries=True)[0]) == 20
    assert len(cp.dedupe(images, labels, near=4, symmetries=True)[0]) == 15  # a conflict among them
    step = cp.Dedupe(near=4, symmetries=True, hash="dhash")
    assert cp.Recipe.from_toml(cp.Recipe([step]).to_toml()) == cp.Recipe([step])


@pytest.mark.parametrize(
    ("settings_", "said"),
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
def test_wrong_settings_are_refused(settings_, said) -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    cells = cp.Dataset.from_arrays(images, [0, 1])
    for call in (
        lambda: cp.find_duplicates(images, **settings_),
        lambda: cp.find_leaks(cells, cells, **settings_),
        lambda: cp.Dedupe(**settings_),
        lambda: cp.DuplicateIndex.of(cells, **settings_),
    ):
        with pytest.raises(cp.CellprepError, match=said):
            call()


def test_groups_from_file_names(data) -> None:
    """No photograph on both sides, and the classes in proportion."""
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
            # Half a photograph of a class off, for want of halves.
            photograph = 1 / sum(other.startswith(f"{label}/") for other in every)
            assert abs(count / cells.counts()[label] - share) < 0.75 * photograph
        assert "deviates most" in parts[name].changes()["why"].iloc[-1]


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
    for groups, said in ((r"/(q\d)/", "finds nothing in id"), ("(", "neither 'parent' nor")):
        with pytest.raises(cp.CellprepError, match=said):
            cp.split(cells, train=0.5, test=0.5, groups=groups)
    arrays = cp.Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
    with pytest.raises(cp.CellprepError, match="paths of files"):
        cp.split(arrays, train=0.5, test=0.5, groups="parent")


# -- the index ----------------------------------------------------------------------------------


def messy(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A set and a new batch, some of which is in the set in one form or another."""
    cells = draw_cells([5] * 8, seed=seed)[0]
    makers = [*PROCESSED.values(), *MOVED.values()]
    new = np.concatenate([make(cells[i : i + 2]) for i, make in enumerate(makers)])
    return cells, np.concatenate([new, cells[3:5], draw_cells([1] * 8, seed=99)[0]])


def full_search(cells: np.ndarray, new: np.ndarray, search: Search) -> set[tuple[int, int]]:
    """Pairs one by one, by the function that groups are made of."""
    found = set()
    for number, image in enumerate(new):
        for other, cell in enumerate(cells):
            table = cp.find_duplicates(
                np.stack([cell, image]), near=search.near, symmetries=search.symmetries
            )
            if len(table):
                found.add((number, other))
    return found


def asked(index: cp.DuplicateIndex, new: np.ndarray) -> set[tuple[int, int]]:
    return set(index.query(new)[["id", "of"]].itertuples(index=False, name=None))


def test_a_query_gives_the_answers_of_a_full_search(tmp_path) -> None:
    cells, new = messy()
    cells, new = cells[:20], new[::3]
    search = Search(4, True)
    index = cp.DuplicateIndex.of(cells, near=4, symmetries=True)
    expected = full_search(cells, new, search)
    assert len(expected) > 5
    assert asked(index, new) == expected
    grown = cp.DuplicateIndex.of(cells[:7], near=4).add(cells[7:12]).add(cells[12:])
    assert len(grown) == len(cells)
    assert asked(grown, new) == expected
    grown.save(tmp_path / "cells.index")
    again = cp.DuplicateIndex.load(tmp_path / "cells.index")
    assert repr(again) == repr(index)
    assert again.query(new).equals(index.query(new))


def test_a_query_names_what_it_finds() -> None:
    cells, labels = draw_cells([1] * 8, seed=0)
    index = cp.DuplicateIndex.of(cells, labels, near=4)
    new = np.concatenate([cells[2:3], turn(cells[5:6], "rotate_90"), jpeg(cells[7:], 75)])
    table = index.query(new, [2, 5, 1])
    assert table["id"].tolist() == [0, 1, 2]
    assert table["of"].tolist() == [2, 5, 7]
    assert table["relation"].tolist() == ["exact", "symmetry", "near"]
    assert table["symmetry"].tolist() == ["identity", "rotate_90", "identity"]
    assert table["conflict"].tolist() == [False, False, True]
    assert not index.query(new)["conflict"].any()
    assert index.query(draw_cells([1] * 8, seed=1)[0]).empty


def test_an_index_refuses_what_it_cannot_use(tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    index = cp.DuplicateIndex.of(images, near=2)
    with pytest.raises(cp.CellprepError, match="holds id '1' already"):
        index.add(images, ids=[7, 1, 8])
    with pytest.raises(cp.CellprepError, match="16x16, these are 8x16"):
        index.query(images[:, :8])
    path = tmp_path / "index"
    index.save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"no index", whole[: len(whole) // 2], whole.replace(b"0", b"1")):
        path.write_bytes(damaged)
        with pytest.raises(cp.CellprepError, match=r"not an index of duplicates|version"):
            cp.DuplicateIndex.load(path)
    np.savez(tmp_path / "other.npz", images=images)
    with pytest.raises(cp.CellprepError, match="not an index of duplicates"):
        cp.DuplicateIndex.load(tmp_path / "other.npz")
    with pytest.raises(cp.CellprepError, match="there is no index file"):
        cp.DuplicateIndex.load(tmp_path / "absent")


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_the_measuring_pass_runs_under_any_executor(executor) -> None:
    from cellprep.system import executors

    cells, new = messy(3)
    images = np.concatenate([cells, new])
    plain = cp.find_duplicates(images, near=4, symmetries=True)
    with executors.using(executor, workers=2):
        table = cp.find_duplicates(images, near=4, symmetries=True)
    assert table.equals(plain)


def test_many_pictures_go_to_a_file(monkeypatch) -> None:
    cells, new = messy(4)
    images = np.concatenate([cells, new])
    plain = cp.find_duplicates(images, near=4, symmetries=True)
    monkeypatch.setattr(signatures, "_IN_MEMORY", 1000)
    assert cp.find_duplicates(images, near=4, symmetries=True).equals(plain)
