"""Data sets written by version 0.1 are read, verified and replayed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import cellprep as cp

OLD = Path(__file__).parent / "golden" / "v0.1"
SETS = ("shards", "npz.npz", "folder", "webdataset", "parquet", "zarr", "tfrecord")


@pytest.fixture(scope="module")
def expected():
    with np.load(OLD / "expected.npz") as saved:
        return dict(saved)


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_version_0_1_is_read(name, expected) -> None:
    found = cp.read(OLD / name)
    images, labels = found.to_arrays()
    assert (images == expected["images"]).all()
    assert (labels == expected["labels"]).all()
    assert (found.ids == expected["ids"]).all()
    assert (found.copies == expected["copies"]).all()
    assert (found.masks[:] == expected["masks"]).all()


def test_a_medmnist_file_of_version_0_1_is_read(expected) -> None:
    assert (cp.read(OLD / "medmnist.npz").to_arrays()[0] == expected["images"]).all()


@pytest.mark.parametrize("name", [*SETS, "medmnist.npz", "augmix"])
def test_a_set_of_version_0_1_is_intact_until_a_byte_changes(name, tmp_path) -> None:
    assert not len(cp.verify(OLD / name, progress=False))
    copy = tmp_path / name
    if (OLD / name).is_dir():
        shutil.copytree(OLD / name, copy)
        largest = max(copy.rglob("*"), key=lambda file: file.stat().st_size * file.is_file())
    else:
        largest = copy
        shutil.copy(OLD / name, copy)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    assert len(cp.verify(copy, progress=False))


@pytest.mark.parametrize("name", [*SETS, "medmnist.npz"])
def test_a_set_of_version_0_1_is_replayed(name, expected) -> None:
    source = cp.read(OLD / "source.npz")
    assert (cp.replay(OLD / name, source) == expected["images"]).all()


def test_augmix_of_version_0_1_is_replayed_from_its_seed() -> None:
    with np.load(OLD / "expected-augmix.npz") as saved:
        found = cp.replay(OLD / "augmix", cp.read(OLD / "source.npz"))
        assert (found == saved["images"]).all()


def test_a_duplicate_index_of_version_0_1_is_loaded() -> None:
    index = cp.DuplicateIndex.load(OLD / "duplicates.npz")
    found = index.query(cp.read(OLD / "source.npz"))
    assert set(found["id"]) == set(range(8))
