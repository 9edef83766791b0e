"""The identity of arrays in memory: depends on the images, and can be computed from their files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellprep as cp
from cellprep.writing.identity import identified_by_files, identity_of


def test_identity_depends_on_pixels_masks_and_their_order(cells) -> None:
    images, labels = cells
    known = cp.Dataset.from_arrays(images, labels).source.identity()
    assert cp.Dataset.from_arrays(images.copy(order="F"), labels).source.identity() == known
    assert cp.Dataset.from_arrays(images[::-1], labels).source.identity() != known
    masks = images[..., 0] > 100
    masked = cp.Dataset.from_arrays(images, labels, masks=masks).source.identity()
    assert masked != known
    assert cp.Dataset.from_arrays(images, labels, masks=~masks).source.identity() != masked


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 12),
    rows=st.integers(1, 13),
    fortran=st.booleans(),
    workers=st.sampled_from([1, 2]),
    data=st.data(),
)
def test_written_files_identify_the_arrays_in_memory(n, rows, fortran, workers, data) -> None:
    images = np.random.default_rng(n).integers(0, 256, (n, 9, 8, 3), np.uint8)
    made = cp.Dataset.from_arrays(images.copy(order="F") if fortran else images, np.arange(n) % 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out"
        cp.write(made, path, rows_per_shard=rows, workers=workers, progress=False)
        told = json.loads((path / "dataset.json").read_text())["made_of"]["source"]
    assert told == identity_of(made.plan, "shards", rows)
    place = tuple(data.draw(st.integers(0, size - 1)) for size in images.shape)
    images[place] ^= data.draw(st.integers(1, 255))
    other = cp.Dataset.from_arrays(images, np.arange(n) % 2)
    assert identity_of(other.plan, "shards", rows) != told


@pytest.mark.parametrize("what", ["a crop", "fewer", "masks", "tar files"])
def test_files_do_not_identify_arrays_that_they_do_not_contain_unchanged(what, cells) -> None:
    images, labels = (np.concatenate([array, array[:1]]) for array in cells)
    masks = images[..., 0] > 100 if what == "masks" else None
    made = cp.Dataset.from_arrays(images, labels, masks=masks)
    kind = "webdataset" if what == "tar files" else "shards"
    assert identified_by_files(cp.Dataset.from_arrays(images, labels).plan, "shards")
    made = {"a crop": cp.Recipe([cp.Crop(16)]), "fewer": cp.Recipe([cp.Dedupe()])}.get(
        what, cp.Recipe([])
    )(made)
    assert identified_by_files(made.plan, kind) is None
    assert identity_of(made.plan, kind, 7) == made.source.identity()
