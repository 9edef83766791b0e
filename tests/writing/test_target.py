"""What a target path contains decides whether it is written, resumed, replaced or refused."""

from __future__ import annotations

import numpy as np
import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.plan.plan import Plan
from cellprep.synthetic import CLASS_NAMES

from .helpers import (
    FORMATS,
    MOVE,
    RECIPES,
    cells_and_labels,
    dataset,
    other_pixels,
    times,
    tree,
    unfinished,
    write,
)

OTHERS = {
    "seed": (lambda: cp.Recipe(MOVE.steps, 2)(dataset()), {}, "Jitter: seed 1 there, 2 here"),
    "setting": (
        lambda: cp.Recipe([cp.Jitter(zoom=0.2)], 1)(dataset()),
        {},
        "Jitter: zoom 0.1 there, 0.2 here",
    ),
    "steps": (
        lambda: cp.Recipe([cp.Dedupe(), *MOVE.steps], 1)(dataset()),
        {},
        "steps Jitter there, Dedupe, Jitter here",
    ),
    "fewer rows": (lambda: MOVE(dataset(n=34)), {}, "has other rows"),
    "order": (lambda: MOVE(dataset(slice(None, None, -1))), {}, "has other rows"),
    "groups": (lambda: MOVE(dataset(groups=np.arange(35))), {}, "has other rows"),
    "pixels": (lambda: MOVE(other_pixels()), {}, "made from other images"),
    "rows per shard": (
        lambda: MOVE(dataset()),
        {"rows_per_shard": 4},
        "rows_per_shard 5 there, 4 here",
    ),
    "format": (lambda: MOVE(dataset()), {"format": "folder"}, "format shards there, folder here"),
    "class names": (
        lambda: MOVE(dataset(class_names=[*CLASS_NAMES[:-1], "x"])),
        {},
        r"class_names \[.*platelet.*\] there, \[.*x.*\] here",
    ),
}


@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("name", OTHERS)
def test_another_data_set_is_refused_and_the_difference_named(name, complete, tmp_path):
    path = tmp_path / "out"
    if complete:
        write(MOVE(dataset()), path, rows_per_shard=5)
    else:
        unfinished(path)
    before, dated = tree(path), times(path)
    make, options, difference = OTHERS[name]
    with pytest.raises(
        CellprepError, match=f"contains another data set .*{difference}.*overwrite="
    ):
        write(make(), path, **{"rows_per_shard": 5, **options})
    assert (tree(path), times(path)) == (before, dated)
    options = {"rows_per_shard": 5, **options}
    write(make(), path, overwrite=True, **options)
    write(make(), tmp_path / "reference", **options)
    assert tree(path) == tree(tmp_path / "reference")


@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("library", ["cellprep.plan.fingerprint", "numpy", "PIL"])
def test_another_library_version_is_refused_and_named(library, complete, tmp_path, monkeypatch):
    path = tmp_path / "out"
    write(MOVE(dataset()), path, rows_per_shard=5) if complete else unfinished(path)
    before = tree(path)
    with monkeypatch.context() as patched:
        patched.setattr(f"{library}.__version__", "99")
        name = {"PIL": "pillow", "cellprep.plan.fingerprint": "cellprep"}.get(library, library)
        with pytest.raises(CellprepError, match=rf"another data set \({name} .* there, 99 here\)"):
            write(MOVE(dataset()), path, rows_per_shard=5)
    assert tree(path) == before
    assert write(MOVE(dataset()), path, rows_per_shard=5).resumed > 0


def test_a_complete_data_set_is_not_written_again(tmp_path):
    path = tmp_path / "out"
    first = write(MOVE(dataset()), path)
    dated = times(path)
    again = write(MOVE(dataset()), path, workers=1)
    assert (first.resumed, again.resumed, again.rows) == (0, 35, 35)
    with pytest.raises(CellprepError, match="contains this data set already; resume=True"):
        write(MOVE(dataset()), path, resume=False)
    assert times(path) == dated


def test_an_unfinished_data_set_is_refused_without_resume(tmp_path):
    unfinished(tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(CellprepError, match="contains this data set already"):
        write(MOVE(dataset()), tmp_path / "out", rows_per_shard=5, resume=False)
    assert tree(tmp_path) == before


def test_settings_that_json_changes_are_still_the_same_settings(tmp_path):
    def own(plan: Plan) -> Plan:
        return plan.begin("own", {"step": "Own", "levels": (1, 2), "names": {3: "c"}}, 0)

    for resumed in (0, 35):
        assert write(dataset().then(own), tmp_path / "out").resumed == resumed


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("what", ["folder", "file", "npz", "manifest", "link"])
def test_foreign_files_are_never_replaced(what, format, overwrite, tmp_path):
    path = tmp_path / "theirs"
    if what == "folder":
        (path / "cells").mkdir(parents=True)
        (path / "cells" / "shard-00000.npy").write_bytes(b"theirs")
    elif what == "manifest":
        path.mkdir()
        (path / "dataset.json").write_text('{"format": "theirs"}')
    elif what == "npz":
        with path.open("wb") as file:
            np.savez(file, images=cells_and_labels()[0])
    elif what == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.write_text("theirs")
    before = tree(tmp_path)
    with pytest.raises(CellprepError, match="contains something that cellprep did not write"):
        write(dataset(), path, format=format, overwrite=overwrite)
    assert tree(tmp_path) == before
    assert path.is_symlink() == (what == "link")


@pytest.mark.parametrize("new", FORMATS)
@pytest.mark.parametrize("old", FORMATS)
@pytest.mark.parametrize("complete", [True, False], ids=["finished", "unfinished"])
def test_overwrite_deletes_only_what_cellprep_wrote(old, new, complete, tmp_path):
    path = tmp_path / "out"
    mine: dict[str, bytes] = {}
    if complete:
        write(RECIPES["clean"](dataset()), path, format=old, rows_per_shard=5)
    elif old == "npz":
        return  # a single file is never unfinished
    else:
        unfinished(path, format=old)
    if "npz" not in (old, new):
        mine = dict.fromkeys(("notes.txt", "shard-1-of-mine.npy", "kept/.a.tmp"), b"mine")
        (path / "kept").mkdir()
        for name, data in mine.items():
            (path / name).write_bytes(data)
    write(MOVE(dataset(n=30)), path, format=new, overwrite=True)
    write(MOVE(dataset(n=30)), tmp_path / "reference", format=new)
    assert tree(path) == {**tree(tmp_path / "reference"), **mine}
    folders = {entry.name for entry in path.rglob("*") if entry.is_dir()}
    expected = {entry.name for entry in (tmp_path / "reference").rglob("*") if entry.is_dir()}
    assert folders - {"kept"} == expected


def test_a_folder_with_files_of_the_user_is_not_replaced_by_a_file(tmp_path):
    path = tmp_path / "out"
    write(dataset(), path)
    (path / "notes.txt").write_text("mine")
    before = tree(path)
    with pytest.raises(CellprepError, match=r"notes\.txt"):
        write(dataset(), path, format="npz", overwrite=True)
    assert tree(path) == before


@pytest.mark.parametrize("format", ["shards", "folder"])
def test_an_output_that_overlaps_the_input_is_refused(format, tmp_path):
    path = tmp_path / "in" / "cells"
    write(dataset(), path, format=format)
    cells, before = cp.read(path), tree(tmp_path)
    for target, reason in (
        (path, "input itself"),
        (path / "x", "inside"),
        (path.parent, "contains the input"),
    ):
        with pytest.raises(CellprepError, match=reason):
            write(MOVE(cells), target, overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "options",
    [
        {"format": "shard"},
        {"rows_per_shard": 0},
        {"workers": 0},
        {"executor": "thread"},
        {"on_error": "ignore"},
        {"format": "npz", "on_error": "quarantine"},
    ],
    ids=str,
)
def test_invalid_settings_write_nothing(options, tmp_path):
    with pytest.raises(CellprepError):
        write(dataset(), tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [".", "../here", "sub/.."])
def test_the_current_folder_can_be_written_to(name, tmp_path, monkeypatch):
    write(dataset(n=9), tmp_path / "reference")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert write(dataset(n=9), name).rows == 9
    assert tree(tmp_path / "here") == tree(tmp_path / "reference")
    assert write(dataset(n=9), name).resumed == 9


def test_a_path_without_a_name_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CellprepError, match="is a folder, not a npz file"):
        write(dataset(n=9), ".", format="npz")
    with pytest.raises(CellprepError, match="is the root of all folders"):
        write(dataset(n=9), "/")
    assert not tree(tmp_path)
