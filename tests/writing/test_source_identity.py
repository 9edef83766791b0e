"""The identity of arrays in memory follows from the digests of the written files."""

from __future__ import annotations

import json

import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.writing.identity import identity_of

from .helpers import (
    RECIPES,
    cells_and_labels,
    dataset,
    other_pixels,
    tree,
    unfinished,
    write,
)


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("masked", [False, True], ids=["images", "masks"])
def test_recorded_identity_equals_the_identity_of_the_arrays(masked, executor, tmp_path):
    """Unprocessed arrays are digested only once, as files, which must give the same identity."""
    made = dataset(masks=cells_and_labels()[0][..., 0] > 100) if masked else dataset()
    write(made, tmp_path / "out", rows_per_shard=5, executor=executor, masks=masked)
    saved = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert saved["made_of"]["source"] == identity_of(made.plan, "shards", 5)


def test_unprocessed_images_resume_only_if_written_shards_match_the_source(tmp_path):
    path, options = tmp_path / "out", {"rows_per_shard": 5}
    unfinished(path, RECIPES["none"])
    before = tree(path)
    assert json.loads(before[".cellprep/plan.json"])["made_of"]["source"] is None
    with pytest.raises(CellprepError, match=r"contains another data set .made from other images"):
        write(other_pixels(14), path, **options)
    with pytest.raises(CellprepError, match=r"contains another data set .has other rows"):
        write(dataset(n=34), path, **options)
    files = cp.read(write(dataset(), tmp_path / "files", rows_per_shard=7).path)
    with pytest.raises(CellprepError, match="contains another data set"):
        write(files, path, **options)
    assert tree(path) == before
    written = write(other_pixels(15), path, **options)  # image 15 was not written yet
    assert (written.resumed, written.rows) == (15, 35)
    write(other_pixels(15), tmp_path / "reference", **options)
    assert tree(path) == tree(tmp_path / "reference")


def test_a_damaged_record_of_unprocessed_images_loses_only_its_shard(tmp_path):
    path = tmp_path / "out"
    unfinished(path, RECIPES["none"])
    (path / ".cellprep" / "part-00001.arrow").write_bytes(b"ARROW")
    written = write(dataset(), path, rows_per_shard=5)
    assert (written.resumed, written.repaired) == (15 - 5, 5)
    write(dataset(), tmp_path / "reference", rows_per_shard=5)
    assert tree(path) == tree(tmp_path / "reference")
