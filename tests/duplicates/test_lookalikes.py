"""Look-alikes: photographs of one cell that hashes do not recognise."""

from __future__ import annotations

import numpy as np
import pytest

import cellprep as cp
from cellprep import CellprepError

cv2 = pytest.importorskip("cv2")
CLASS_NAMES = ("a", "b", "c", "d")


def textures(n):
    """Random blotches, another pattern in each image, (n, 96, 96, 3) uint8."""
    random = np.random.default_rng(2)
    images = random.normal(128, 300, (n, 96, 96, 3)).astype(np.float32)
    blurred = [cv2.GaussianBlur(image, None, 2.5) for image in images]
    return np.clip(np.stack(blurred), 0, 255).astype(np.uint8)


def turned(image, angle=33.0, zoom=1.1, shift=(6, -4)):
    """The image turned, zoomed and shifted about its centre, and a little darker."""
    side = image.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, zoom)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    return (moved * 0.9).astype(np.uint8)


@pytest.fixture(scope="module")
def planted():
    """40 images, then turned copies of four of them, with similar features."""
    images, labels = textures(40), np.arange(40) % 4
    copies = [3, 11, 22, 37]
    features = np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32)
    images = np.concatenate([images, [turned(images[k]) for k in copies]])
    labels = np.concatenate([labels, labels[copies]])
    labels[-1] = 0  # the copy of image 37, which is of class 1
    noise = np.random.default_rng(1).normal(scale=0.3, size=(4, 32))
    features = np.concatenate([features, features[copies] + noise]).astype(np.float32)
    return cp.Dataset.from_arrays(images, labels, class_names=CLASS_NAMES), features, copies


@pytest.mark.parametrize("index", ["exact", "faiss"])
def test_turned_and_shifted_copies_are_found(planted, index):
    cells, features, copies = planted
    if index == "faiss":
        pytest.importorskip("faiss")
    assert cp.find_duplicates(cells, near=4, symmetries=True).empty
    found = cp.find_lookalikes(cells, features, neighbours=5, index=index)
    pairs = found.groupby("group")["id"].apply(lambda ids: tuple(sorted(ids)))
    assert sorted(pairs) == [(k, 40 + n) for n, k in enumerate(copies)]
    assert set(found["relation"]) == {"lookalike"}
    assert (found["matches"] >= 20).all()
    assert found["matches"].is_monotonic_decreasing
    assert found.loc[found["id"].isin([37, 43]), "conflict"].all()
    assert found["conflict"].sum() == 2
    columns = set(cp.find_duplicates(cells).columns)
    assert columns < set(found.columns)


def test_the_order_of_rows_does_not_matter(planted):
    cells, features, _ = planted
    order = np.random.default_rng(5).permutation(len(cells))
    images, labels = cells.to_arrays()
    other = cp.Dataset.from_arrays(
        images[order], labels[order], class_names=CLASS_NAMES, ids=cells.ids[order]
    )
    one = cp.find_lookalikes(cells, features)
    two = cp.find_lookalikes(other, features[order])
    assert one.drop(columns="similarity").equals(two.drop(columns="similarity"))
    np.testing.assert_allclose(one["similarity"], two["similarity"], atol=1e-5)


def test_equal_images_are_left_to_find_duplicates(planted):
    cells, features, _ = planted
    images, labels = cells.to_arrays()
    twice = cp.Dataset.from_arrays(
        np.concatenate([images[:5], images[:5]]), np.concatenate([labels[:5], labels[:5]])
    )
    assert cp.find_lookalikes(twice, np.concatenate([features[:5], features[:5]])).empty


def test_across_two_sets_only_pairs_of_both_count(planted):
    cells, features, _ = planted
    images, labels = cells.to_arrays()
    a = cp.Dataset.from_arrays(images[:40], labels[:40], CLASS_NAMES)
    b = cp.Dataset.from_arrays(images[40:42], labels[40:42], CLASS_NAMES)
    found = cp.find_lookalikes(a, features[:40], b, features[40:42])
    assert found.columns[0] == "part"
    got = found.groupby("group")[["part", "id"]].apply(lambda g: sorted(g.to_numpy().tolist()))
    assert sorted(got) == [[["a", 3], ["b", 0]], [["a", 11], ["b", 1]]]


def test_groups_can_be_kept_together_by_a_split(planted):
    cells, features, copies = planted
    found = cp.find_lookalikes(cells, features)
    together = np.array([f"alone {key}" for key in cells.ids])
    together[found["id"]] = [f"group {k}" for k in found["group"]]
    parts = cp.split(cells, train=0.5, test=0.5, groups=together)
    for n, k in enumerate(copies):
        inside = [k in part.ids for part in parts.values()]
        assert inside == [40 + n in part.ids for part in parts.values()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((3, 4))}, "one row for each of the 44 images, got shape"),
        ({"features": np.zeros((44, 4), int)}, "must be .n, d. floats"),
        ({"features": [[1.0], [2.0, 3.0]]}, "must be .n, d. floats"),
        ({"features": np.full((44, 4), np.nan)}, "must be finite numbers"),
        ({"neighbours": 0}, "`neighbours` must be"),
        ({"matches": 2}, "`matches` must be"),
        ({"index": "fais"}, "did you mean 'faiss'"),
        ({"other_features": np.zeros((3, 4))}, "pass `other`"),
    ],
)
def test_bad_input_is_refused_in_one_line(planted, change, message):
    cells, features, _ = planted
    with pytest.raises(CellprepError, match=message) as error:
        cp.find_lookalikes(cells, **{"features": features, **change})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("most", [2048, 7])
def test_exact_neighbours_are_those_of_all_pairs(monkeypatch, most):
    """Whatever the size of the blocks in which they are computed."""
    from cellprep.duplicates import neighbours
    from cellprep.duplicates.neighbours import nearest_pairs, whitened

    monkeypatch.setattr(neighbours, "_BLOCK", most)
    monkeypatch.setattr(neighbours, "_CELLS", 60 * most)

    units = whitened(np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, rtol=1e-5)
    every = np.arange(60)
    a, b, similarity = nearest_pairs(units, every, every, 3, "exact")
    all_pairs = units @ units.T
    np.fill_diagonal(all_pairs, -2)
    expected = {
        tuple(sorted((row, other)))
        for row in range(60)
        for other in np.argsort(-all_pairs[row])[:3].tolist()
    }
    assert set(zip(a.tolist(), b.tolist(), strict=True)) == expected
    np.testing.assert_allclose(similarity, all_pairs[a, b], atol=1e-6)
    assert (np.diff(similarity) <= 0).all()


def test_mapped_features_are_whitened_in_any_order(tmp_path):
    from cellprep.duplicates.neighbours import whitened

    features = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    order = np.random.default_rng(1).permutation(50)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    np.testing.assert_array_equal(whitened(mapped, order), whitened(features[order]))
    centred = features - features.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov(features.T))
    expected = centred @ (axes / np.sqrt(variance))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    products = whitened(features) @ whitened(features).T  # axes may have either sign
    np.testing.assert_allclose(products, expected @ expected.T, atol=1e-5)
