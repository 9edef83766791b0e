"""zarr: our groups are read by the zarr library, and any group is read by us."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellprep as cp
from cellprep.errors import CellprepError

from ..writing.helpers import assert_equal_sets, tree
from .helpers import (
    RECIPE,
    grouped,
    write,
)


@settings(max_examples=15)
@given(
    st.integers(1, 70),
    st.integers(1, 50),
    st.sampled_from([(4, 5), (24, 24), (400, 150)]),
    st.booleans(),
)
def test_zarr_files_equal_those_of_the_zarr_library(n, rows, shape, masked) -> None:
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
            for chunk, expected in tree(Path(folder) / "b" / name).items():
                if chunk.startswith("c"):
                    assert (path / name / chunk).read_bytes() == expected


def test_the_zarr_library_reads_our_groups(tmp_path) -> None:
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
def test_any_zarr_group_is_read(version, tmp_path) -> None:
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


def test_our_zarr_group_is_read_without_its_manifest(tmp_path) -> None:
    made = RECIPE(grouped())
    path = write(made, tmp_path / "out", "zarr", masks=True)
    (path / "dataset.json").unlink()
    assert_equal_sets(cp.read(path), made)
    np.testing.assert_array_equal(cp.read(path, masks="masks").masks[:], made.masks[:])


def test_zarr_arrays_of_python_objects_are_refused(tmp_path) -> None:
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
def test_a_damaged_zarr_group_is_refused(text, tmp_path) -> None:
    (tmp_path / "zarr.json").write_text(text)
    with pytest.raises(CellprepError, match="not a zarr group, or a damaged one"):
        cp.read(tmp_path)
