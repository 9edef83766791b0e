"""WebDataset, Parquet and MedMNIST files that cellprep did not write."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import cellprep as cp
from cellprep import cli
from cellprep.formats import codec, npz, parquet, webdataset
from cellprep.report.inspect import inspect

from .exchange_helpers import (
    KINDS,
    MANY,
    png,
    tar_of,
)


def test_labels_of_tar_files_from_cls_json_or_folder(cells, tmp_path) -> None:
    pixels, labels = cells
    texts = [f"type {n}" for n in labels]
    kinds = {
        "cls": lambda n: {f"{n}.cls": str(labels[n]).encode()},
        "text": lambda n: {f"{n}.cls": texts[n].encode()},
        "json": lambda n: {f"{n}.json": json.dumps({"label": texts[n]}).encode()},
        "bare": lambda n: {f"{n}.json": json.dumps(int(labels[n])).encode()},
        "folder": lambda n: {},
    }
    for kind, beside in kinds.items():
        members = {"./notes.txt": b"no sample", "._0.png": b"of a Mac"}
        for n in range(40):
            key = f"./all/{texts[n]}/{n}" if kind == "folder" else n
            members |= {f"{key}.PNG": png(pixels[n])} | beside(n)
        dataset = cp.read(tar_of(tmp_path / f"{kind}.tar", members))
        np.testing.assert_array_equal(dataset.images[:], pixels)
        np.testing.assert_array_equal(dataset.labels, labels)
        assert dataset.class_names[3] == ("3" if kind in ("cls", "bare") else "type 3")
        assert dataset.ids[7].endswith("7")


@pytest.mark.parametrize("suffix", ["cls", "json"])
@pytest.mark.parametrize("label", ["9" * 5000, "9" * 19, "8" * 400])
def test_numbers_of_any_length_are_labels_or_refused(suffix, label, cells, tmp_path) -> None:
    members = {"0.png": png(cells[0][0]), f"0.{suffix}": label.encode()}
    members |= {"1.png": png(cells[0][1]), f"1.{suffix}": b"7"}
    path = tar_of(tmp_path / "set.tar", members)
    if suffix == "json" and len(label) == 5000:
        with pytest.raises(cp.CellprepError, match="not valid json"):
            cp.read(path)
    else:
        assert cp.read(path).class_names == ("7", label)


def test_tar_files_in_a_folder_may_share_keys(cells, tmp_path) -> None:
    pixels, labels = cells
    for number in range(2):
        at = range(20 * number, 20 * number + 20)
        members = {}
        for n in at:
            entries = {"other": 1, "kind": f"k{labels[n]}"}
            members |= {
                f"{n % 20}.jpg": png(pixels[n]),
                f"{n % 20}.json": json.dumps(entries).encode(),
            }
        tar_of(tmp_path / f"{number}.tar", members)
    dataset = cp.read(tmp_path, label="kind")
    np.testing.assert_array_equal(dataset.images[:], pixels)
    assert dataset.ids[21] == "1/1"
    assert dataset.class_names[5] == "k5"
    with pytest.raises(cp.CellprepError, match=r"0\.tar' has no label for sample '0'"):
        cp.read(tmp_path)
    assert cp.read(tmp_path, label="kind", size=20).images[:2].shape == (2, 20, 20, 3)


def test_bad_tar_files_are_refused(cells, tmp_path, monkeypatch) -> None:
    image = png(cells[0][0])
    good = {"a/0.png": image, "b/1.png": image}
    whole = tar_of(tmp_path / "whole.tar", good).read_bytes()
    refused = {
        "two images of sample 'a/0'": {**good, "a/0.jpg": image},
        "no label for sample 'c'": {**good, "c.png": image},
        "is not valid json": {**good, "a/0.json": b"{"},
        "which is not valid cls": {**good, "a/0.cls": b"\xff"},
        "contains no images": {"a/0.txt": b""},
        "unexpected end of data": whole[: len(image)],
        "no end mark": whole[: 2 * (512 + -(-len(image) // 512) * 512)] + b"x" * 2000,
        "damaged one: empty": b"",
        "damaged one: .*invalid": b"x" * 2000,
    }
    for saying, content in refused.items():
        path = tmp_path / "bad.tar"
        if isinstance(content, dict):
            tar_of(path, content)
        else:
            path.write_bytes(content)
        with pytest.raises(cp.CellprepError, match=saying) as error:
            cp.read(path)
        assert "\n" not in str(error.value)
        assert "bad.tar" in str(error.value)
    (tmp_path / "bad.tar.gz").touch()
    with pytest.raises(cp.CellprepError, match="unpack it"):
        cp.read(tmp_path / "bad.tar.gz")
    with pytest.raises(cp.CellprepError, match="too many for a label"):
        cp.read(tar_of(tmp_path / "long.tar", {**good, "a/0.cls": b"1" * (2 << 20)}))
    monkeypatch.setattr(codec, "MOST_PIXELS", 40 * 40)
    with pytest.raises(cp.BadImagesError, match="more than the limit of 1,600"):
        cp.read(tar_of(tmp_path / "large.tar", good)).images[:]
    monkeypatch.setattr(webdataset, "MOST_BYTES", 100)
    with pytest.raises(cp.BadImagesError, match="bytes, more than any image"):
        cp.read(tmp_path / "large.tar").images[:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_changed_anywhere_never_causes_a_traceback(kind, cells, tmp_path) -> None:
    """Whatever the damage: read, or refused in one line; never an unknown exception."""
    encoded = [png(image[:8, :8]) for image in cells[0][:6]]
    if kind == "webdataset":
        members = {f"{n % 2}/{n}.png": data for n, data in enumerate(encoded)}
        bad = tar_of(tmp_path / "bad.tar", members)
    elif kind == "parquet":
        table = {"image": [{"bytes": data, "path": "x"} for data in encoded], "label": [0, 1] * 3}
        pq.write_table(pa.table(table), bad := tmp_path / "bad.parquet", row_group_size=2)
    else:
        np.savez(bad := tmp_path / "bad.npz", train_images=cells[0][:6], train_labels=[[0]] * 6)
    whole = bad.read_bytes()
    assert len(cp.read(bad).to_arrays()[0]) == 6
    rng = np.random.default_rng(0)
    for turn in range(200):
        altered = bytearray(whole)
        # the footer of Parquet is more likely to mislead than its pages
        low = len(whole) - 1500 if kind == "parquet" and turn % 2 else 0
        for position in rng.integers(max(low, 0), len(whole), size=rng.integers(1, 6)):
            altered[position] = rng.integers(256)
        bad.write_bytes(altered[: len(whole) if turn % 3 else rng.integers(len(whole))])
        with suppress(cp.CellprepError):
            cp.read(bad).to_arrays()


@pytest.mark.parametrize("kind", MANY)
def test_bad_images_are_named_and_left_out(kind, cells, tmp_path) -> None:
    encoded = [png(image) for image in cells[0][:9]]
    encoded[3], encoded[5] = b"", b"no image"
    encoded[7] = png(cells[0][7][:40])
    if kind == "webdataset":
        members = {f"../../{'ab'[n % 2]}/{n}.png": data for n, data in enumerate(encoded)}
        path = tar_of(tmp_path / "some.tar", members)
    else:
        path = tmp_path / "some.parquet"
        table = {"image": encoded, "label": [n % 2 for n in range(9)]}
        pq.write_table(pa.table(table), path, row_group_size=4)
    dataset = cp.read(path)
    with pytest.raises(cp.BadImagesError) as error:
        dataset.to_arrays()
    assert len(error.value.causes) == 3
    assert {"is empty", "is not an image file"} < set(error.value.causes.values())
    out = tmp_path / "in" / "out"
    with pytest.raises(cp.CellprepError, match="are stored in larger files"):
        cp.write(dataset, out, on_error="quarantine")
    done = cp.write(dataset, out, format="folder", on_error="skip", progress=False)
    assert len(done.bad) == 3
    np.testing.assert_array_equal(cp.read(out).images[:], cells[0][[0, 1, 2, 4, 6, 8]])
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, "in"}
    assert inspect(path)["sizes"] == {"48x48": 6, "40x48": 1}
    assert "resized to 96x96" in inspect(path)["note"]


def test_parquet_columns_are_found_or_named(cells, tmp_path) -> None:
    pixels, labels = cells
    images = [{"bytes": png(image), "path": f"../{n}.png"} for n, image in enumerate(pixels)]
    texts = [f"type {n}" for n in labels]
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"photo": images, "kind": texts, "y": labels}), path)
    dataset = cp.read(path, label="kind")
    np.testing.assert_array_equal(dataset.images[:], pixels)
    assert dataset.class_names[2] == "type 2"
    assert dataset.ids[4] == "../4.png"
    assert cp.read(path, label="y", image="photo").class_names[2] == "2"
    for options, saying in (
        ({}, "has no column 'label'; name one of photo, kind, y"),
        ({"label": "kin"}, "did you mean 'kind'"),
        ({"label": "y", "image": "foto"}, "did you mean 'photo'"),
        ({"label": "y", "part": "test"}, "has no splits"),
    ):
        with pytest.raises(cp.CellprepError, match=saying):
            cp.read(path, **options)
    pq.write_table(pa.table({"image": images, "label": [None, *texts[1:]]}), path)
    with pytest.raises(cp.CellprepError, match="has 1 empty values"):
        cp.read(path)
    pq.write_table(pa.table({"label": texts}), path)
    with pytest.raises(cp.CellprepError, match="no column contains images"):
        cp.read(path)


def test_huge_row_groups_are_refused(cells, tmp_path, monkeypatch) -> None:
    images = [png(image) for image in cells[0]]
    pq.write_table(pa.table({"image": images, "label": cells[1]}), tmp_path / "table.parquet")
    monkeypatch.setattr(parquet, "_MOST_IN_GROUP", 10_000)
    with pytest.raises(cp.CellprepError, match="row_group_size=100"):
        cp.read(tmp_path / "table.parquet")


def test_splits_of_a_parquet_folder(cells, tmp_path) -> None:
    images, labels = [png(image) for image in cells[0]], cells[1]
    (tmp_path / "data").mkdir()
    for name, at in {
        "train-00000-of-00002": 0,
        "train-00001-of-00002": 1,
        "validation-x": 2,
    }.items():
        table = pa.table({"image": images[at::3], "label": [f"t{n}" for n in labels[at::3]]})
        pq.write_table(table, tmp_path / "data" / f"{name}.parquet")
    with pytest.raises(cp.CellprepError, match="has the splits train, val; choose one with part="):
        cp.read(tmp_path)
    np.testing.assert_array_equal(cp.read(tmp_path, part="val").images[:], cells[0][2::3])
    train = np.concatenate([cells[0][0::3], cells[0][1::3]])
    np.testing.assert_array_equal(cp.read(tmp_path, part="train").images[:], train)
    done = CliRunner().invoke(cli.main, ["inspect", str(tmp_path), "--part", "val", "--json"])
    assert json.loads(done.output)["images"] == 13


def test_files_beside_class_folders_do_not_hide_an_image_folder(cells, tmp_path) -> None:
    cp.write(cp.Dataset.from_arrays(*cells), tmp_path / "in", format="folder", progress=False)
    (tmp_path / "in" / "dataset.json").unlink()
    tar_of(tmp_path / "in" / "raw.tar", {})
    assert os.listdir(tmp_path / "in")
    assert len(cp.read(tmp_path / "in")) == 40


def test_splits_of_a_medmnist_file(cells, tmp_path) -> None:
    pixels, labels = cells
    path = tmp_path / "cells.npz"
    arrays = {"train_images": pixels, "train_labels": labels[:, None].astype(np.uint8)}
    arrays |= {"test_images": pixels[:10], "test_labels": labels[:10, None].astype(np.uint8)}
    np.savez_compressed(path, **arrays)
    with pytest.raises(cp.CellprepError, match="has the splits train, test; choose one"):
        cp.read(path)
    test = cp.read(path, part="test")
    np.testing.assert_array_equal(test.images[:], pixels[:10])
    assert len(test.class_names) == 8  # those of all splits
    assert isinstance(test.source, npz.NpzSource)
    by_name = cp.read(path, images="train_images", labels="train_labels")
    np.testing.assert_array_equal(by_name.images[:], pixels)
    with pytest.raises(cp.CellprepError, match="Allowed: train, test"):
        cp.read(path, part="val")
    np.savez(path, train_images=pixels[..., 0], train_labels=labels[:, None])
    with pytest.raises(cp.CellprepError, match=r"np\.repeat\(train_images"):
        cp.read(path)
