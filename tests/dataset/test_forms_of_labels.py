"""The same data in other forms: labels as text, bytes, objects, tensors; images one by one."""

from __future__ import annotations

import io
import tarfile
import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import cellprep as cp

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
FORMS = {
    "bytes": np.array([b"a", b"b", b"a", b"b"]),
    "objects of bytes": np.array([b"a", b"b", b"a", b"b"], object),
    "objects of text": np.array(["a", "b", "a", "b"], object),
    "objects of numbers": np.array([0, 1, 0, 1], object),
    "objects of numpy numbers": np.array([np.int8(0), np.uint16(1), np.int64(0), True], object),
    "floats": [0.0, 1.0, 0.0, 1.0],
    "series": pd.Series(["a", "b", "a", "b"]),
    "categories": pd.Series(["a", "b", "a", "b"], dtype="category"),
    "nullable": pd.Series([0, 1, 0, 1], dtype="Int64"),
    "columns": pd.DataFrame({"file": list("wxyz"), "label": [0, 1, 0, 1]}).values[:, 1:],
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_may_have_any_form(form):
    assert cp.Dataset.from_arrays(IMAGES, FORMS[form]).labels.tolist() == [0, 1, 0, 1]


def test_tensors_are_labels_and_images():
    torch = pytest.importorskip("torch")
    labels = torch.tensor([0.0, 1, 0, 1], requires_grad=True)
    cells = cp.Dataset.from_arrays(torch.tensor(IMAGES), labels)
    assert cells.labels.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(cells.images[:], IMAGES)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_label_is_named_by_its_row(missing):
    with pytest.raises(cp.CellprepError, match="no value in row 2"):
        cp.Dataset.from_arrays(IMAGES, np.array(["a", "b", missing, "b"], object))


def test_mixed_labels_are_refused():
    with pytest.raises(cp.CellprepError, match="all be text or all be numbers, got int, str"):
        cp.Dataset.from_arrays(IMAGES, np.array(["a", 1, "a", 1], object))


@pytest.mark.parametrize("call", [cp.Dataset.from_arrays, cp.dedupe])
def test_images_of_several_sizes_are_refused_with_the_sizes(call):
    images = [*IMAGES, IMAGES[0, :7]]
    with pytest.raises(cp.CellprepError, match=r"8x8x3 \(4\), 7x8x3 \(1\); resize them"):
        call(images, [0, 1, 0, 1, 1])
    objects = np.empty(5, object)
    objects[:] = images
    with pytest.raises(cp.CellprepError, match=r"8x8x3 \(4\)"):
        call(objects, [0, 1, 0, 1, 1])


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def numbered_from_1(kind, tmp_path):
    if kind == "npz":
        np.savez(tmp_path / "a.npz", images=IMAGES, labels=[1, 2, 1, 2])
        return tmp_path / "a.npz"
    if kind == "zarr":
        group = pytest.importorskip("zarr").open_group(str(tmp_path / "a.zarr"), mode="w")
        for name, values in {"images": IMAGES, "labels": np.array([1, 2, 1, 2])}.items():
            group.create_array(name, data=values)
        return tmp_path / "a.zarr"
    if kind == "parquet":
        table = pa.table({"image": [png(image) for image in IMAGES], "label": [1, 2, 1, 2]})
        pq.write_table(table, tmp_path / "a.parquet")
        return tmp_path / "a.parquet"
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number, image in enumerate(IMAGES):
            for suffix, data in (("png", png(image)), ("cls", b"%d" % (1 + number % 2))):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return tmp_path / "a.tar"


@pytest.mark.parametrize("kind", ["npz", "zarr", "parquet", "tar"])
def test_numbers_from_1_are_named_on_reading(kind, tmp_path):
    path = numbered_from_1(kind, tmp_path)
    with pytest.raises(cp.CellprepError, match=r'class_names=\{1: "...", 2: "..."\}'):
        cp.read(path)
    cells = cp.read(path, class_names={1: "mono", 2: "baso"})
    assert (cells.class_names, cells.labels.tolist()) == (("mono", "baso"), [0, 1, 0, 1])
    assert cp.read(path, class_names=["-", "mono", "baso"]).labels.tolist() == [1, 2, 1, 2]
    with pytest.raises(cp.CellprepError, match=r"go up to 2.* begin at 1 pass"):
        cp.read(path, class_names=["mono", "baso"])


@pytest.mark.parametrize("kind", ["folder", "npz", "parquet"])
def test_class_names_order_the_classes_of_a_written_set_too(kind, tmp_path):
    path = tmp_path / ("a.npz" if kind == "npz" else "a")
    cp.write(cp.Dataset.from_arrays(IMAGES, list("abab")), path, format=kind, progress=False)
    cells = cp.read(path, class_names=["c", "b", "a"])
    assert cells.counts() == {"c": 0, "b": 2, "a": 2}


def test_two_unicode_forms_of_a_name_are_one_class(tmp_path):
    names = [unicodedata.normalize(form, "Éosinophile") for form in ("NFC", "NFD")]
    for number, name in enumerate([*names, "моноцит", "嗜碱"]):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.fromarray(IMAGES[number]).save(tmp_path / "in" / name / f"{number}.png")
    cells = cp.read(tmp_path / "in")
    assert cells.counts() == {"Éosinophile": 2, "моноцит": 1, "嗜碱": 1}
    cp.write(cells, tmp_path / "out", format="folder", progress=False)
    folders = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert folders >= {"Éosinophile", "моноцит", "嗜碱"}
    assert cp.read(tmp_path / "out").counts() == cells.counts()
    long = ["嗜" * 100, "粒" * 100]
    cp.write(cp.Dataset.from_arrays(IMAGES, long * 2), tmp_path / "long", format="folder")
    assert cp.read(tmp_path / "long").class_names == tuple(sorted(long))


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cp.write(cp.Dataset.from_arrays(IMAGES, list("abab")), "~/a/out.npz", progress=False)
    assert len(cp.read("~/a/out.npz")) == 4
    assert not (tmp_path / "~").exists()
    with pytest.raises(cp.CellprepError, match="a user who has no home folder here"):
        cp.read("~nobody-of-that-name/x")
