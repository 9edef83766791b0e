"""What every file format guarantees."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import cellprep as cp
from cellprep import cli
from cellprep.errors import CellprepError
from cellprep.formats import FORMATS

from .. import manifests
from ..writing.helpers import assert_equal_sets, breaking, dataset, outcome, tree
from ..writing.test_interrupted import kill_everywhere
from .helpers import (
    DAMAGES,
    MANY,
    RECIPE,
    grouped,
    target,
    write,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Callable[[str], Path]:
    """The data set in a format, written once."""

    @cache
    def path(format: str) -> Path:
        to = target(tmp_path_factory.mktemp(format), format)
        return write(RECIPE(grouped()), to, format, masks=True)

    return path


@pytest.mark.parametrize("new", FORMATS)
@pytest.mark.parametrize("old", FORMATS)
def test_convert_between_any_two_formats_keeps_everything(old, new, written, tmp_path) -> None:
    out, made = target(tmp_path, new), RECIPE(grouped())
    asked = [str(written(old)), str(out), "--format", new, "--masks", "--rows-per-shard", "9"]
    done = CliRunner().invoke(cli.main, ["convert", *asked])
    assert done.exit_code == 0, done.output
    again = cp.read(out)
    assert_equal_sets(again, made)
    np.testing.assert_array_equal(again.masks[:], made.masks[:])
    some = [70, 3, 3, 50]
    np.testing.assert_array_equal(again.images[some], made.images[some])
    np.testing.assert_array_equal(again.masks[some], made.masks[some])
    np.testing.assert_array_equal(cp.replay(out, grouped(), some), made.images[some])
    outside = {entry.name for entry in tmp_path.parent.parent.iterdir()}
    assert not any("cell" in name or "patient" in name for name in outside)


@pytest.mark.parametrize("format", sorted(FORMATS.keys() - {"shards", "folder", "npz"}))
def test_files_do_not_depend_on_workers(format, tmp_path) -> None:
    made = RECIPE(grouped())
    one, three, others = (target(tmp_path / name, format) for name in ("one", "three", "others"))
    write(made, one, format, workers=1, masks=True)
    write(made, three, format, workers=3, masks=True)
    write(made, others, format, workers=2, masks=True, executor="processes")
    assert tree(one) == tree(three) == tree(others)


@pytest.mark.parametrize("format", MANY)
def test_an_interrupted_write_is_resumed(format, tmp_path) -> None:
    jitter, options = cp.Recipe([cp.Jitter()]), {"rows_per_shard": 5, "workers": 1}
    path = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        write(jitter(breaking(dataset(), KeyboardInterrupt())), path, format, **options)
    assert not list(path.rglob("*.tmp"))
    with pytest.raises(CellprepError, match="not written to the end"):
        cp.read(path)
    assert cp.write(jitter(dataset()), path, format=format, progress=False, **options).resumed == 15
    write(jitter(dataset()), tmp_path / "expected", format, **options)
    assert tree(path) == tree(tmp_path / "expected")


@pytest.mark.slow
@pytest.mark.parametrize(("format", "before"), [("zarr", "new"), ("tfrecord", "zarr")])
def test_resume_after_a_kill_before_any_file_system_change(format, before, tmp_path) -> None:
    assert int(outcome(kill_everywhere, tmp_path, format, before)) > 25


@pytest.mark.parametrize("new", FORMATS)
@pytest.mark.parametrize("old", FORMATS)
@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
def test_overwriting_with_another_format_deletes_all_old_files(
    old, new, complete, tmp_path
) -> None:
    path, mine = tmp_path / "out", {}
    if complete:
        write(grouped(), path, old, masks=True)
    elif not FORMATS[old].is_file:
        with pytest.raises(KeyboardInterrupt):
            write(breaking(dataset(), KeyboardInterrupt()), path, old, rows_per_shard=5, workers=1)
    if path.is_dir() and not FORMATS[new].is_file:
        mine = {"shard-mine.tfrecord": b"mine", "images/mine": b"mine", "ids/c.1.txt": b"mine"}
        for name, data in mine.items():
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_bytes(data)
    write(dataset(n=30), path, new, overwrite=True)
    write(dataset(n=30), tmp_path / "reference", new)
    assert tree(path) == {**tree(tmp_path / "reference"), **mine}
    folders = {entry.name for entry in path.rglob("*") if entry.is_dir()}
    expected = {entry.name for entry in (tmp_path / "reference").rglob("*") if entry.is_dir()}
    assert folders == expected | ({"images", "ids"} if mine else set())


@pytest.mark.parametrize(
    "format", sorted({"zarr", "tfrecord", *(f for f in MANY if FORMATS[f].needs)})
)
def test_a_missing_library_is_reported_before_anything_is_written(
    format, tmp_path, monkeypatch
) -> None:
    write(dataset(), tmp_path / "out", "shards")
    before = tree(tmp_path)
    assert FORMATS[format].needs
    for module in FORMATS[format].needs:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(CellprepError, match=rf"{module}.*'cellprep\[{format}\]'"):
                write(dataset(), tmp_path / "out", format, overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("zarr", "images/c.1.0.0.0"),
        ("zarr", "masks/c.0.0.0"),
        ("zarr", "zarr.json"),
        ("zarr", "images/zarr.json"),
        ("tfrecord", "shard-00001.tfrecord"),
        ("tfrecord", "index.parquet"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(format, name, damage, tmp_path) -> None:
    path = write(grouped(), tmp_path / "out", format, masks=True)
    damage(path / name)
    with pytest.raises(CellprepError) as error:
        cp.read(path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["files", "rows"])
@pytest.mark.parametrize("format", ["zarr", "tfrecord"])
def test_a_manifest_without_file_names_is_refused(format, key, tmp_path) -> None:
    path = write(grouped(), tmp_path / "out", format)
    manifest = manifests.load(path)
    del manifest["shards"][1][key]
    manifests.save(path, manifest)
    with pytest.raises(CellprepError, match=r"dataset\.json.* damaged"):
        cp.read(path)


@pytest.mark.parametrize("format", FORMATS)
def test_a_source_names_its_rows_and_knows_its_image_sizes(format, written) -> None:
    source = cp.read(written(format)).source
    names = [source.row_name(row) for row in range(len(source.rows))]
    assert all(names)
    assert len(set(names)) == len(names)
    assert source.image_sizes() == [(24, 24)] * len(names)
    assert source.location() == f"from {written(format)}"
    assert source.holds_files() == (format == "folder")
    assert source.digested() is None
