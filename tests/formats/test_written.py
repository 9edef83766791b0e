"""`look_at` distinguishes everything that a path may contain."""

from __future__ import annotations

import numpy as np
import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats.written import PLAN, Found, is_empty, load_manifest, look_at, written_format

from .. import manifests


@pytest.fixture
def written(cells, tmp_path):
    path = tmp_path / "out"
    cp.write(cp.Dataset.from_arrays(*cells), path, progress=False)
    return path


def unfinish(path):
    (path / PLAN).parent.mkdir()
    (path / "dataset.json").rename(path / PLAN)


def test_a_complete_data_set(written) -> None:
    found = look_at(written)
    assert (found.complete, found.begun, found.damage) == (True, False, None)
    assert written_format(written) == "shards"
    assert load_manifest(written) == found.manifest


def test_an_unfinished_data_set(written) -> None:
    unfinish(written)
    found = look_at(written)
    assert found.manifest is not None
    assert (found.complete, found.begun) == (False, True)
    with pytest.raises(CellprepError, match="not written to the end"):
        written_format(written)
    with pytest.raises(CellprepError, match="has finished"):
        load_manifest(written)


def test_a_damaged_manifest(written) -> None:
    (written / "dataset.json").write_text("{}")
    found = look_at(written)
    assert found.manifest is None
    assert found.damage is not None
    for ask in (written_format, load_manifest):
        with pytest.raises(CellprepError, match="has no usable format"):
            ask(written)


def test_a_damaged_plan_is_an_unfinished_data_set(written) -> None:
    unfinish(written)
    (written / PLAN).write_text("{}")
    found = look_at(written)
    assert (found.manifest, found.begun) == (None, True)
    with pytest.raises(CellprepError, match="not written to the end"):
        written_format(written)


def test_folders_and_files_of_other_origin(tmp_path) -> None:
    assert look_at(tmp_path) == Found()
    assert written_format(tmp_path) is None
    np.savez(tmp_path / "cells.npz", images=0)
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("cells.npz", "notes.txt"):
        assert look_at(tmp_path / name) == Found()
        with pytest.raises(CellprepError, match="has finished"):
            load_manifest(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "empty"),
    [
        (None, True),
        (".cellprep/lock", True),
        (".cellprep/.plan.json.01234567.cellprep.tmp", True),
        (".cellprep/part-00000.arrow", False),
        ("notes.txt", False),
    ],
)
def test_a_folder_is_empty_with_only_what_a_killed_write_left_as_it_began(
    name, empty, tmp_path
) -> None:
    if name is not None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert is_empty(tmp_path) == empty


@pytest.mark.parametrize("entry", ["made_of", "recipe", "stages"])
def test_a_manifest_nested_very_deeply_is_refused(entry, cells, tmp_path) -> None:
    dataset = cp.Dataset.from_arrays(*cells)
    cp.write(cp.Recipe([cp.Jitter()])(dataset), tmp_path / "out", progress=False)
    saved, deep = manifests.load(tmp_path / "out"), []
    for _ in range(900):
        deep = [deep]
    inner = saved[entry] if entry == "made_of" else saved[entry][0]
    inner["seed"] = deep
    manifests.save(tmp_path / "out", saved)
    for use in (cp.read, cp.verify, lambda path: cp.replay(path, dataset)):
        with pytest.raises(CellprepError, match=f"has no usable {entry}"):
            use(tmp_path / "out")


@pytest.mark.parametrize(
    "stamp", [None, {"bytes": 3}, {"bytes": 3, "xxh3_128": None}, {"xxh3_128": ""}]
)
def test_a_manifest_with_a_damaged_stamp_is_refused(stamp, written) -> None:
    saved = manifests.load(written)
    for files, entry in ((saved["shards"][0]["files"], "shards"), (saved["files"], "files")):
        before = dict(files)
        files[next(iter(files))] = stamp
        manifests.save(written, saved)
        for use in (cp.read, cp.verify):
            with pytest.raises(CellprepError, match=f"has no usable {entry}"):
                use(written)
        files |= before
