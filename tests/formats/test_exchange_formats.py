"""WebDataset, Parquet and MedMNIST, as we write them."""

from __future__ import annotations

import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import cellprep as cp
from cellprep import cli
from cellprep.formats import FORMATS, parquet_writer, webdataset

from .exchange_helpers import (
    KINDS,
    MANY,
    NAMES,
    garble,
    target,
    tree,
    truncate,
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_data_set_is_read_unchanged(kind, grouped, made, tmp_path) -> None:
    out = target(tmp_path, kind)
    cp.write(made, out, format=kind, rows_per_shard=40, masks=True, progress=False)
    again = cp.read(out)
    for left, right in ((again.ids, made.ids), (again.copies, made.copies)):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(again.labels, made.labels)
    np.testing.assert_array_equal(again.plan.rows.groups, made.plan.rows.groups)
    assert again.class_names == made.class_names
    np.testing.assert_array_equal(again.images[:], made.images[:])
    np.testing.assert_array_equal(again.masks[:], made.masks[:])
    at = [70, 3, 50, 3]
    np.testing.assert_array_equal(again.images[at], made.images[at])
    np.testing.assert_array_equal(again.masks[at], made.masks[at])
    copy = cp.Dataset(pickle.loads(pickle.dumps(again.source)))
    np.testing.assert_array_equal(copy.images[60:], made.images[60:])
    np.testing.assert_array_equal(cp.replay(out, grouped), made.images[:])
    with pytest.raises(cp.CellprepError, match="after"):
        cp.split(again, train=0.5, test=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_files_do_not_depend_on_workers(kind, made, tmp_path) -> None:
    one, two = target(tmp_path, kind, "one"), target(tmp_path, kind, "two")
    shared = {"format": kind, "rows_per_shard": 20, "masks": True, "progress": False}
    cp.write(made, one, workers=1, **shared)
    cp.write(made, two, executor="processes", workers=2, **shared)
    assert tree(one) == tree(two)


@pytest.mark.parametrize(
    ("kind", "module"), [("webdataset", webdataset), ("parquet", parquet_writer)]
)
def test_an_interrupted_write_is_resumed(kind, module, made, tmp_path, monkeypatch) -> None:
    shared = {"format": kind, "rows_per_shard": 20, "masks": True, "progress": False}
    cp.write(made, tmp_path / "expected", **shared)
    atomic_write = module.atomic_write

    def killed(path):
        if "00002" in path.name:
            raise KeyboardInterrupt
        return atomic_write(path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "atomic_write", killed)
        with pytest.raises(KeyboardInterrupt):
            cp.write(made, tmp_path / "stopped", workers=1, **shared)
    with pytest.raises(cp.CellprepError, match="not written to the end"):
        cp.read(tmp_path / "stopped")
    assert cp.write(made, tmp_path / "stopped", **shared).resumed == 40
    assert tree(tmp_path / "stopped") == tree(tmp_path / "expected")


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if not FORMATS[kind].is_file])
@pytest.mark.parametrize("other", MANY)
def test_overwriting_with_another_format_deletes_all_old_files(kind, other, made, tmp_path) -> None:
    shared = {"rows_per_shard": 40, "masks": True, "progress": False}
    cp.write(made, tmp_path / "out", format=kind, **shared)
    cp.write(made, tmp_path / "out", format=other, overwrite=True, **shared)
    cp.write(made, tmp_path / "new", format=other, **shared)
    assert tree(tmp_path / "out") == tree(tmp_path / "new")


@pytest.mark.parametrize("kind", KINDS)
def test_convert_there_and_back_keeps_everything(kind, made, tmp_path) -> None:
    cp.write(made, tmp_path / "start", masks=True, progress=False)
    out = target(tmp_path, kind)
    for args in ([tmp_path / "start", out, "--format", kind], [out, tmp_path / "back"]):
        done = CliRunner().invoke(cli.main, ["convert", *map(str, args), "--masks"])
        assert done.exit_code == 0, done.output
    back = cp.read(tmp_path / "back")
    np.testing.assert_array_equal(back.images[:], made.images[:])
    np.testing.assert_array_equal(back.masks[:], made.masks[:])
    np.testing.assert_array_equal(back.ids, made.ids)


def test_splits_written_as_medmnist_are_npz_files(cells, tmp_path) -> None:
    cp.write(cp.Dataset.from_arrays(*cells), tmp_path / "in.npz", progress=False)
    args = ["split", str(tmp_path / "in.npz"), str(tmp_path / "parts"), "--format", "medmnist"]
    done = CliRunner().invoke(cli.main, [*args, "--parts", "train=0.5,test=0.5"])
    assert done.exit_code == 0, done.output
    assert len(cp.read(tmp_path / "parts" / "test.npz")) == 16


@pytest.mark.parametrize("damage", [truncate, garble, lambda f: f.write_bytes(b""), Path.unlink])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_in_one_line(kind, damage, made, tmp_path) -> None:
    out = target(tmp_path, kind)
    cp.write(made, out, format=kind, rows_per_shard=40, masks=True, progress=False)
    file = {
        "webdataset": out / "shard-00001.tar",
        "parquet": out / "data" / "train-00001-of-00002.parquet",
        "medmnist": out,
    }[kind]
    damage(file)
    with pytest.raises(cp.CellprepError) as error:
        cp.read(out).images[:]
    assert "\n" not in str(error.value)
    assert file.name in str(error.value)


def test_the_webdataset_library_reads_our_files(made, tmp_path) -> None:
    wds = pytest.importorskip("webdataset")
    cp.write(made, tmp_path / "out", format="webdataset", rows_per_shard=40, masks=True)
    shards = [str(file) for file in sorted((tmp_path / "out").glob("*.tar"))]
    samples = list(wds.WebDataset(shards, shardshuffle=False).decode("pil"))
    np.testing.assert_array_equal(np.stack([s["png"] for s in samples]), made.images[:])
    np.testing.assert_array_equal(
        np.stack([s["mask.png"] for s in samples])[..., 0] > 0, made.masks[:]
    )
    assert [s["cls"] for s in samples] == made.labels.tolist()
    assert [s["json"]["id"] for s in samples] == made.ids.tolist()
    assert [s["json"]["copy"] for s in samples] == made.copies.tolist()
    assert {s["json"]["class_name"] for s in samples} == set(NAMES[:8])
    for shard in shards:
        with tarfile.open(shard) as tar:
            assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar} == {(0, 0, 0, "", 0o644)}
    # without our index they are read like any tar files
    (tmp_path / "bare").mkdir()
    for shard in shards:
        shutil.copy(shard, tmp_path / "bare")
    bare = cp.read(tmp_path / "bare")
    np.testing.assert_array_equal(bare.images[:], made.images[:])
    np.testing.assert_array_equal(bare.masks[:], made.masks[:])
    np.testing.assert_array_equal(bare.labels, made.labels)
    assert list(bare.class_names) == NAMES[:8]


def test_hugging_face_datasets_reads_our_files_and_we_read_its(made, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    out, cache = tmp_path / "out", {"cache_dir": str(tmp_path / "cache")}
    cp.write(made, out, format="parquet", rows_per_shard=40, masks=True, progress=False)
    opened = datasets.load_dataset(str(out), **cache)
    assert list(opened) == ["train"]
    table = opened["train"]
    assert table.features["label"] == datasets.ClassLabel(names=NAMES)
    assert table.features["image"] == table.features["mask"] == datasets.Image()
    assert set(table.features) == {"image", "mask", "label", "id", "copy", "group"}
    np.testing.assert_array_equal(np.stack(table["image"]), made.images[:])
    np.testing.assert_array_equal(np.stack(table["mask"]) > 0, made.masks[:])
    assert list(table["id"]) == made.ids.tolist()
    one = datasets.load_dataset("parquet", data_files=str(out / "data" / "*"), **cache)["train"]
    assert one.features == table.features
    # its own files are read too
    table.to_parquet(tmp_path / "theirs.parquet")
    theirs = cp.read(tmp_path / "theirs.parquet")
    np.testing.assert_array_equal(theirs.images[:], made.images[:])
    np.testing.assert_array_equal(theirs.masks[:], made.masks[:])
    np.testing.assert_array_equal(theirs.labels, made.labels)
    assert list(theirs.class_names) == NAMES


def test_medmnist_files_have_the_arrays_that_medmnist_expects(made, tmp_path) -> None:
    """As in medmnist's MedMNIST.__init__, which asks for `{split}_images` and `{split}_labels`."""
    cp.write(made, tmp_path / "cells.npz", format="medmnist", progress=False)
    arrays = np.load(tmp_path / "cells.npz")
    np.testing.assert_array_equal(arrays["train_images"], made.images[:])
    np.testing.assert_array_equal(arrays["train_labels"], made.labels[:, None])
    for part in ("val", "test"):
        assert arrays[f"{part}_images"].shape == (0, 48, 48, 3)
        assert arrays[f"{part}_labels"].shape == (0, 1)
