"""The same data set gives the same files, however and wherever it is written."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

import cellprep as cp
from cellprep.plan import plan as plan_module
from cellprep.system.platform import reserve

from .helpers import (
    FORMATS,
    MOVE,
    RECIPES,
    assert_equal_sets,
    assert_same,
    cells_and_labels,
    dataset,
    tree,
    write,
)


@pytest.mark.parametrize("name", RECIPES)
def test_bytes_do_not_depend_on_workers_shards_blocks_or_row_order(name, tmp_path, monkeypatch):
    recipe = RECIPES[name]
    write(recipe(dataset()), tmp_path / "reference", workers=1)
    shuffled = np.random.default_rng(0).permutation(35)
    for number, (order, rows, workers) in enumerate(
        [(slice(None), 7, 3), (shuffled, 16, 2), (slice(None, None, -1), 1, 1)]
    ):
        monkeypatch.setattr(plan_module, "_BLOCK_BYTES", (5 + 2 * number) * 24 * 24 * 3)
        path = tmp_path / str(number)
        write(recipe(dataset(order)), path, rows_per_shard=rows, workers=workers)
        assert_same(path, tmp_path / "reference")


@pytest.mark.parametrize("format", FORMATS)
def test_files_do_not_depend_on_path_or_time(format, tmp_path, monkeypatch):
    made = RECIPES["all"](dataset())
    path, other = tmp_path / f"a.{format}", tmp_path / "elsewhere" / "b"
    write(made, path, format=format, rows_per_shard=30)
    monkeypatch.setattr(plan_module, "_BLOCK_BYTES", 10_000)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 1e6)
    write(made, other, format=format, rows_per_shard=30, workers=3)
    assert tree(path) == tree(other)


@pytest.mark.parametrize(("workers", "format"), [(2, "shards"), (3, "folder"), (2, "npz")])
def test_processes_write_the_same_files_as_threads(workers, format, tmp_path):
    made = RECIPES["all"](dataset())
    options = {"format": format, "rows_per_shard": 40}
    write(made, tmp_path / "threads", **options)
    write(made, tmp_path / "processes", executor="processes", workers=workers, **options)
    assert tree(tmp_path / "threads") == tree(tmp_path / "processes")


def test_files_have_the_mode_of_the_users_umask_which_is_not_changed(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("all threads share it"))
        write(MOVE(dataset()), tmp_path / "out", rows_per_shard=5)
    finally:
        monkeypatch.undo()
        os.umask(before)
    modes = {file.stat().st_mode & 0o777 for file in tmp_path.rglob("*") if file.is_file()}
    assert modes == {0o640}


def test_reserved_space_that_is_not_used_does_not_enlarge_the_file(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        reserve(file, 1 << 20)
        file.write(b"three")
    assert (tmp_path / "file").read_bytes() == b"three"


ODD_IDS = [
    "a/b c'é.png",
    "a/b c'é.jpg",
    "../up",
    "",
    ".hidden",
    "A/B C'É.PNG",
    "x" * 300,
    "a\\b",
    "日本 %2F",
]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ids": np.arange(9) * 10**15 - 5},
        {"ids": ODD_IDS},
        {
            "ids": ODD_IDS,
            "class_names": ["a/b", "a__b", "ü (1)", "..", "A/B"],
            "groups": list("abcabcabc"),
        },
        {"groups": np.arange(9) // 2},
        {"class_names": ["0", "1", "2", "none of these", "3"]},
    ],
    ids=["plain", "int ids", "odd ids", "odd names", "int groups", "empty class"],
)
def test_a_written_data_set_is_read_unchanged(format, options, tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (9, 8, 10, 3)).astype(np.uint8)
    first = cp.Dataset.from_arrays(images, [2, 0, 1] * 3, **options)
    path, again = tmp_path / "one.npz", tmp_path / "two.npz"
    write(first, path, format=format, rows_per_shard=4)
    read = cp.read(path)
    assert_equal_sets(read, first)
    np.testing.assert_array_equal(read.images[[7, 2]], images[[7, 2]])
    write(read, again, format=format, rows_per_shard=4)
    assert_equal_sets(cp.read(again), first)
    copies = cp.RandAugment(copies=2)
    many = cp.Recipe([copies])(read)
    write(many, tmp_path / "three.npz", format=format, rows_per_shard=5)
    assert_equal_sets(cp.read(tmp_path / "three.npz"), many)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_any_npz_is_read_and_an_uncompressed_one_is_mapped(save, tmp_path):
    images, labels = cells_and_labels()
    save(tmp_path / "cells.npz", images=np.asfortranarray(images), labels=labels[:, None])
    cells = cp.read(tmp_path / "cells.npz")
    np.testing.assert_array_equal(cells.to_arrays()[0], images)
    np.testing.assert_array_equal(cells.labels, labels)
    mapped = isinstance(cells.source.array, np.memmap)  # type: ignore[attr-defined]
    assert mapped == (save is np.savez)
