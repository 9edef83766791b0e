"""Sets whose index and list of shards are stored in pieces: what is written, and read back."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats import pieces
from cellprep.formats.index import load_index, load_record
from cellprep.formats.manifest import INDEX, MANIFEST
from cellprep.formats.written import load_manifest

from .. import manifests
from .helpers import assert_equal_sets, below
from .pieces_helpers import FILES, NAMES, ROWS, SHARDS, grouped, whole
from .test_kills import tree
from .verify_helpers import FOLDERS, cells, flip, remove, write

# -- written and read --------------------------------------------------------------------------


@pytest.mark.parametrize("format", FOLDERS)
def test_a_set_in_pieces_has_the_images_rows_and_record_of_one_without(format, few, tmp_path):
    one, other = whole(tmp_path / "one", format), tmp_path / "other"
    write(other, format)
    expected, found = cp.read(one), cp.read(other)
    assert_equal_sets(found, expected)
    assert (found.masks[:] == expected.masks[:]).all()
    assert not found.unread
    assert load_record(other) == load_record(one)
    indices = [load_index(path, load_manifest(path)) for path in (other, one)]
    assert indices[0].to_pylist() == indices[1].to_pylist()
    known = {name: data for name, data in tree(one).items() if name not in (INDEX, MANIFEST)}
    written = tree(other)
    assert {name for name in written if name not in known} == {MANIFEST, *FILES}
    for name, data in known.items():
        assert name in ("README.md", "croissant.json") or written[name] == data
    assert cp.verify(other).empty


def test_a_set_of_as_many_shards_as_a_piece_has_is_written_without_pieces(monkeypatch, tmp_path):
    for most in (SHARDS, SHARDS - 1):
        monkeypatch.setattr(pieces, "SHARDS_PER_PIECE", most)
        write(tmp_path / str(most))
        assert (tmp_path / str(most) / INDEX).exists() == (most == SHARDS)
    assert tree(tmp_path / str(SHARDS)) == tree(whole(tmp_path / "plain"))


@given(rows=st.integers(1, 30), most=st.integers(1, 30), shuffled=st.randoms())
def test_reading_does_not_depend_on_the_sizes_of_shards_and_pieces(
    rows, most, shuffled, tmp_path_factory
):
    path, made = tmp_path_factory.mktemp("sizes") / "out", cells()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SHARDS_PER_PIECE", most)
        write(path, rows_per_shard=rows)
        found = cp.read(path)
        assert_equal_sets(found, made)
        at = shuffled.sample(range(-ROWS, ROWS), 9)
        assert (cp.replay(path, made.chain[0], at) == made.images[:][at]).all()
        assert ("pieces" in manifests.load(path)) == (-(-ROWS // rows) > most)


@pytest.mark.parametrize("format", FOLDERS)
def test_groups_and_decisions_are_in_every_piece(format, few, tmp_path):
    made = grouped()
    cp.write(made, tmp_path / "out", format=format, rows_per_shard=7, progress=False)
    found = cp.read(tmp_path / "out")
    assert_equal_sets(found, made)
    assert found.plan.rows.decided.tolist() == made.plan.rows.decided.tolist()
    assert found.plan.rows.decided.sum() == 3


def test_an_intact_set_is_not_written_again(few, tmp_path):
    """Also where the digests of the shards identify the source."""
    plain = cells().chain[0]
    for made, path in ((cells(), tmp_path / "made"), (plain, tmp_path / "plain")):
        cp.write(made, path, rows_per_shard=5, progress=False)
        assert "pieces" in manifests.load(path)
        dated = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
        again = cp.write(made, path, rows_per_shard=5, progress=False)
        assert (again.resumed, again.repaired) == (ROWS, 0)
        assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == dated


@pytest.mark.parametrize("format", FOLDERS)
def test_a_set_made_from_pieces_continues_their_record(format, few, tmp_path):
    write(tmp_path / "first", format)
    whole(tmp_path / "one", format)
    step = cp.Recipe([cp.RandAugment(copies=2)], seed=8)
    made = step(cp.read(tmp_path / "first"))
    cp.write(made, tmp_path / "second", format=format, rows_per_shard=5, progress=False)
    source = manifests.load(tmp_path / "second")["made_of"]["source"]
    assert len(source) < 300
    expected = step(cp.read(tmp_path / "one")).images[:]
    for at in (None, [70, 3, 3, -1], np.arange(72) % 7 == 0):
        found = cp.replay(tmp_path / "second", cells().chain[0], at)
        assert (found == (expected if at is None else expected[at])).all()


def test_a_row_that_does_not_exist_is_not_replayed(few, tmp_path):
    write(tmp_path / "out")
    for row in (ROWS, -ROWS - 1):
        with pytest.raises(IndexError):
            cp.replay(tmp_path / "out", cells().chain[0], [row])


def test_parquet_readers_read_the_index_of_all_pieces(few, tmp_path):
    write(tmp_path / "out")
    one = pd.read_parquet(whole(tmp_path / "one") / INDEX)
    found = pd.read_parquet(tmp_path / "out" / "index")
    pd.testing.assert_frame_equal(found, one, check_categorical=False)


def test_a_class_may_have_the_name_of_the_folder_of_pieces(few, tmp_path):
    images, labels = cells().to_arrays()
    named = cp.Dataset.from_arrays(images, labels > 3, ["index", "other"])
    cp.write(named, tmp_path / "out", format="folder", rows_per_shard=5, progress=False)
    assert_equal_sets(cp.read(tmp_path / "out"), named)
    assert {file.name for file in (tmp_path / "out/index").iterdir()} == {
        Path(name).name for name in FILES
    }
    write(tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out/index_").exists()


def test_only_what_is_used_is_read(few, tmp_path):
    write(tmp_path / "out")
    found = cp.read(tmp_path / "out")
    for _, entries in NAMES:
        remove(tmp_path / "out" / entries)
    assert (found.images[:] == cells().images[:]).all()
    assert len(cp.read(tmp_path / "out")) == ROWS  # a local set needs no stamps of its shards


def test_the_manifest_names_each_piece_once(few, tmp_path):
    write(tmp_path / "out")
    saved = manifests.load(tmp_path / "out")
    assert not saved.keys() & {"shards", "sha256"}
    assert [piece["rows"] for piece in saved["pieces"]] == [10, 10, 4]
    assert [piece["shards"] for piece in saved["pieces"]] == [2, 2, 1]
    assert saved["layout"] == 3


@pytest.mark.parametrize("format", FOLDERS)
def test_mlcroissant_reads_the_rows_of_all_pieces(format, few, tmp_path):
    mlc = pytest.importorskip("mlcroissant")
    write(tmp_path / "out", format)
    found = mlc.Dataset(tmp_path / "out" / "croissant.json")
    assert not found.metadata.issues.errors
    labels = [row["rows/label"] for row in found.records("rows")]
    assert sorted(labels) == sorted(cells().labels.tolist())


def test_the_card_names_the_files_with_all_digests(few, tmp_path):
    write(tmp_path / "out", rows_per_shard=1)
    card = (tmp_path / "out/README.md").read_text("utf-8")
    assert manifests.load(tmp_path / "out")["pieces"][3]["index"]["xxh3_128"] in card
    assert "And 52 more, in `dataset.json` and `index/*.json`." in card  # 24 and 48 files, less 20


# -- rows that are read when they are needed ---------------------------------------------------


@pytest.mark.parametrize("format", ["shards", "zarr"])
def test_rows_of_a_large_set_are_read_piece_by_piece(format, large, tmp_path):
    path, made = tmp_path / "out", grouped()
    cp.write(made, path, format=format, rows_per_shard=7, progress=False)
    expected = made.plan.rows
    table = cp.read(path).source.table
    for at in (slice(5, 40), slice(0, 0), np.array([71, 3, 50, 3, 20]), np.arange(72), slice(None)):
        found = table.take(at)
        for name in ("ids", "id_keys", "labels", "copies", "groups", "decided"):
            assert (getattr(found, name) == getattr(expected, name)[at]).all()
        assert found.parts is None
    assert table.counts(8).tolist() == np.bincount(expected.labels, minlength=8).tolist()
    assert_equal_sets(cp.read(path), made)


def test_only_pieces_of_the_requested_rows_are_read(large, tmp_path):
    path = tmp_path / "out"
    write(path)
    table = cp.read(path).source.table
    remove(path / NAMES[1][0])
    assert table.take(slice(20, 24)).ids.tolist() == [20, 21, 22, 23]
    for at in (np.array([2, 10]), slice(None)):
        with pytest.raises(CellprepError, match=r"00001\.parquet' cannot be read"):
            table.take(at)
    assert len(pickle.dumps(table)) < 4000


@pytest.mark.parametrize("format", ["shards", "zarr"])
def test_a_large_set_is_the_source_of_the_same_set(format, large, tmp_path):
    write(tmp_path / "pieces", format)
    step = cp.Recipe([cp.Dedupe(), cp.Balance(), cp.RandAugment(copies=1)], seed=8)
    cp.write(step(cp.read(tmp_path / "pieces")), tmp_path / "out", progress=False)
    expected = step(cp.Dataset.from_arrays(cells().images[:], cells().labels)).images[:]
    assert (cp.read(tmp_path / "out").images[:] == expected).all()
    order = np.random.default_rng(0).permutation(len(expected))
    assert (step(cp.read(tmp_path / "pieces")).images[order] == expected[order]).all()


def test_pieces_with_other_columns_are_refused(large, tmp_path):
    path = tmp_path / "out"
    cp.write(grouped(), path, rows_per_shard=7, progress=False)
    index = pq.read_table(path / NAMES[1][0])
    pq.write_table(index.drop_columns(["group"]), path / NAMES[1][0])
    manifests.save_with_index(path, manifests.load(path))
    for use in (lambda table: table.take(np.array([0, 20])), lambda table: table.rows):
        with pytest.raises(CellprepError) as error:
            use(cp.read(path).source.table)
        assert "index" in str(error.value)
        assert "\n" not in str(error.value)


# -- URLs and processes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "root"),
    [
        *((format, "memory") for format in FOLDERS),
        ("shards", "s3"),
        *(pytest.param(f, "s3", marks=pytest.mark.slow) for f in FOLDERS if f != "shards"),
    ],
)
def test_pieces_at_a_url_are_those_on_disk(format, root, few, tmp_path, request):
    pytest.importorskip("upath")
    url = f"memory://cells/{tmp_path.name} [1]"
    if root == "s3":
        url = request.getfixturevalue("s3")
    options = {"format": format, "rows_per_shard": 5, "masks": True, "progress": False}
    cp.write(cells(), f"{url}/out", **options)
    write(tmp_path / "out", format)
    assert below(f"{url}/out") == tree(tmp_path / "out")
    found = cp.read(f"{url}/out")
    assert_equal_sets(found, cp.read(tmp_path / "out"))
    assert (found.masks[[23, 4]] == cells().masks[[23, 4]]).all()
    assert not found.unread
    assert (cp.replay(f"{url}/out", cells().chain[0], [21]) == cells().images[[21]]).all()
    made = cp.Recipe([cp.Jitter()])(found)
    cp.write(made, tmp_path / "next", progress=False)
    assert (cp.replay(tmp_path / "next", cells().chain[0]) == made.images[:]).all()
    path: Any = cp.read(f"{url}/out").source.path
    for name in NAMES[1]:
        (path / name).fs.rm_file((path / name).path)
    assert {*cp.verify(f"{url}/out")["file"]} == {*NAMES[1]}
    assert cp.write(cells(), f"{url}/out", **options).repaired == 10
    assert below(f"{url}/out") == tree(tmp_path / "out")
    cp.write(cells(), f"{url}/out", **{**options, "rows_per_shard": 24}, overwrite=True)
    assert not [name for name in below(f"{url}/out") if name in FILES]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["shards", "folder"])
def test_processes_use_the_same_pieces_as_threads(format, few, tmp_path):
    write(tmp_path / "threads", format)
    write(tmp_path / "processes", format, executor="processes")
    assert tree(tmp_path / "processes") == tree(tmp_path / "threads")
    flip(tmp_path / "processes" / NAMES[1][0])
    options = {"executor": "processes", "workers": 2, "progress": False}
    assert cp.verify(tmp_path / "processes", **options)["file"].tolist() == [NAMES[1][0]]
    assert write(tmp_path / "processes", format, executor="processes").repaired == 10
    made = cp.Recipe([cp.Jitter()])(cp.read(tmp_path / "processes"))
    cp.write(made, tmp_path / "next", **options)
    assert (cp.replay(tmp_path / "next", cells().chain[0]) == made.images[:]).all()
