"""Rows of a written set are the same in whatever order, and however many at once, they are read."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import cellprep as cp

N, PER_SHARD = 40, 7


@pytest.fixture(scope="module", params=["shards", "zarr"])
def written(request, tmp_path_factory):
    if request.param == "zarr":
        pytest.importorskip("zarr")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 6, 5, 3), np.uint8)
    masks = rng.random((N, 6, 5)) < 0.5
    cells = cp.Dataset.from_arrays(images, np.arange(N) % 2, masks=masks)
    path = tmp_path_factory.mktemp("set") / "out"
    shared = {"rows_per_shard": PER_SHARD, "masks": True, "progress": False}
    cp.write(cells, path, format=request.param, **shared)
    return cp.read(path), images, masks


@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=2 * N))
def test_rows_in_any_order(written, at) -> None:
    found, images, masks = written
    rows = np.array(at)
    assert (found.images[rows] == images[rows]).all()
    assert (found.masks[rows] == masks[rows]).all()


@given(st.integers(0, N), st.integers(0, N))
def test_runs_of_rows(written, start, stop) -> None:
    found, images, masks = written
    assert (found.images[start:stop] == images[start:stop]).all()
    assert (found.masks[start:stop] == masks[start:stop]).all()
