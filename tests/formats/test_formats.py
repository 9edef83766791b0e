"""What every file format promises, and what zarr and TFRecord give to others and take from them."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import cellprep as cp
from cellprep import cli
from cellprep.errors import CellprepError
from cellprep.formats import FORMATS, tfrecord
from cellprep.synthetic import CLASS_NAMES

from ..writing.test_write import (
    assert_equal_sets,
    breaking,
    dataset,
    kill_everywhere,
    outcome,
    tree,
)

MANY = [name for name, format in FORMATS.items() if format.writer is not None]
NAMES = [f"../{name} / é" for name in CLASS_NAMES]
RECIPE = cp.Recipe(
    [cp.Dedupe(), cp.Balance(target=dict.fromkeys(NAMES, 6)), cp.RandAugment(copies=1)], seed=7
)


def place(folder: Path, format: str) -> Path:
    return folder / ("out.npz" if FORMATS[format].is_file else "out")


def write(made: cp.Dataset, path: Path, format: str, **options: Any) -> Path:
    cp.write(made, path, format=format, **{"rows_per_shard": 20, "progress": False, **options})
    return path


@cache
def grouped() -> cp.Dataset:
    """35 cells with names that no file could have, groups and drawn masks; a class is empty."""
    cells = dataset()
    masks = np.arange(24 * 24).reshape(24, 24) % np.arange(2, 37)[:, None, None] == 0
    return cp.Dataset.from_arrays(
        cells.to_arrays()[0],
        cells.labels,
        [*NAMES, "none of these"],
        ids=[f"../../{id}\n'" for id in cells.ids],
        groups=[f"/patient {n // 2}" for n in range(35)],
        masks=masks,
    )


# -- every format -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Callable[[str], Path]:
    """The cells in a format, written once."""

    @cache
    def path(format: str) -> Path:
        to = place(tmp_path_factory.mktemp(format), format)
        return write(RECIPE(grouped()), to, format, masks=True)

    return path


@pytest.mark.parametrize("new", FORMATS)
@pytest.mark.parametrize("old", FORMATS)
def test_any_format_becomes_any_other(old, new, written, tmp_path) -> None:
    out, made = place(tmp_path, new), RECIPE(grouped())
    asked = [str(written(old)), str(out), "--format", new, "--masks", "--rows-per-shard", "9"]
    done = CliRunner().invoke(cli.main, ["convert", *asked])
    assert done.exit_code == 0, done.output
    again = cp.read(out)
    assert_equal_sets(again, made)
    np.testing.assert_array_equal(again.masks[:], made.masks[:])
    some = [70, 3, 3, 50]
    np.testing.assert_array_equal(again.images[some], made.images[some])
    np.testing.assert_array_equal(again.masks[some], made.masks[some])
    np.testing.assert_array_equal(cp.replay(out, grouped(), some), made.images[some])
    outside = {entry.name for entry in tmp_path.parent.parent.iterdir()}
    assert not any("cell" in name or "patient" in name for name in outside)


@pytest.mark.parametrize("format", sorted(FORMATS.keys() - {"shards", "folder", "npz"}))
def test_bytes_depend_on_no_worker(format, tmp_path) -> None:
    made = RECIPE(grouped())
    one, three, others = (place(tmp_path / name, format) for name in ("one", "three", "others"))
    write(made, one, format, workers=1, masks=True)
    write(made, three, format, workers=3, masks=True)
    write(made, others, format, workers=2, masks=True, executor="processes")
    assert tree(one) == tree(three) == tree(others)


@pytest.mark.parametrize("format", MANY)
def test_stopped_in_the_middle_it_goes_on(format, tmp_path) -> None:
    jitter, options = cp.Recipe([cp.Jitter()]), {"rows_per_shard": 5, "workers": 1}
    path = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        write(jitter(breaking(dataset(), KeyboardInterrupt())), path, format, **options)
    assert not list(path.rglob("*.tmp"))
    with pytest.raises(CellprepError, match="not written to the end"):
        cp.read(path)
    assert cp.write(jitter(dataset()), path, format=format, progress=False, **options).resumed == 15
    write(jitter(dataset()), tmp_path / "whole", format, **options)
    assert tree(path) == tree(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(("format", "before"), [("zarr", "new"), ("tfrecord", "zarr")])
def test_killed_before_any_change_of_the_file_system_it_goes_on(format, before, tmp_path) -> None:
    assert int(outcome(kill_everywhere, tmp_path, format, before)) > 25


@pytest.mark.parametrize("new", FORMATS)
@pytest.mark.parametrize("old", FORMATS)
@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
def test_another_format_leaves_nothing_behind(old, new, complete, tmp_path) -> None:
    path, mine = tmp_path / "out", {}
    if complete:
        write(grouped(), path, old, masks=True)
    elif not FORMATS[old].is_file:
        with pytest.raises(KeyboardInterrupt):
            write(breaking(dataset(), KeyboardInterrupt()), path, old, rows_per_shard=5, workers=1)
    if path.is_dir() and not FORMATS[new].is_file:
        mine = {"shard-mine.tfrecord": b"mine", "images/mine": b"mine", "ids/c.1.txt": b"mine"}
        for name, data in mine.items():
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_bytes(data)
    write(dataset(n=30), path, new, overwrite=True)
    write(dataset(n=30), tmp_path / "reference", new)
    assert tree(path) == {**tree(tmp_path / "reference"), **mine}
    folders = {entry.name for entry in path.rglob("*") if entry.is_dir()}
    expected = {entry.name for entry in (tmp_path / "reference").rglob("*") if entry.is_dir()}
    assert folders == expected | ({"images", "ids"} if mine else set())


@pytest.mark.parametrize(
    "format", sorted({"zarr", "tfrecord", *(f for f in MANY if FORMATS[f].needs)})
)
def test_a_missing_library_is_said_before_anything_is_written(
    format, tmp_path, monkeypatch
) -> None:
    write(dataset(), tmp_path / "out", "shards")
    before = tree(tmp_path)
    assert FORMATS[format].needs
    for module in FORMATS[format].needs:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(CellprepError, match=rf"{module}.*'cellprep\[{format}\]'"):
                write(dataset(), tmp_path / "out", format, overwrite=True)
    assert tree(tmp_path) == before


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 100)


def no_bytes(file: Path) -> None:
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    file.write_bytes(b"garbage, and no more")


def scratch(file: Path) -> None:
    """A byte in the middle of a file changes."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


DAMAGES = [cut, no_bytes, garbage, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("zarr", "images/c.1.0.0.0"),
        ("zarr", "masks/c.0.0.0"),
        ("zarr", "zarr.json"),
        ("zarr", "images/zarr.json"),
        ("tfrecord", "shard-00001.tfrecord"),
        ("tfrecord", "index.parquet"),
    ],
)
def test_what_is_damaged_is_named_in_one_line(format, name, damage, tmp_path) -> None:
    path = write(grouped(), tmp_path / "out", format, masks=True)
    damage(path / name)
    with pytest.raises(CellprepError) as error:
        cp.read(path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["files", "rows"])
@pytest.mark.parametrize("format", ["zarr", "tfrecord"])
def test_a_manifest_without_its_files_is_refused(format, key, tmp_path) -> None:
    path = write(grouped(), tmp_path / "out", format)
    manifest = json.loads((path / "dataset.json").read_text())
    del manifest["shards"][1][key]
    (path / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(CellprepError, match=r"dataset\.json.* damaged"):
        cp.read(path)


# -- zarr -------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    st.integers(1, 70),
    st.integers(1, 50),
    st.sampled_from([(4, 5), (24, 24), (400, 150)]),
    st.booleans(),
)
def test_zarr_writes_and_reads_the_same(n, rows, shape, masked) -> None:
    zarr = pytest.importorskip("zarr")
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, *shape, 3)).astype(np.uint8)
    masks = rng.integers(0, 2, (n, *shape)).astype(bool) if masked else None
    cells = cp.Dataset.from_arrays(images, np.zeros(n, int), ["x"], masks=masks)
    with tempfile.TemporaryDirectory() as folder:
        path = write(cells, Path(folder) / "a", "zarr", rows_per_shard=rows, masks=masked)
        group = zarr.open_group(path, mode="r")
        for name, values in {"images": images, "masks": masks}.items():
            if values is None:
                continue
            ours = group[name]
            np.testing.assert_array_equal(ours[:], values)
            theirs = zarr.create_array(
                Path(folder) / "b" / name,
                shape=values.shape,
                dtype=values.dtype,
                chunks=ours.chunks,
                shards=ours.shards,
                compressors=None,
                config={"write_empty_chunks": True},
                chunk_key_encoding={"name": "default", "separator": "."},
            )
            theirs[:] = values
            for part, expected in tree(Path(folder) / "b" / name).items():
                if part.startswith("c"):
                    assert (path / name / part).read_bytes() == expected


def test_anybody_opens_our_zarr(tmp_path) -> None:
    zarr, made = pytest.importorskip("zarr"), RECIPE(grouped())
    path = write(made, tmp_path / "out", "zarr", masks=True)
    group = zarr.open(path, mode="r")
    assert group.attrs["class_names"] == list(made.class_names)
    for name in ("images", "masks", "labels", "ids", "copies"):
        np.testing.assert_array_equal(group[name][:], getattr(made, name)[:])
    np.testing.assert_array_equal(group["images"][33], made.images[33])
    assert sorted(group) == ["copies", "groups", "ids", "images", "labels", "masks"]
    assert (
        len(list(group["images"].store_path.store.root.glob("images/c.*"))) == len(made) // 20 + 1
    )


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_of_others_is_read(version, tmp_path) -> None:
    zarr, cells = pytest.importorskip("zarr"), grouped()
    group = zarr.create_group(tmp_path / "g", zarr_format=version)
    for name, values in {"x": cells.images[:], "y": cells.labels, "m": cells.masks[:]}.items():
        array = group.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=values.shape
        )
        array[:] = values
    with pytest.raises(CellprepError, match=r"has no array 'images'.*m, x, y.*images="):
        cp.read(tmp_path / "g")
    theirs = cp.read(tmp_path / "g", images="x", labels="y", masks="m")
    np.testing.assert_array_equal(theirs.images[[4, 4, 1]], cells.images[[4, 4, 1]])
    np.testing.assert_array_equal(theirs.masks[3:9], cells.masks[3:9])
    assert theirs.labels.tolist() == cells.labels.tolist()
    write(theirs, tmp_path / "out", "zarr", executor="processes")
    before = theirs.source.identity()
    group["x"][0] = 0
    changed = cp.read(tmp_path / "g", images="x", labels="y", masks="m")
    assert changed.source.identity() != before
    with pytest.raises(CellprepError, match="`y` must be"):
        cp.read(tmp_path / "g", images="y", labels="y")
    chunk = max((tmp_path / "g" / "x").rglob("*"), key=lambda file: file.stat().st_size)
    chunk.write_bytes(b"garbage")
    with pytest.raises(CellprepError, match=r"array 'x' in .* cannot be read"):
        cp.read(tmp_path / "g", images="x", labels="y").to_arrays()


def test_zarr_of_ours_is_read_without_its_manifest(tmp_path) -> None:
    made = RECIPE(grouped())
    path = write(made, tmp_path / "out", "zarr", masks=True)
    (path / "dataset.json").unlink()
    assert_equal_sets(cp.read(path), made)
    np.testing.assert_array_equal(cp.read(path, masks="masks").masks[:], made.masks[:])


def test_zarr_holds_no_objects(tmp_path) -> None:
    pytest.importorskip("zarr")
    array = {
        **{"zarr_format": 2, "shape": [1, 4, 4, 3], "chunks": [1, 4, 4, 3], "dtype": "|O"},
        **{"filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle"}, "order": "C"},
        "fill_value": None,
    }
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".zarray").write_text(json.dumps(array))
        (tmp_path / name / "0.0.0.0").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(CellprepError, match="Python objects, which may run code"):
        cp.read(tmp_path)


@pytest.mark.parametrize("text", ["", '{"zarr_format": 3, "node_type": "array"}', "[" * 9])
def test_what_is_no_zarr_group_is_refused(text, tmp_path) -> None:
    (tmp_path / "zarr.json").write_text(text)
    with pytest.raises(CellprepError, match="not a zarr group, or a damaged one"):
        cp.read(tmp_path)


# -- TFRecord ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tf() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return pytest.importorskip("tensorflow")


def test_tensorflow_parses_what_we_write(tf, tmp_path) -> None:
    made = RECIPE(grouped())
    path = write(made, tmp_path / "out", "tfrecord", masks=True)
    said = json.loads((path / "dataset.json").read_text())["features"]
    kinds = {"int64": tf.int64, "utf-8": tf.string, "raw": tf.string}
    spec = {
        name: tf.io.FixedLenFeature([], kinds[of["encoding"]], None) for name, of in said.items()
    }
    files = sorted(map(str, path.glob("*.tfrecord")))
    parsed = [tf.io.parse_single_example(record, spec) for record in tf.data.TFRecordDataset(files)]

    def pixels(name: str) -> np.ndarray:
        shape = said[name]["shape"]
        return np.stack([tf.reshape(tf.io.decode_raw(x[name], tf.uint8), shape) for x in parsed])

    np.testing.assert_array_equal(pixels("image"), made.images[:])
    np.testing.assert_array_equal(pixels("mask") > 0, made.masks[:])
    for row, table in zip(parsed, made.table().itertuples(), strict=True):
        assert row["label"].numpy() == table.label
        assert row["id"].numpy().decode() == table.id
        assert row["copy"].numpy() == table.copy
        assert row["class_name"].numpy().decode() == table.class_name
        assert row["group"].numpy().decode() == table.group
        assert (row["height"].numpy(), row["width"].numpy()) == (24, 24)


@pytest.fixture
def records(tf, tmp_path) -> Callable[..., Path]:
    """A folder of TFRecords that TensorFlow wrote: the drawn cells as PNG."""

    def feature(value: Any) -> Any:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(value)))

    def make(label: Callable[[int], Any] = int, **changed: bytes) -> Path:
        folder = tmp_path / "theirs"
        folder.mkdir()
        for number in range(2):
            name = str(folder / f"cells.tfrecord-{number:05}-of-00002")
            with tf.io.TFRecordWriter(name) as writer:
                for row in range(number, 35, 2):
                    image = tf.io.encode_png(grouped().images[row]).numpy()
                    values = {
                        "image/encoded": changed.get(f"row{row}", image),
                        "image/label": label(grouped().labels[row]),
                    }
                    features = tf.train.Features(
                        feature={name: feature(value) for name, value in values.items()}
                    )
                    example = tf.train.Example(features=features)
                    writer.write(example.SerializeToString())
        return folder

    return make


THEIRS = {"image": "image/encoded", "label": "image/label"}
ORDER = [*range(0, 35, 2), *range(1, 35, 2)]


@pytest.mark.parametrize(
    "label", [int, lambda n: CLASS_NAMES[n].encode(), lambda n: np.eye(8, dtype=int)[n]]
)
def test_what_tensorflow_writes_is_read(label, records, tmp_path) -> None:
    folder = records(label)
    with pytest.raises(CellprepError, match=r"no feature 'image'; .*image/encoded.*label="):
        cp.read(folder)
    theirs, cells = cp.read(folder, **THEIRS), grouped()
    np.testing.assert_array_equal(theirs.to_arrays()[0], cells.images[ORDER])
    np.testing.assert_array_equal(theirs.images[[30, 2]], cells.images[[ORDER[30], ORDER[2]]])
    names = np.array(theirs.class_names)[theirs.labels]
    expected = cells.labels[ORDER]
    if names.tolist() != expected.astype(str).tolist():
        assert names.tolist() == [CLASS_NAMES[n] for n in expected]
    assert theirs.ids[18] == "cells.tfrecord-00001-of-00002:0"
    assert cp.read(folder, size=12, **THEIRS).shape == (35, 12, 12, 3)
    write(theirs, tmp_path / "out", "tfrecord", executor="processes")
    np.testing.assert_array_equal(cp.read(tmp_path / "out").images[:], cells.images[ORDER])


def test_an_image_that_cannot_be_decoded_is_named(records, tmp_path) -> None:
    theirs = cp.read(records(row3=b"no image", row4=b""), **THEIRS)
    with pytest.raises(
        cp.BadImagesError, match=r"cells\.tfrecord-00001-of-00002 at byte .* is not"
    ):
        write(theirs, tmp_path / "out", "tfrecord")
    done = cp.write(theirs, tmp_path / "out", format="tfrecord", on_error="skip", progress=False)
    assert done.rows == 33


@pytest.mark.parametrize("damage", [cut, no_bytes, garbage, scratch])
def test_damaged_records_of_others_are_named(damage, records) -> None:
    folder = records()
    for file in folder.iterdir():
        damage(file)
    with pytest.raises(CellprepError, match=r"cells\.tfrecord|holds no records") as error:
        cp.read(folder, **THEIRS)
    assert "\n" not in str(error.value)


def test_a_scratch_in_a_record_of_ours_is_found_when_it_is_read(tmp_path) -> None:
    path = write(grouped(), tmp_path / "out", "tfrecord")
    scratch(path / "shard-00001.tfrecord")
    cells = cp.read(path)
    np.testing.assert_array_equal(cells.images[:20], grouped().images[:20])
    with pytest.raises(CellprepError, match=r"shard-00001\.tfrecord' is cut short or damaged"):
        cells.to_arrays()


def test_records_of_ours_are_read_without_their_manifest(tmp_path) -> None:
    cells = grouped()
    made = RECIPE(cp.Dataset.from_arrays(cells.images[:], cells.labels, NAMES))
    path = write(made, tmp_path / "out", "tfrecord", masks=False)
    for name in ("dataset.json", "index.parquet"):
        (path / name).unlink()
    assert_equal_sets(cp.read(path), made)
    with pytest.raises(CellprepError, match="raw pixels; resize with"):
        cp.read(path, size=9)
    one = cp.read(path / "shard-00001.tfrecord")
    np.testing.assert_array_equal(one.images[:], made.images[20:40])


@pytest.mark.parametrize(
    ("column", "value"),
    [("shard", -1), ("shard", 99), ("offset", -5), ("offset", 10**15), ("length", 3)],
)
def test_an_index_leads_nowhere_else(column, value, tmp_path) -> None:
    path = write(grouped(), tmp_path / "out", "tfrecord")
    index = pd.read_parquet(path / "index.parquet")
    index.loc[7, column] = value
    pq.write_table(pa.Table.from_pandas(index), path / "index.parquet")
    manifest = json.loads((path / "dataset.json").read_text())
    manifest["files"] = {}
    (path / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(CellprepError, match="places row 7 outside its shard"):
        cp.read(path)


def test_packed_records_say_so(records) -> None:
    import gzip

    file = max(records().iterdir())
    packed = file.with_name("packed.tfrecord")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(CellprepError, match="is compressed; unpack it first"):
        cp.read(packed)


def test_our_message_is_that_of_tensorflow(tf) -> None:
    """Both in one process, and the same bytes."""
    example = tfrecord.example_type()()
    example.features.feature["b"].int64_list.value.extend([1, -2])
    example.features.feature["a"].bytes_list.value.append(b"x")
    example.features.feature["c"].float_list.value.append(0.5)
    theirs = tf.train.Example.FromString(example.SerializeToString())
    assert theirs.SerializeToString(deterministic=True) == example.SerializeToString(
        deterministic=True
    )
    assert theirs.features.feature["c"].float_list.value[0] == 0.5
