"""K-Means: as good as scikit-learn's, and its fast paths equal to the plain one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellprep.kernels.segment import spaces
from cellprep.kernels.segment.assignment import _assign_three, _assign_tiles, _assign_two
from cellprep.kernels.segment.kmeans import kmeans
from cellprep.kernels.segment.lloyd import lloyd

from .stained import quick, seeds


def inertia(points: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    return sum(
        float(((points[labels == c] - points[labels == c].mean(axis=0)) ** 2).sum())
        for c in np.unique(labels)
    )


@pytest.mark.parametrize("space", spaces.SPACES)
@pytest.mark.parametrize("n_clusters", [2, 3, 4])
def test_inertia_is_as_low_as_that_of_scikit_learn(
    bcisc: tuple[NDArray[np.uint8], NDArray[np.bool_]], space: str, n_clusters: int
) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    features = spaces.to_space(bcisc[0][::45], space).reshape(6, 96 * 96, -1)
    labels, _ = kmeans(features, n_clusters)
    ratios = [
        inertia(points, label)
        / cluster.KMeans(n_clusters, n_init=10, random_state=0).fit(points).inertia_
        for points, label in zip(features, labels, strict=True)
    ]
    assert np.mean(ratios) <= 1.002


@quick
@given(seeds, st.integers(1, 3), st.integers(2, 8))
def test_kmeans_converges_to_a_fixed_point(seed: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 1, (1, 400, d)).astype(np.float32) + rng.integers(0, 3, (1, 400, 1))
    labels, centers = kmeans(points, k)
    sums = centers[0].sum(axis=1)
    assert (np.diff(sums) >= 0).all()
    # features are rounded to 1/4095 of their range, so ties may be broken either way
    step = np.ptp(points, axis=1).max() / 4095
    for c in np.unique(labels):
        np.testing.assert_allclose(
            centers[0, c], points[0][labels[0] == c].mean(axis=0), atol=2 * step
        )
    distance = np.linalg.norm(points[0][:, None] - centers[0], axis=2)
    own = distance[np.arange(400), labels[0]]
    assert (own <= distance.min(axis=1) + 4 * step).all()


@quick
@given(seeds, st.integers(1, 3), st.integers(2, 8))
def test_kmeans_finds_every_colour_if_there_are_few(seed: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    colors = rng.choice(256, (k, d), replace=False).astype(np.float32)
    share = rng.dirichlet(np.ones(k) * 0.5)
    points = colors[np.r_[np.arange(k), rng.choice(k, 500, p=share)]][None]
    labels, centers = kmeans(points, k)
    assert np.isfinite(centers).all()
    assert len(np.unique(labels)) == len(np.unique(points[0], axis=0))
    np.testing.assert_allclose(centers[0][labels[0]], points[0], atol=0.1)


@quick
@given(seeds, st.integers(1, 4), st.integers(2, 8))
def test_uint8_features_give_the_same_clusters_as_floats(seed: int, d: int, k: int) -> None:
    points = np.random.default_rng(seed).integers(0, 256, (2, 300, d)).astype(np.uint8)
    for levels, floats in zip(kmeans(points, k), kmeans(points.astype(np.float32), k), strict=True):
        np.testing.assert_array_equal(levels, floats)


def plain_pass(points: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """One pass in plain NumPy."""
    labels = ((points[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
    return np.stack([points[labels == c].mean(axis=0) for c in range(len(centers))])


@quick
@given(seeds, st.integers(2, 3), st.integers(2, 5), st.integers(40, 1500))
def test_a_pass_equals_one_in_numpy(seed: int, d: int, k: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 4096, (n, d))
    centers = points[rng.choice(n, k, replace=False)].astype(np.float32)
    sums, counts = np.empty((k, d), np.int64), np.empty(k, np.int64)
    made = centers.copy()
    lloyd(np.ascontiguousarray(points.T, np.int16), made, sums, counts, 1)
    if counts.all() and counts.sum() == n and len(np.unique(centers, axis=0)) == k:
        np.testing.assert_allclose(
            made, plain_pass(points, centers.astype(float)), rtol=1e-3, atol=2
        )


def test_kmeans_of_one_colour() -> None:
    labels, centers = kmeans(np.full((2, 100, 3), 7, np.float32), 5)
    assert not labels.any()
    assert (centers == 7).all()


@pytest.mark.parametrize("k", [1, 9])
def test_kmeans_refuses_other_numbers_of_clusters(k: int) -> None:
    with pytest.raises(ValueError, match="n_clusters"):
        kmeans(np.zeros((1, 9, 3), np.float32), k)


@quick
@given(seeds, st.integers(2, 3), st.integers(1, 1500))
def test_single_loops_assign_points_as_tiles_do(seed: int, k: int, n_points: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4096, (3, n_points)).astype(np.int16)
    centers = x[:, rng.integers(0, n_points, k)].T.astype(np.float32)  # some equal, some far
    found = []
    one_loop = _assign_two if k == 2 else _assign_three
    for way in (_assign_tiles, one_loop):
        sums, counts = np.zeros((k, 3), np.int64), np.zeros(k, np.int64)
        way(x, centers, sums, counts)
        found.append((sums.tolist(), counts.tolist()))
    assert found[0] == found[1]
