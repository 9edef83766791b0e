"""TFRecord: our files are read by TensorFlow, and its files are read by us."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats import tfrecord
from cellprep.synthetic import CLASS_NAMES

from .. import manifests
from ..writing.helpers import assert_equal_sets
from .helpers import (
    NAMES,
    RECIPE,
    empty,
    flip_a_bit,
    garble,
    grouped,
    truncate,
    write,
)


@pytest.fixture(scope="session")
def tf() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return pytest.importorskip("tensorflow")


def test_tensorflow_parses_our_records(tf, tmp_path) -> None:
    made = RECIPE(grouped())
    path = write(made, tmp_path / "out", "tfrecord", masks=True)
    described = json.loads((path / "dataset.json").read_text())["features"]
    kinds = {"int64": tf.int64, "utf-8": tf.string, "raw": tf.string}
    spec = {
        name: tf.io.FixedLenFeature([], kinds[of["encoding"]], None)
        for name, of in described.items()
    }
    files = sorted(map(str, path.glob("*.tfrecord")))
    parsed = [tf.io.parse_single_example(record, spec) for record in tf.data.TFRecordDataset(files)]

    def pixels(name: str) -> np.ndarray:
        shape = described[name]["shape"]
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
    """A folder of TFRecords that TensorFlow wrote, with the cells as PNG."""

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


FEATURES = {"image": "image/encoded", "label": "image/label"}
ORDER = [*range(0, 35, 2), *range(1, 35, 2)]


@pytest.mark.parametrize(
    "label", [int, lambda n: CLASS_NAMES[n].encode(), lambda n: np.eye(8, dtype=int)[n]]
)
def test_records_written_by_tensorflow_are_read(label, records, tmp_path) -> None:
    folder = records(label)
    with pytest.raises(CellprepError, match=r"no feature 'image'; .*image/encoded.*label="):
        cp.read(folder)
    theirs, cells = cp.read(folder, **FEATURES), grouped()
    np.testing.assert_array_equal(theirs.to_arrays()[0], cells.images[ORDER])
    np.testing.assert_array_equal(theirs.images[[30, 2]], cells.images[[ORDER[30], ORDER[2]]])
    names = np.array(theirs.class_names)[theirs.labels]
    expected = cells.labels[ORDER]
    if names.tolist() != expected.astype(str).tolist():
        assert names.tolist() == [CLASS_NAMES[n] for n in expected]
    assert theirs.ids[18] == "cells.tfrecord-00001-of-00002:0"
    assert cp.read(folder, size=12, **FEATURES).shape == (35, 12, 12, 3)
    write(theirs, tmp_path / "out", "tfrecord", executor="processes")
    np.testing.assert_array_equal(cp.read(tmp_path / "out").images[:], cells.images[ORDER])


def test_a_record_with_an_undecodable_image_is_named(records, tmp_path) -> None:
    theirs = cp.read(records(row3=b"no image", row4=b""), **FEATURES)
    with pytest.raises(
        cp.BadImagesError, match=r"cells\.tfrecord-00001-of-00002 at byte .* is not"
    ):
        write(theirs, tmp_path / "out", "tfrecord")
    done = cp.write(theirs, tmp_path / "out", format="tfrecord", on_error="skip", progress=False)
    assert done.rows == 33


@pytest.mark.parametrize("damage", [truncate, empty, garble, flip_a_bit])
def test_damaged_record_files_are_named(damage, records) -> None:
    folder = records()
    for file in folder.iterdir():
        damage(file)
    with pytest.raises(CellprepError, match=r"cells\.tfrecord|has no records") as error:
        cp.read(folder, **FEATURES)
    assert "\n" not in str(error.value)


def test_a_changed_byte_in_our_record_is_detected_when_read(tmp_path) -> None:
    path = write(grouped(), tmp_path / "out", "tfrecord")
    flip_a_bit(path / "shard-00001.tfrecord")
    cells = cp.read(path)
    np.testing.assert_array_equal(cells.images[:20], grouped().images[:20])
    with pytest.raises(CellprepError, match=r"shard-00001\.tfrecord' is truncated or damaged"):
        cells.to_arrays()


def test_our_records_are_read_without_their_manifest(tmp_path) -> None:
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
def test_an_index_cannot_locate_rows_outside_their_shard(column, value, tmp_path) -> None:
    path = write(grouped(), tmp_path / "out", "tfrecord")
    index = pd.read_parquet(path / "index.parquet")
    index.loc[7, column] = value
    pq.write_table(pa.Table.from_pandas(index), path / "index.parquet")
    manifests.save_with_index(path, manifests.load(path))
    with pytest.raises(CellprepError, match="locates row 7 outside its shard"):
        cp.read(path)


def test_compressed_records_are_refused(records) -> None:
    import gzip

    file = max(records().iterdir())
    packed = file.with_name("packed.tfrecord")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(CellprepError, match="is compressed; unpack it first"):
        cp.read(packed)


def test_our_example_message_equals_that_of_tensorflow(tf) -> None:
    """Both can be used in one process, and give the same bytes."""
    example = tfrecord.example_type()()
    example.features.feature["b"].int64_list.value.extend([1, -2])
    example.features.feature["a"].bytes_list.value.append(b"x")
    example.features.feature["c"].float_list.value.append(0.5)
    theirs = tf.train.Example.FromString(example.SerializeToString())
    assert theirs.SerializeToString(deterministic=True) == example.SerializeToString(
        deterministic=True
    )
    assert theirs.features.feature["c"].float_list.value[0] == 0.5
