"""Images without labels: folders without class folders, npz and zarr without labels, one image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import cellprep as cp
from cellprep import CellprepError


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def test_a_folder_of_images_is_read_without_labels(images, tmp_path):
    names = ["b.png", "a.png", "deep/c.png", "deep/er/a.png", "z.png"]
    for name, image in zip(names, images, strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CellprepError, match=r"outside its class folders .* labels=None"):
        cp.read(tmp_path)
    cells = cp.read(tmp_path, labels=None)
    assert cells.ids.tolist() == sorted(names)
    assert cells.counts() == {"?": 5}
    np.testing.assert_array_equal(cells.images[:], images[np.argsort(names)])
    one = cp.read(tmp_path / "deep" / "c.png", labels=None, size=4)
    assert (one.ids.tolist(), one.shape) == (["c.png"], (1, 4, 4, 3))
    with pytest.raises(CellprepError, match="is not a folder; one image can be read"):
        cp.read(tmp_path / "b.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CellprepError, match="contains no images"):
        cp.read(tmp_path / "empty", labels=None)


def test_arrays_are_read_without_labels(images, tmp_path):
    np.savez(tmp_path / "a.npz", images=images)
    cells = cp.read(tmp_path / "a.npz", labels=None)
    assert cells.counts() == {"?": 5}
    np.testing.assert_array_equal(cells.images[:], images)
    again = cp.Recipe([cp.Jitter()])(cells)
    cp.write(again, tmp_path / "out", progress=False)
    np.testing.assert_array_equal(cp.replay(tmp_path / "out", cells), again.images[:])


@pytest.mark.parametrize("format", ["npz", "folder", "shards", "zarr"])
def test_a_written_set_keeps_its_labels(images, format, tmp_path):
    if format == "zarr":
        pytest.importorskip("zarr")
    cells = cp.Dataset.from_arrays(images, [0, 1, 1, 0, 1], ["a", "b"])
    path = tmp_path / ("a.npz" if format == "npz" else "a")
    cp.write(cells, path, format=format, progress=False)
    assert cp.read(path, labels=None).labels.tolist() == [0, 1, 1, 0, 1]


def test_a_zarr_group_is_read_without_labels(images, tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "g"), mode="w")
    group.create_array("images", data=images)
    assert cp.read(tmp_path / "g", format="zarr", labels=None).counts() == {"?": 5}
