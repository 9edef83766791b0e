"""`to_hf` and `from_hf`, with the real `datasets`."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cellprep as cp
from cellprep import Dataset
from cellprep.errors import CellprepError
from cellprep.formats.codec import encode


def test_to_hf_has_images_labels_ids_copies_and_groups(made, grouped, tmp_path):
    datasets = pytest.importorskip("datasets")
    data = made.to_hf(cache_dir=tmp_path)
    assert isinstance(data.features["image"], datasets.Image)
    assert data.features["label"].names == list(made.class_names)
    assert (data["id"][:], data["copy"][:]) == (made.ids.tolist(), made.copies.tolist())
    assert data["label"][:] == made.labels.tolist()
    for row in range(0, len(made), 5):
        np.testing.assert_array_equal(np.asarray(data[row]["image"]), made.images[row])
    assert "group" not in data.features
    assert grouped.to_hf(cache_dir=tmp_path)["group"][:3] == ["slide 0", "slide 0", "slide 1"]


def test_an_equal_data_set_is_found_in_the_cache(grouped, tmp_path, read_rows):
    pytest.importorskip("datasets")
    recipe = cp.Recipe([cp.Jitter()], seed=1)
    one = recipe(grouped).to_hf(cache_dir=tmp_path)
    read_rows.clear()
    again = recipe(grouped).to_hf(cache_dir=tmp_path)
    assert not read_rows
    other = cp.Recipe([cp.Jitter()], seed=2)(grouped).to_hf(cache_dir=tmp_path)
    half = Dataset.from_arrays(grouped.images[:20], grouped.labels[:20], grouped.class_names)
    pixels = [np.asarray(data[0]["image"]) for data in (one, again, other)]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert (pixels[0] != pixels[2]).any()
    assert len(half.to_hf(cache_dir=tmp_path)) == 20


def test_to_hf_needs_little_memory(tmp_path):
    pytest.importorskip("datasets")
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 24, 24, 3), np.uint8)
    few = Dataset.from_arrays(pixels, np.arange(1000) % 2)
    few.to_hf(cache_dir=tmp_path)  # imports
    many = cp.Recipe([cp.RandAugment(copies=11)])(few)
    assert many.images[:2].shape == (2, 24, 24, 3)  # compiles
    tracemalloc.start()
    made = many.to_hf(cache_dir=tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made["id"][:] == many.ids.tolist()
    assert peak < len(many) * pixels[0].nbytes / 2


def test_from_hf_restores_what_to_hf_wrote(made, grouped, tmp_path, read_rows):
    pytest.importorskip("datasets")
    for data in (made, grouped):
        back = Dataset.from_hf(data.to_hf(cache_dir=tmp_path))
        pd.testing.assert_frame_equal(back.table(), data.table())
        np.testing.assert_array_equal(back.images[:], data.images[:])
        assert back.class_names == data.class_names
    with pytest.raises(CellprepError, match="would put copies of one image into two splits"):
        cp.split(Dataset.from_hf(made.to_hf(cache_dir=tmp_path)), train=0.5, test=0.5)


def test_from_hf_accepts_shuffled_selected_and_renamed_data(grouped, tmp_path):
    pytest.importorskip("datasets")
    data = grouped.to_hf(cache_dir=tmp_path).shuffle(seed=3).select(range(20))
    chosen = data.rename_column("id", "name").with_transform(lambda rows: 1 / 0)
    back = Dataset.from_hf(chosen, id="name", group="label")
    place = {id: row for row, id in enumerate(grouped.ids)}
    rows = [place[id] for id in back.ids]
    assert len(rows) == 20
    assert rows != sorted(rows)
    np.testing.assert_array_equal(back.images[:], grouped.images[rows])
    np.testing.assert_array_equal(back.labels, grouped.labels[rows])
    assert back.table()["group"].tolist() == back.labels.tolist()
    recipe = cp.Recipe([cp.Jitter()])
    cp.write(recipe(back), tmp_path / "out", progress=False, executor="processes", workers=2)
    np.testing.assert_array_equal(cp.read(tmp_path / "out").images[:], recipe(back).images[:])


def test_from_hf_reads_named_files_and_reports_bad_ones(grouped, tmp_path):
    datasets = pytest.importorskip("datasets")
    paths = []
    for row in range(6):
        paths.append(str(tmp_path / f"{row}.png"))
        Path(paths[-1]).write_bytes(encode(grouped.images[row]) if row != 2 else b"not an image")
    table = {"img": [*paths, str(tmp_path / "missing.png")], "kind": [*"ababab", "a"]}
    data = datasets.Dataset.from_dict(table).cast_column("img", datasets.Image())
    cells = Dataset.from_hf(data, label="kind")
    good = cells.readable()
    np.testing.assert_array_equal(good.images[:], grouped.images[[0, 1, 3, 4, 5]])
    assert good.bad == {"row 2": "is not an image file", "row 6": "No such file or directory"}
    written = cp.write(cells, tmp_path / "out", on_error="skip", progress=False)
    assert (written.rows, len(written.bad)) == (5, 2)
    with pytest.raises(CellprepError, match="2 images cannot be used: row 2: is not an image"):
        cells.to_hf(cache_dir=tmp_path / "cache")


def test_from_hf_reads_masks(grouped, tmp_path):
    datasets = pytest.importorskip("datasets")
    masked = cp.Recipe([cp.KMeansMask()])(grouped)
    cp.write(masked, tmp_path / "out", format="parquet", masks=True, progress=False)
    files = [str(file) for file in (tmp_path / "out" / "data").iterdir()]
    data = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache"))
    back = Dataset.from_hf(data)
    np.testing.assert_array_equal(back.masks[:], masked.masks[:])
    pd.testing.assert_frame_equal(back.table(), grouped.table())


def test_from_hf_refuses_unusable_data(grouped, tmp_path):
    datasets = pytest.importorskip("datasets")
    data = grouped.to_hf(cache_dir=tmp_path)
    refused: list[tuple[Any, dict[str, Any], str]] = [
        (
            datasets.DatasetDict(train=data),
            {},
            'choose one split and do not stream, as in load_dataset(..., split="tr',
        ),
        (data.to_iterable_dataset(), {}, "do not stream"),
        (data.select([]), {}, "contains no images"),
        (data.remove_columns("image"), {}, "no column contains images"),
        (data, {"label": "labl"}, "has no column 'labl'; did you mean 'label'?"),
        (data, {"id": "name"}, "has no column 'name'"),
    ]
    for given, settings, message in refused:
        with pytest.raises(CellprepError, match=re.escape(message)):
            Dataset.from_hf(given, **settings)
