"""Nothing outside a data set is deleted or replaced, whatever links and indexes lead there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats.manifest import INDEX

from .test_kills import tree
from .verify_helpers import flip, write


def put(folder: Path, names: list[str]) -> dict[str, bytes]:
    """Files of a user, and what they contain."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"mine")
    return tree(folder)


def folders_of(path: Path) -> list[str]:
    return sorted(str(f.relative_to(path)) for f in path.rglob("*") if f.is_dir())


LINKED = [
    *(("folder", name) for name in ("masks", "masks/0", "0", "quarantine", ".cellprep")),
    *(("zarr", name) for name in ("images", "masks", "labels", "quarantine", ".cellprep")),
    *(("parquet", name) for name in ("data", ".cellprep")),
    *((format, ".cellprep") for format in ("shards", "tfrecord", "webdataset")),
]


@pytest.mark.parametrize("how", ["overwrite", "other format", "repair", "resume"])
@pytest.mark.parametrize(("format", "name"), LINKED)
def test_nothing_behind_a_link_is_changed(format, name, how, tmp_path) -> None:
    path, outside = tmp_path / "out", tmp_path / "outside"
    write(path, format)
    if (path / name).is_dir():
        shutil.copytree(path / name, outside)
        shutil.rmtree(path / name)
    put(outside, ["c.0", "lock", "part-00000.arrow", "files.parquet", "a.npy", "mine.png"])
    (path / name).symlink_to(outside, target_is_directory=True)
    if how == "repair":
        next(file for file in outside.rglob("*") if file.is_file()).unlink()
        flip(path / INDEX)
    if how == "resume" and name != ".cellprep":
        (path / ".cellprep").mkdir(exist_ok=True)
        (path / "dataset.json").rename(path / ".cellprep" / "plan.json")
    before = tree(tmp_path)
    other = {"overwrite": format, "other format": "shards"}
    with pytest.raises(CellprepError, match="is a link to another folder") as error:
        write(path, other.get(how, format), overwrite=how in other)
    assert "\n" not in str(error.value)
    assert tree(tmp_path) == before


def test_a_foreign_index_deletes_nothing(tmp_path) -> None:
    """It names files of the user, inside and outside, that the set's own index does not name."""
    path = tmp_path / "out"
    write(path, "folder")
    mine = put(tmp_path / "mine", ["photo.png"])
    put(path, ["photo.png", "sub/photo.png"])
    (path / "link.png").symlink_to(tmp_path / "mine" / "photo.png")
    names = ["photo.png", "sub/photo.png", "../mine/photo.png", str(tmp_path / "mine/photo.png")]
    pq.write_table(pa.table({"file": names}), path / INDEX)
    write(path, overwrite=True)
    assert tree(tmp_path / "mine") == mine
    assert (path / "photo.png").read_bytes() == (path / "sub" / "photo.png").read_bytes() == b"mine"
    assert not len(cp.verify(path))


@pytest.mark.parametrize("name", ["quarantine/b/bad.png", "shard-00000.npy", INDEX])
def test_a_linked_file_is_replaced_and_what_it_links_to_is_not(name, tmp_path) -> None:
    for file in ("a/0.png", "b/0.png"):
        (tmp_path / "in" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "in" / file)
    (tmp_path / "in" / "b" / "bad.png").write_bytes(b"bad")
    path, outside = tmp_path / "out", tmp_path / "precious"
    source = cp.read(tmp_path / "in")
    cp.write(source, path, on_error="quarantine", progress=False)
    outside.write_bytes(b"precious")
    (path / name).unlink()
    (path / name).symlink_to(outside)
    cp.write(source, path, on_error="quarantine", overwrite=True, progress=False)
    assert outside.read_bytes() == b"precious"
    assert not len(cp.verify(path))
    assert (path / "quarantine" / "b" / "bad.png").read_bytes() == b"bad"
