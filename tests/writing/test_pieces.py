"""Sets whose index and shards are listed in pieces: they are used like any other set."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.dataset.decisions import hex_digests
from cellprep.errors import CellprepError
from cellprep.formats import pieces
from cellprep.formats.index import load_index, load_record
from cellprep.formats.manifest import INDEX, MANIFEST
from cellprep.formats.written import load_manifest
from cellprep.plan import choice
from cellprep.plan.digests import digest
from cellprep.system import platform
from cellprep.writing.forecast import forecast
from cellprep.writing.job import plan_write
from cellprep.writing.shards import ShardTask

from .. import manifests
from .helpers import assert_equal_sets, below, start
from .test_kills import tree
from .verify_helpers import DAMAGE, FOLDERS, cells, flip, remove, write

ROWS, SHARDS = 24, 5
NAMES = [pieces.piece_files(number) for number in range(3)]
FILES = [name for names in NAMES for name in names]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of two shards, so that five shards have three."""
    monkeypatch.setattr(pieces, "SHARDS_PER_PIECE", 2)


def whole(path: Path, format: str = "shards", **options: Any) -> Path:
    """The same set without pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SHARDS_PER_PIECE", 4096)
        write(path, format, **options)
    return path


def grouped() -> cp.Dataset:
    """Decided rows of groups, and three copies of each."""
    images, labels = cells().chain[0].to_arrays()
    plain = cp.Dataset.from_arrays(images, labels, groups=np.arange(ROWS) // 2)
    found = hex_digests(digest(images[3:4]))[0]
    decided = cp.Decide([{"id": "3", "decision": "keep", "digest": found}])
    return cp.Recipe([decided, cp.RandAugment(copies=2)], seed=1)(plain)


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


@pytest.fixture
def large(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of two shards, and so few rows that a table computes at once."""
    monkeypatch.setattr(choice, "SMALL", 3)


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


# -- killed and resumed ------------------------------------------------------------------------


def interrupt_at(moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt a write when it renames its nth file."""
    replace, left = platform.replace, iter(range(moment, -1, -1))

    def replaced(source: Path, target: Path) -> None:
        if next(left, 1) == 0:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(platform, "replace", replaced)


OF_SHARDS = ("*.npy", "*.tar", "*.png", "*.tfrecord", "c.*.0.0*", "train-*")


@pytest.mark.parametrize("format", FOLDERS)
def test_a_write_interrupted_at_any_moment_is_resumed(format, few, tmp_path):
    write(tmp_path / "reference", format, workers=1)
    expected, interrupted = tree(tmp_path / "reference"), 0
    for moment in range(0, 1000, 5 if format == "folder" else 2):
        path = tmp_path / str(moment)
        with pytest.MonkeyPatch.context() as patch:
            interrupt_at(moment, patch)
            try:
                write(path, format, workers=1)
                break
            except KeyboardInterrupt:
                interrupted += 1
        shards = [file for pattern in OF_SHARDS for file in path.rglob(pattern)]
        records = len([*path.glob(".cellprep/part-*")])
        dated = {file: file.stat().st_mtime_ns for file in shards}
        again = write(path, format, workers=1)
        assert again.resumed == min(5 * records, ROWS)
        assert tree(path) == expected
        if records == SHARDS:
            assert {file: file.stat().st_mtime_ns for file in shards} == dated
    assert interrupted > 6


def killed_at(path: str, format: str, name: str) -> None:
    """Write a set, and die before a file gets its final name."""
    replace = platform.replace

    def replaced(source: Path, target: Path) -> None:
        if target == Path(path) / name:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    pieces.SHARDS_PER_PIECE = 2
    platform.replace = replaced
    write(Path(path), format)


@pytest.mark.unix("no SIGKILL")
@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("shards", NAMES[0][0]),
        ("folder", NAMES[1][1]),
        ("zarr", NAMES[2][0]),
        ("parquet", "croissant.json"),
        ("shards", MANIFEST),
    ],
)
def test_a_killed_write_is_resumed(format, name, few, tmp_path):
    write(tmp_path / "reference", format)
    process = start(killed_at, tmp_path / "out", format, name)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(CellprepError, match="not written to the end"):
        cp.read(tmp_path / "out")
    assert write(tmp_path / "out", format).resumed >= 10
    assert tree(tmp_path / "out") == tree(tmp_path / "reference")


# -- damaged and repaired ----------------------------------------------------------------------


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("format", FOLDERS)
def test_a_damaged_file_of_a_piece_is_reported_and_rewritten(format, what, few, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    expected, (damage, states) = tree(path), DAMAGE[what]
    for name, rows in zip(FILES, (10, 10, 10, 10, 4, 4), strict=True):
        damage(path / name)
        table = cp.verify(path, progress=False)
        assert table[["file", "rows"]].values.tolist() == [[name, rows]]
        assert table["state"][0] in states
        dated = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}
        job = plan_write(cells(), path, format=format, rows_per_shard=5, masks=True)
        assert forecast(job).resumed == ROWS - rows
        assert write(path, format).repaired == rows
        assert tree(path) == expected
        changed = {file for file in dated if file.stat().st_mtime_ns != dated[file]}
        assert changed <= {path / name}


@pytest.mark.parametrize("format", FOLDERS)
def test_everything_damaged_is_rewritten(format, few, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    expected = tree(path)
    for name in expected:
        if name != MANIFEST:
            flip(path / name)
    assert {*cp.verify(path)["file"]} >= {*FILES}
    assert write(path, format).repaired == ROWS
    assert tree(path) == expected


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize("of_piece", NAMES[1])
def test_a_shard_is_repaired_with_a_file_of_its_piece(format, of_piece, few, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    expected = tree(path)
    of_shard = [*pieces.Shards(path, load_manifest(path))[2]["files"]]
    index = load_index(path, load_manifest(path))
    victim = of_shard[0] if of_shard else index["file"][10].as_py()
    flip(path / victim)
    flip(path / of_piece)
    assert of_piece in {*cp.verify(path)["file"]}
    assert write(path, format).repaired == 10
    assert tree(path) == expected


def test_an_interrupted_repair_of_a_piece_is_resumed(few, tmp_path):
    path = tmp_path / "out"
    write(path)
    expected = tree(path)
    for moment in range(0, 100):
        for name in (*NAMES[0], "shard-00001.npy", "masks-00003.npy"):
            flip(path / name)
        with pytest.MonkeyPatch.context() as patch:
            interrupt_at(moment, patch)
            try:
                write(path, workers=1)
                break
            except KeyboardInterrupt:
                pass
        assert write(path, workers=1).rows == ROWS
        assert tree(path) == expected
    assert moment > 8
    assert tree(path) == expected


@pytest.mark.parametrize("format", ["shards", "folder"])
def test_images_that_do_not_match_the_entries_replace_nothing(format, few, tmp_path, monkeypatch):
    path = tmp_path / "out"
    write(path, format)
    remove(path / NAMES[0][1])
    before, make = tree(path), ShardTask._blocks

    def other_pixels(self: ShardTask, *arguments: Any) -> Iterator[Any]:
        for images, masks in make(self, *arguments):
            yield images ^ 1, masks

    monkeypatch.setattr(ShardTask, "_blocks", other_pixels)
    with pytest.raises(CellprepError, match="does not match its digest recorded"):
        write(path, format)
    found = {name: data for name, data in tree(path).items() if not name.startswith(".cellprep")}
    found.pop(NAMES[0][1], None)  # of a folder, it does not depend on the images
    assert found == before


def test_an_index_of_another_version_of_pyarrow_gets_other_stamps(few, tmp_path, monkeypatch):
    path, writer = tmp_path / "out", pq.ParquetWriter
    write(path)
    before = manifests.load(path)
    remove(path / NAMES[1][0])
    monkeypatch.setattr(
        pq, "ParquetWriter", lambda file, schema: writer(file, schema, compression="gzip")
    )
    assert write(path).repaired == 10
    assert cp.verify(path).empty
    after = manifests.load(path)
    assert after["pieces"][1]["index"] != before["pieces"][1]["index"]
    assert after["pieces"][0] == before["pieces"][0]
    assert_equal_sets(cp.read(path), cells())


# -- overwritten -------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
def test_an_overwritten_set_leaves_nothing_behind(format, finished, few, tmp_path):
    path, reference = tmp_path / "out", whole(tmp_path / "reference")
    write(path, format, seed=4)
    if not finished:
        (path / ".cellprep").mkdir()
        (path / MANIFEST).rename(path / ".cellprep/plan.json")
    whole(path, overwrite=True)
    assert tree(path) == tree(reference)
    assert not (path / "index").exists()
    write(path, format, overwrite=True)
    assert not (path / INDEX).exists()
    assert cp.verify(path).empty
    assert not cp.read(path).unread


def test_files_of_the_user_among_the_pieces_are_kept_and_listed(few, tmp_path):
    path = tmp_path / "out"
    write(path)
    (path / "index/notes.txt").write_text("mine")
    (path / "index/00009.parquet").write_text("left by nobody")
    assert [name for name, _ in cp.read(path).source.unread] == [
        "index/00009.parquet",
        "index/notes.txt",
    ]
    with pytest.raises(CellprepError, match="file of yours"):
        cp.write(cells(), path, format="npz", overwrite=True, progress=False)
    whole(path, overwrite=True)
    assert [file.name for file in (path / "index").iterdir()] == ["notes.txt"]


def test_a_set_in_pieces_may_become_a_file(few, tmp_path):
    write(tmp_path / "out.npz")
    cp.write(cells(), tmp_path / "out.npz", format="npz", overwrite=True, progress=False)
    assert_equal_sets(cp.read(tmp_path / "out.npz"), cells())


# -- URLs and processes ------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["memory", "s3"])
@pytest.mark.parametrize("format", FOLDERS)
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


# -- bad input ---------------------------------------------------------------------------------


def restamped(path: Path, name: str, data: bytes) -> None:
    """Change a file of a piece, with its stamp, to test other checks."""
    (path / name).write_bytes(data)
    manifests.save_with_index(path, manifests.load(path))


def changed_entries(change: Callable[[list[Any]], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        entries = json.loads((path / NAMES[0][1]).read_text())["shards"]
        change(entries)
        restamped(path, NAMES[0][1], pieces.entries_bytes(entries))

    return apply


def changed_pieces(change: Callable[[list[Any]], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        saved = manifests.load(path)
        change(saved["pieces"])
        manifests.save(path, saved)

    return apply


STAMP = {"bytes": 1, "xxh3_128": ""}
BAD = {
    "no entries": lambda path: restamped(path, NAMES[0][1], bytes(99)),
    "no JSON": lambda path: restamped(path, NAMES[0][1], b"[" * 100_000),
    "not sealed": lambda path: restamped(path, NAMES[0][1], b'{"shards": []}' + b" " * 99),
    "fewer entries": changed_entries(lambda entries: entries.pop()),
    "other rows": changed_entries(lambda entries: entries[0].update(rows=4)),
    "negative rows": changed_entries(lambda entries: entries[0].update(rows=-1)),
    "outside": changed_entries(lambda entries: entries[0].update(files={"../secret": STAMP})),
    "no stamps": changed_entries(lambda entries: entries[0].update(files={"a": {}})),
    "no pieces": changed_pieces(lambda found: found.clear()),
    "one piece": changed_pieces(lambda found: found.__delitem__(slice(1, None))),
    "no rows": changed_pieces(lambda found: found[0].update(rows=0)),
    "no shards": changed_pieces(lambda found: found[0].update(shards=0)),
    "huge": changed_pieces(lambda found: [p.update(rows=2**60, shards=2**60) for p in found]),
    "huge last": changed_pieces(lambda found: found[-1].update(rows=2**60)),
    "unequal": changed_pieces(lambda found: found[1].update(rows=12)),
    "odd": changed_pieces(lambda found: [piece.update(shards=3) for piece in found]),
    "unnamed": changed_pieces(lambda found: found[1].pop("entries")),
    "text": changed_pieces(lambda found: found[1].update(index="x")),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("format", ["webdataset", "folder"])
def test_bad_pieces_are_refused_in_one_line(format, what, few, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    (tmp_path / "secret").write_text("mine")
    BAD[what](path)
    only_entries = what in [*BAD][:8]
    for use in (cp.verify, cp.read, lambda path: write(path, format)):
        message = refusal(use, path)
        if format == "folder" and only_entries and use is cp.read:
            assert message is None  # it is read without them
        else:
            assert message is not None
            assert "\n" not in message
            assert (NAMES[0][1] in message) or not (only_entries and use is cp.read)
    if only_entries:
        write(path, overwrite=True)
        assert_equal_sets(cp.read(path), cells())
    assert (tmp_path / "secret").read_text() == "mine"


def refusal(use: Callable[[Path], object], path: Path) -> str | None:
    try:
        use(path)
    except CellprepError as error:
        return str(error)
    return None


@pytest.mark.parametrize("format", ["zarr", "tfrecord", "webdataset", "parquet"])
def test_entries_of_another_set_are_not_used(format, few, tmp_path):
    write(tmp_path / "out", format)
    write(tmp_path / "other", format, seed=4)
    (tmp_path / "other" / NAMES[1][1]).replace(tmp_path / "out" / NAMES[1][1])
    with pytest.raises(CellprepError, match="does not match its digest"):
        cp.read(tmp_path / "out")


@pytest.mark.parametrize("format", FOLDERS)
def test_pieces_of_another_set_are_not_used(format, few, tmp_path):
    path, other = tmp_path / "out", tmp_path / "other"
    write(path, format)
    write(other, format, seed=4)
    opened = cp.read(path)
    for name in FILES:
        (other / name).replace(path / name)
    with pytest.raises(CellprepError, match="does not match its digest"):
        cp.read(path).labels  # noqa: B018, some formats read no row before
    with pytest.raises(CellprepError, match="does not match its digest"):
        cp.write(cp.Recipe([cp.Jitter()])(opened), tmp_path / "next", progress=False)
