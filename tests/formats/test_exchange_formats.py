"""Formats to exchange with others: WebDataset, Hugging Face's Parquet, MedMNIST."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

import cellprep as cp
from cellprep import cli
from cellprep.formats import FORMATS, npz, parquet, webdataset
from cellprep.formats import encoded as images
from cellprep.report.inspect import inspect

KINDS = ("webdataset", "parquet", "medmnist")
MANY = ("webdataset", "parquet")
NAMES = [f"class {n}" for n in range(9)]  # the last is empty
RECIPE = cp.Recipe([cp.KMeansMask(), cp.RandAugment(copies=1)], seed=2)


def place(folder: Path, kind: str, name: str = "out") -> Path:
    return folder / (f"{name}.npz" if kind == "medmnist" else name)


def files(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


@pytest.fixture
def grouped(cells) -> cp.Dataset:
    images, labels = cells
    return cp.Dataset.from_arrays(
        *(images, labels, NAMES),
        ids=[f"slide {n % 3}/../{n}.x" for n in range(40)],
        groups=[f"patient {n // 4}" for n in range(40)],
    )


@pytest.fixture
def made(grouped) -> cp.Dataset:
    return RECIPE(grouped)


# -- what we write ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_everything_comes_back(kind, grouped, made, tmp_path) -> None:
    out = place(tmp_path, kind)
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
def test_the_same_bytes_for_any_workers(kind, made, tmp_path) -> None:
    one, two = place(tmp_path, kind, "one"), place(tmp_path, kind, "two")
    shared = {"format": kind, "rows_per_shard": 20, "masks": True, "progress": False}
    cp.write(made, one, workers=1, **shared)
    cp.write(made, two, executor="processes", workers=2, **shared)
    assert files(one) == files(two)


@pytest.mark.parametrize(("kind", "module"), [("webdataset", webdataset), ("parquet", parquet)])
def test_an_interrupted_write_goes_on(kind, module, made, tmp_path, monkeypatch) -> None:
    shared = {"format": kind, "rows_per_shard": 20, "masks": True, "progress": False}
    cp.write(made, tmp_path / "whole", **shared)
    atomic_write = module.atomic_write

    def killed(path):
        if "00002" in path.name:
            raise KeyboardInterrupt
        return atomic_write(path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "atomic_write", killed)
        with pytest.raises(KeyboardInterrupt):
            cp.write(made, tmp_path / "cut", workers=1, **shared)
    with pytest.raises(cp.CellprepError, match="not written to the end"):
        cp.read(tmp_path / "cut")
    assert cp.write(made, tmp_path / "cut", **shared).resumed == 40
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if not FORMATS[kind].is_file])
@pytest.mark.parametrize("other", MANY)
def test_another_format_takes_its_place_whole(kind, other, made, tmp_path) -> None:
    shared = {"rows_per_shard": 40, "masks": True, "progress": False}
    cp.write(made, tmp_path / "out", format=kind, **shared)
    cp.write(made, tmp_path / "out", format=other, overwrite=True, **shared)
    cp.write(made, tmp_path / "new", format=other, **shared)
    assert files(tmp_path / "out") == files(tmp_path / "new")


@pytest.mark.parametrize("kind", KINDS)
def test_convert_there_and_back(kind, made, tmp_path) -> None:
    cp.write(made, tmp_path / "start", masks=True, progress=False)
    out = place(tmp_path, kind)
    for args in ([tmp_path / "start", out, "--format", kind], [out, tmp_path / "back"]):
        done = CliRunner().invoke(cli.main, ["convert", *map(str, args), "--masks"])
        assert done.exit_code == 0, done.output
    back = cp.read(tmp_path / "back")
    np.testing.assert_array_equal(back.images[:], made.images[:])
    np.testing.assert_array_equal(back.masks[:], made.masks[:])
    np.testing.assert_array_equal(back.ids, made.ids)


def test_parts_of_medmnist_are_npz_files(cells, tmp_path) -> None:
    cp.write(cp.Dataset.from_arrays(*cells), tmp_path / "in.npz", progress=False)
    args = ["split", str(tmp_path / "in.npz"), str(tmp_path / "parts"), "--format", "medmnist"]
    done = CliRunner().invoke(cli.main, [*args, "--parts", "train=0.5,test=0.5"])
    assert done.exit_code == 0, done.output
    assert len(cp.read(tmp_path / "parts" / "test.npz")) == 16


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-600])


def _garbage(file: Path) -> None:
    size = file.stat().st_size
    file.write_bytes(np.random.default_rng(0).bytes(size))


@pytest.mark.parametrize("damage", [_cut, _garbage, lambda f: f.write_bytes(b""), Path.unlink])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_said_in_one_line(kind, damage, made, tmp_path) -> None:
    out = place(tmp_path, kind)
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


# -- what others read and write ---------------------------------------------------------------


def test_webdataset_reads_ours(made, tmp_path) -> None:
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
    # without our index they are read as those of anybody
    (tmp_path / "bare").mkdir()
    for shard in shards:
        shutil.copy(shard, tmp_path / "bare")
    bare = cp.read(tmp_path / "bare")
    np.testing.assert_array_equal(bare.images[:], made.images[:])
    np.testing.assert_array_equal(bare.masks[:], made.masks[:])
    np.testing.assert_array_equal(bare.labels, made.labels)
    assert list(bare.class_names) == NAMES[:8]


def test_datasets_opens_ours(made, tmp_path, monkeypatch) -> None:
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
    # and what it writes is read
    table.to_parquet(tmp_path / "theirs.parquet")
    theirs = cp.read(tmp_path / "theirs.parquet")
    np.testing.assert_array_equal(theirs.images[:], made.images[:])
    np.testing.assert_array_equal(theirs.masks[:], made.masks[:])
    np.testing.assert_array_equal(theirs.labels, made.labels)
    assert list(theirs.class_names) == NAMES


def test_medmnist_finds_its_arrays(made, tmp_path) -> None:
    """As in medmnist's MedMNIST.__init__, which asks for `{split}_images` and `{split}_labels`."""
    cp.write(made, tmp_path / "cells.npz", format="medmnist", progress=False)
    held = np.load(tmp_path / "cells.npz")
    np.testing.assert_array_equal(held["train_images"], made.images[:])
    np.testing.assert_array_equal(held["train_labels"], made.labels[:, None])
    for part in ("val", "test"):
        assert held[f"{part}_images"].shape == (0, 48, 48, 3)
        assert held[f"{part}_labels"].shape == (0, 1)


# -- by others --------------------------------------------------------------------------------


def png(image: np.ndarray, kind: str = "PNG") -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, kind)
    return encoded.getvalue()


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_labels_of_tar_files(cells, tmp_path) -> None:
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


def test_tar_files_in_a_folder_may_share_keys(cells, tmp_path) -> None:
    pixels, labels = cells
    for number in range(2):
        at = range(20 * number, 20 * number + 20)
        members = {}
        for n in at:
            said = {"other": 1, "kind": f"k{labels[n]}"}
            members |= {
                f"{n % 20}.jpg": png(pixels[n]),
                f"{n % 20}.json": json.dumps(said).encode(),
            }
        tar_of(tmp_path / f"{number}.tar", members)
    dataset = cp.read(tmp_path, label="kind")
    np.testing.assert_array_equal(dataset.images[:], pixels)
    assert dataset.ids[21] == "1/1"
    assert dataset.class_names[5] == "k5"
    with pytest.raises(cp.CellprepError, match=r"0\.tar' has no label of sample '0'"):
        cp.read(tmp_path)
    assert cp.read(tmp_path, label="kind", size=20).images[:2].shape == (2, 20, 20, 3)


def test_bad_tar_files_are_refused(cells, tmp_path, monkeypatch) -> None:
    image = png(cells[0][0])
    good = {"a/0.png": image, "b/1.png": image}
    whole = tar_of(tmp_path / "whole.tar", good).read_bytes()
    refused = {
        "two images of sample 'a/0'": {**good, "a/0.jpg": image},
        "no label of sample 'c'": {**good, "c.png": image},
        "is no json": {**good, "a/0.json": b"{"},
        "which is no cls": {**good, "a/0.cls": b"\xff"},
        "holds no images": {"a/0.txt": b""},
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
    with pytest.raises(cp.CellprepError, match="which is no label"):
        cp.read(tar_of(tmp_path / "long.tar", {**good, "a/0.cls": b"1" * (2 << 20)}))
    monkeypatch.setattr(images, "MOST_PIXELS", 40 * 40)
    with pytest.raises(cp.BadImagesError, match="more than the limit of 1,600"):
        cp.read(tar_of(tmp_path / "large.tar", good)).images[:]
    monkeypatch.setattr(webdataset, "MOST_BYTES", 100)
    with pytest.raises(cp.BadImagesError, match="bytes, more than any image"):
        cp.read(tmp_path / "large.tar").images[:]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_altered_anywhere_never_ends_in_a_traceback(kind, cells, tmp_path) -> None:
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
        # the footer of Parquet and the headers of the others are what can mislead
        low = len(whole) - 1500 if kind == "parquet" and turn % 2 else 0
        for place in rng.integers(max(low, 0), len(whole), size=rng.integers(1, 6)):
            altered[place] = rng.integers(256)
        bad.write_bytes(altered[: len(whole) if turn % 3 else rng.integers(len(whole))])
        with suppress(cp.CellprepError):
            cp.read(bad).to_arrays()


@pytest.mark.parametrize("kind", MANY)
def test_bad_images_of_others_are_named_and_left_out(kind, cells, tmp_path) -> None:
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
    with pytest.raises(cp.CellprepError, match="lie within larger ones"):
        cp.write(dataset, out, on_error="quarantine")
    done = cp.write(dataset, out, format="folder", on_error="skip", progress=False)
    assert len(done.bad) == 3
    np.testing.assert_array_equal(cp.read(out).images[:], cells[0][[0, 1, 2, 4, 6, 8]])
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, "in"}
    assert inspect(path)["sizes"] == {"48x48": 6, "40x48": 1}
    assert "brought to 96x96" in inspect(path)["note"]


def test_columns_of_parquet(cells, tmp_path) -> None:
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
        ({"label": "y", "part": "test"}, "is one file"),
    ):
        with pytest.raises(cp.CellprepError, match=saying):
            cp.read(path, **options)
    pq.write_table(pa.table({"image": images, "label": [None, *texts[1:]]}), path)
    with pytest.raises(cp.CellprepError, match="has 1 empty values"):
        cp.read(path)
    pq.write_table(pa.table({"label": texts}), path)
    with pytest.raises(cp.CellprepError, match="no column holds images"):
        cp.read(path)


def test_row_groups_that_memory_may_not_hold_are_refused(cells, tmp_path, monkeypatch) -> None:
    images = [png(image) for image in cells[0]]
    pq.write_table(pa.table({"image": images, "label": cells[1]}), tmp_path / "table.parquet")
    monkeypatch.setattr(parquet, "_MOST_IN_GROUP", 10_000)
    with pytest.raises(cp.CellprepError, match="row_group_size=100"):
        cp.read(tmp_path / "table.parquet")


def test_parts_of_a_parquet_folder(cells, tmp_path) -> None:
    images, labels = [png(image) for image in cells[0]], cells[1]
    (tmp_path / "data").mkdir()
    for name, at in {
        "train-00000-of-00002": 0,
        "train-00001-of-00002": 1,
        "validation-x": 2,
    }.items():
        table = pa.table({"image": images[at::3], "label": [f"t{n}" for n in labels[at::3]]})
        pq.write_table(table, tmp_path / "data" / f"{name}.parquet")
    with pytest.raises(cp.CellprepError, match="holds the parts train, val; choose one with part="):
        cp.read(tmp_path)
    np.testing.assert_array_equal(cp.read(tmp_path, part="val").images[:], cells[0][2::3])
    train = np.concatenate([cells[0][0::3], cells[0][1::3]])
    np.testing.assert_array_equal(cp.read(tmp_path, part="train").images[:], train)
    done = CliRunner().invoke(cli.main, ["inspect", str(tmp_path), "--part", "val", "--json"])
    assert json.loads(done.output)["images"] == 13


def test_a_table_beside_class_folders_is_no_data_set(cells, tmp_path) -> None:
    cp.write(cp.Dataset.from_arrays(*cells), tmp_path / "in", format="folder", progress=False)
    (tmp_path / "in" / "dataset.json").unlink()
    tar_of(tmp_path / "in" / "raw.tar", {})
    assert os.listdir(tmp_path / "in")
    assert len(cp.read(tmp_path / "in")) == 40


def test_parts_of_medmnist(cells, tmp_path) -> None:
    pixels, labels = cells
    path = tmp_path / "cells.npz"
    arrays = {"train_images": pixels, "train_labels": labels[:, None].astype(np.uint8)}
    arrays |= {"test_images": pixels[:10], "test_labels": labels[:10, None].astype(np.uint8)}
    np.savez_compressed(path, **arrays)
    with pytest.raises(cp.CellprepError, match=r"parts train \(40\), test \(10\); choose one"):
        cp.read(path)
    test = cp.read(path, part="test")
    np.testing.assert_array_equal(test.images[:], pixels[:10])
    assert len(test.class_names) == 8  # those of all parts
    assert isinstance(test.source, npz.NpzSource)
    by_name = cp.read(path, images="train_images", labels="train_labels")
    np.testing.assert_array_equal(by_name.images[:], pixels)
    with pytest.raises(cp.CellprepError, match="Allowed: train, test"):
        cp.read(path, part="val")
    np.savez(path, train_images=pixels[..., 0], train_labels=labels[:, None])
    with pytest.raises(cp.CellprepError, match=r"np\.repeat\(train_images"):
        cp.read(path)
