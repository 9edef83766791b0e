"""The search on a cluster finds what the caller finds; here its tasks run in this process.

`tests/system/test_ray.py` runs them on a real cluster.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp
from cellprep.duplicates import exact, on_ray
from cellprep.duplicates.relations import Related, related
from cellprep.duplicates.settings import Search
from cellprep.errors import BadImagesError
from cellprep.kernels.hashing import pairs
from cellprep.plan import digests
from cellprep.plan.plan import Plan
from cellprep.plan.source import ArraySource
from cellprep.synthetic import draw_cells
from cellprep.system import executors

from .copies import messy

SEARCHES = [Search(), Search(4), Search(None, True), Search(3, True, "ahash"), Search(0)]


def here(function: Any, *arguments: Any) -> Any:
    """A task in this process: what it gets and returns is pickled."""
    return pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(function))(*arguments)))


def shuffled(pieces: Any, split: Any, combine: Any, buckets: int) -> Iterator[Any]:
    assert buckets > 1
    blocks = [here(split, *each) for each in pieces]
    assert all(len(each) == buckets for each in blocks)
    yield from (here(combine, *(each[k] for each in blocks)) for k in range(buckets))


@contextmanager
def cluster(span: int = 7, bucket: int = 5, block: int = 3) -> Iterator[list[str]]:
    """Search on a cluster, whatever the number of rows; yields which tasks shuffled."""
    tasks: list[str] = []

    def keep(function: Any, spans: Any, stage: str, **_: Any) -> Iterator[Any]:
        assert stage
        yield from (here(function, each) for each in spans)

    def shuffle(pieces: Any, split: Any, *rest: Any) -> Iterator[Any]:
        tasks.append(getattr(split.args[0], "func", split.args[0]).__name__)
        return shuffled(pieces, split, *rest)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "MOST_ROWS": 0,
            "_SPAN": span,
            "_BUCKET": bucket,
            "_BLOCK": block,
        }.items():
            patch.setattr(on_ray, name, value)
        for name, value in {"on_cluster": lambda: True, "keep": keep, "shuffle": shuffle}.items():
            patch.setattr(executors, name, value)
        yield tasks


def check_same(plan: Plan, search: Search, **sizes: int) -> Related:
    """The search of this plan on a cluster has the result of that in the caller."""
    _, expected = related(plan, search)
    _, rows, groups = exact.repeated_rows(plan)
    with cluster(**sizes) as tasks:
        _, found = related(plan, search)
        _, found_rows, found_groups = exact.repeated_rows(plan)
    assert len(tasks) > 1
    np.testing.assert_array_equal(found_rows, rows)
    np.testing.assert_array_equal(found_groups, groups)
    alone = np.delete(np.arange(len(plan)), found.at)
    assert (expected.groups[alone] == -1).all()
    assert (expected.components[alone] == -1).all()
    np.testing.assert_array_equal(found.at[found.first], expected.first[found.at])
    for name in {field.name for field in fields(Related)} - {"at", "first"}:
        ours, theirs = getattr(found, name), getattr(expected, name)[found.at]
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    return found


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Cells with copies of every kind: equal, processed, shifted and turned ones; blank images."""
    cells, new = messy()
    blank = np.zeros((3, *cells.shape[1:]), np.uint8)
    return np.concatenate([cells, new, cells[:4], new[:2], blank, blank[:1] + 1])


@pytest.mark.parametrize("search", SEARCHES, ids=str)
@settings(max_examples=6, deadline=None)
@given(st.data())
def test_the_result_is_that_of_the_caller(search, images, data) -> None:
    """For any order of rows, and any size of spans, buckets and blocks."""
    order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(len(images))
    some = order[: data.draw(st.integers(1, len(images)))]
    sizes = {
        "span": data.draw(st.integers(5, 120)),
        "bucket": data.draw(st.integers(20, 300)),
        "block": data.draw(st.integers(1, 30)),
    }
    plan = cp.Dataset.from_arrays(images[some], np.zeros(len(some), int), ids=some).plan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_SPAN", data.draw(st.integers(1, 40)))
        found = check_same(plan, search, **sizes)
    if len(some) == len(images):
        assert (found.groups >= 0).any()


def test_chains_of_near_images_among_strangers_are_divided_in_the_same_way() -> None:
    """Images that differ step by step: which of them are grouped depends on the order of pairs."""
    rng = np.random.default_rng(0)
    colors = rng.uniform(60, 190, (700, 6, 6, 3)).repeat(8, 1).repeat(8, 2)
    steps = rng.normal(0, 3, (40, 12, 48, 48, 1)).cumsum(axis=1)
    chains = (colors[:40, None] + steps).reshape(-1, 48, 48, 3)
    images = np.clip(np.concatenate([chains, colors[40:]]), 0, 255).astype(np.uint8)
    images = images[rng.permutation(len(images))]
    plan = cp.Dataset.from_arrays(images, np.zeros(len(images), int)).plan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_SPAN", 16)
        found = check_same(plan, Search(8), span=50, bucket=300)
    sizes = np.bincount(found.groups[found.groups >= 0])
    assert 2 <= sizes.min() < sizes.max() < 12  # chains were divided
    assert len(plan) - (found.groups >= 0).sum() > 600


def test_images_with_equal_digests_are_compared_byte_by_byte(images, monkeypatch) -> None:
    def three(images: np.ndarray) -> np.ndarray:
        return digests.digest(images) % np.uint64(3)

    for module in (exact, on_ray):
        monkeypatch.setattr(module, "digest", three)
    monkeypatch.setattr(exact, "prefilter_digest", lambda images: np.zeros(len(images)))
    plan = cp.Dataset.from_arrays(images, np.zeros(len(images), int)).plan
    found = check_same(plan, Search())
    assert np.bincount(found.groups[found.groups >= 0]).tolist().count(2) >= 6


def test_bad_images_are_all_named(tmp_path) -> None:
    for number in range(20):
        file = tmp_path / "mono" / f"{number:02}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(file)
        if number in (3, 17):
            file.write_bytes(b"no picture")
    with pytest.raises(BadImagesError) as expected:
        cp.find_duplicates(cp.read(tmp_path))
    with cluster(), pytest.raises(BadImagesError) as found:
        cp.find_duplicates(cp.read(tmp_path))
    assert str(found.value) == str(expected.value)
    assert "03.png" in str(found.value)
    assert "17.png" in str(found.value)


def test_known_digests_are_grouped_without_reading_images(images, monkeypatch) -> None:
    plan = cp.Dataset.from_arrays(images, np.zeros(len(images), int)).plan
    plan = plan.measure("digest", digests.digest)
    read = []
    original = ArraySource.images
    monkeypatch.setattr(
        ArraySource, "images", lambda self, at: read.extend(at.tolist()) or original(self, at)
    )
    found = check_same(plan, Search())
    assert set(read) == set(np.flatnonzero(related(plan, Search())[1].groups >= 0).tolist())
    assert (found.groups >= 0).all()


def test_small_sets_are_searched_by_the_caller(images, monkeypatch) -> None:
    monkeypatch.setattr(executors, "on_cluster", lambda: True)
    plan = cp.Dataset.from_arrays(images, np.zeros(len(images), int)).plan
    assert not on_ray.applies(plan)
    monkeypatch.setattr(on_ray, "MOST_ROWS", len(plan) - 1)
    assert on_ray.applies(plan)
    monkeypatch.setattr(executors, "on_cluster", lambda: False)
    assert not on_ray.applies(plan)


@pytest.mark.parametrize("near", [None, 4])
def test_a_set_without_duplicates(near) -> None:
    images = draw_cells([5] * 8, side=24, seed=0)[0]
    plan = cp.Dataset.from_arrays(images, np.zeros(40, int)).plan
    assert (check_same(plan, Search(near)).groups == -1).all()


def test_flat_images_are_no_near_copies_however_many(monkeypatch) -> None:
    """Images of one colour have equal hashes; only equal ones are grouped."""
    images = (np.arange(600) % 200).astype(np.uint8)[:, None, None, None].repeat(24, 1)
    images = images.repeat(24, 2).repeat(3, 3)
    found = check_same(cp.Dataset.from_arrays(images, np.zeros(600, int)).plan, Search(4))
    assert np.bincount(found.groups).tolist() == [3] * 200
    assert set(found.relation) == {"exact"}
