"""`to_pandas` and `from_pandas`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cellprep as cp
from cellprep import Dataset
from cellprep.errors import CellprepError
from cellprep.formats.codec import encode


def test_to_pandas_equals_the_index_that_write_writes(grouped, tmp_path):
    recipe = cp.Recipe([cp.Crop(40), cp.RandAugment(copies=2)], seed=3)
    made = recipe(grouped)
    cp.write(made, tmp_path / "out", progress=False, rows_per_shard=50)
    index = pd.read_parquet(tmp_path / "out" / "index.parquet").drop(columns=["shard", "row"])
    pd.testing.assert_frame_equal(made.to_pandas(), index)
    assert {"crop.left", "rand_augment.op_1"} <= {*index}, list(index)
    written = cp.read(tmp_path / "out")
    pd.testing.assert_frame_equal(written.to_pandas(), index)
    more = cp.Recipe([cp.Jitter()])(written).to_pandas()
    assert {*index} < {*more}
    assert "jitter.zoom" in more


def test_to_pandas_of_a_written_set_reads_no_image(grouped, tmp_path, monkeypatch):
    cp.write(grouped, tmp_path / "out", progress=False)
    from cellprep.formats.shards import ShardSource

    monkeypatch.setattr(ShardSource, "images", None)
    table = cp.read(tmp_path / "out").to_pandas()
    pd.testing.assert_frame_equal(table.astype({"class_name": object}), grouped.table(), **LOOSE)


LOOSE: dict[str, Any] = {"check_dtype": False}


def test_an_empty_data_set_has_an_empty_table(nothing):
    assert list(nothing.to_pandas()) == ["id", "copy", "label", "class_name"]
    assert not len(nothing.to_pandas())


@pytest.fixture
def photos(grouped, tmp_path) -> pd.DataFrame:
    """A table of files in two folders."""
    names = []
    for row in range(12):
        file = tmp_path / "scans" / f"day {row % 2}" / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(grouped.images[row]))
        names.append(str(file))
    kinds = ["mono", "baso", "neut"] * 4
    return pd.DataFrame({"path": names, "cell": kinds, "patient": [n // 3 for n in range(12)]})


def test_from_pandas_reads_the_files_of_a_table(grouped, photos, tmp_path, monkeypatch):
    columns = {"file": "path", "label": "cell", "group": "patient"}
    cells = Dataset.from_pandas(photos, **columns)
    assert cells.class_names == ("baso", "mono", "neut")
    assert cells.ids.tolist() == photos["path"].tolist()
    assert cells.table()["group"].tolist() == photos["patient"].tolist()
    np.testing.assert_array_equal(cells.images[:], grouped.images[:12])
    parts = cp.split(cells, train=0.5, test=0.5)
    assert not {*parts["train"].table()["group"]} & {*parts["test"].table()["group"]}
    monkeypatch.chdir(tmp_path)
    paths = photos.assign(path=[Path(p).relative_to(tmp_path) for p in photos["path"]])
    below = photos.assign(path=[str(Path(p).relative_to("scans")) for p in paths["path"]])
    named = photos.assign(id=range(12), cell=photos["cell"].astype("category"))
    for table, root in ((paths, None), (below, "scans"), (named, None)):
        same = Dataset.from_pandas(table, **columns, root=root)
        np.testing.assert_array_equal(same.images[:], grouped.images[:12])
        np.testing.assert_array_equal(same.labels, cells.labels)
    assert same.ids.tolist() == [*range(12)]
    alike = Dataset.from_pandas(photos.assign(id="the same"), **columns)
    assert alike.ids.tolist() == cells.ids.tolist()


def test_from_pandas_restores_a_written_folder_from_its_index(made, tmp_path):
    cp.write(made, tmp_path / "out", format="folder", progress=False)
    index = pd.read_parquet(tmp_path / "out" / "index.parquet")
    back = Dataset.from_pandas(index, root=tmp_path / "out", class_names=made.class_names)
    pd.testing.assert_frame_equal(back.table(), made.table())
    np.testing.assert_array_equal(back.images[:], made.images[:])
    with pytest.raises(CellprepError, match="would put copies of one image into two splits"):
        cp.split(back, train=0.5, test=0.5)


def test_from_pandas_reads_files_below_a_url(grouped):
    pytest.importorskip("upath")
    url = "memory://interop/out"
    cp.write(grouped, url, format="folder", progress=False)
    index = grouped.table().assign(file=[f"{id}.png" for id in grouped.ids])
    index["file"] = index["class_name"] + "/" + index["file"]
    back = Dataset.from_pandas(index, root=url, class_names=grouped.class_names)
    np.testing.assert_array_equal(back.images[5:9], grouped.images[5:9])
    missing = Dataset.from_pandas(index.assign(file=index["file"] + "x"), root=url, size=48)
    with pytest.raises(CellprepError, match="No such file"):
        missing.images[0]


def test_bad_files_of_a_table_are_reported(photos, tmp_path):
    bad = tmp_path / "scans" / "day 1" / "3.png"
    bad.write_bytes(b"not an image")
    cells = Dataset.from_pandas(photos, file="path", label="cell")
    with pytest.raises(cp.BadImagesError, match=r"1 image cannot be used: day 1/3\.png"):
        cp.write(cells, tmp_path / "out", progress=False)
    done = cp.write(cells, tmp_path / "out", on_error="quarantine", progress=False)
    assert (done.rows, done.quarantined) == (11, 1)
    assert (tmp_path / "out" / "quarantine" / "day 1" / "3.png").read_bytes() == b"not an image"
    assert bad.exists()


def test_from_pandas_refuses_unusable_tables(photos, tmp_path):
    columns = {"file": "path", "label": "cell"}
    refused: list[tuple[pd.DataFrame, dict[str, Any], str]] = [
        (photos, {"label": "cell"}, "the table has no column 'file'; "),
        (photos, {**columns, "label": "cel"}, "did you mean 'cell'?"),
        (photos.iloc[:0], columns, "the table has no rows"),
        (photos.assign(cell=[None, *"abcdefghijk"]), columns, "column 'cell' is empty in row 0"),
        (photos, {**columns, "file": "patient"}, "column 'patient' must contain paths as text"),
        (
            photos.assign(path="a.png"),
            columns,
            "'a.png' is listed",
        ),
        (photos, {**columns, "root": tmp_path / "scans"}, "is not below"),
        (
            photos.assign(path=[*photos["path"][1:], "/etc"]),
            {**columns, "root": "."},
            "pass absolu",
        ),
        (
            photos.assign(path=[f"../{n}.png" for n in range(12)]),
            {**columns, "root": "."},
            "'../0.p",
        ),
        (photos.assign(path=[f"s3://b/{n}.png" for n in range(12)]), columns, "pass the bucket or"),
        (photos.assign(path=[f"{'/' * (n % 2)}{n}.png" for n in range(12)]), columns, "pass root="),
        (photos.assign(copy="a"), columns, "column 'copy' must have the copy number"),
    ]
    for table, settings, message in refused:
        with pytest.raises(CellprepError, match=re.escape(message)):
            Dataset.from_pandas(table, **settings)


def test_photographs_from_a_table_and_from_hf_equal_those_of_read(data):
    """JPEG files of many sizes."""
    datasets = pytest.importorskip("datasets")
    folder = cp.read(data / "bccd", size=64)
    rows = np.arange(0, len(folder), 25)
    table = pd.DataFrame({"file": folder.ids[rows], "label": folder.labels[rows]})
    settings = {"class_names": folder.class_names, "root": data / "bccd"}
    photos = Dataset.from_pandas(table, **settings, size=64)
    pd.testing.assert_frame_equal(photos.table(), folder.table().iloc[rows].reset_index(drop=True))
    paths = [str(data / "bccd" / name) for name in table["file"]]
    given = datasets.Dataset.from_dict({"image": paths, "label": table["label"]})
    kinds = datasets.ClassLabel(names=list(folder.class_names))
    given = given.cast_column("image", datasets.Image()).cast_column("label", kinds)
    for back in (photos, Dataset.from_hf(given, size=64)):
        np.testing.assert_array_equal(back.images[:], folder.images[rows])
        np.testing.assert_array_equal(back.labels, folder.labels[rows])
