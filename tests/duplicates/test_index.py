"""The duplicate index: queries, growth, files."""

from __future__ import annotations

import numpy as np
import pytest

import cellprep as cp
from cellprep.duplicates.settings import Search
from cellprep.synthetic import draw_cells

from .copies import jpeg, messy, turn


def full_search(cells: np.ndarray, new: np.ndarray, search: Search) -> set[tuple[int, int]]:
    """Pairs one by one, by `find_duplicates`."""
    found = set()
    for number, image in enumerate(new):
        for other, cell in enumerate(cells):
            table = cp.find_duplicates(
                np.stack([cell, image]), near=search.near, symmetries=search.symmetries
            )
            if len(table):
                found.add((number, other))
    return found


def queried(index: cp.DuplicateIndex, new: np.ndarray) -> set[tuple[int, int]]:
    return set(index.query(new)[["id", "of"]].itertuples(index=False, name=None))


def test_query_finds_the_same_pairs_as_a_full_search(tmp_path) -> None:
    cells, new = messy()
    cells, new = cells[:20], new[::3]
    search = Search(4, True)
    index = cp.DuplicateIndex.of(cells, near=4, symmetries=True)
    expected = full_search(cells, new, search)
    assert len(expected) > 5
    assert queried(index, new) == expected
    grown = cp.DuplicateIndex.of(cells[:7], near=4).add(cells[7:12]).add(cells[12:])
    assert len(grown) == len(cells)
    assert queried(grown, new) == expected
    grown.save(tmp_path / "cells.index")
    again = cp.DuplicateIndex.load(tmp_path / "cells.index")
    assert repr(again) == repr(index)
    assert again.query(new).equals(index.query(new))


def test_query_reports_relation_and_conflict() -> None:
    cells, labels = draw_cells([1] * 8, seed=0)
    index = cp.DuplicateIndex.of(cells, labels, near=4)
    new = np.concatenate([cells[2:3], turn(cells[5:6], "rotate_90"), jpeg(cells[7:], 75)])
    table = index.query(new, [2, 5, 1])
    assert table["id"].tolist() == [0, 1, 2]
    assert table["of"].tolist() == [2, 5, 7]
    assert table["relation"].tolist() == ["exact", "symmetry", "near"]
    assert table["symmetry"].tolist() == ["identity", "rotate_90", "identity"]
    assert table["conflict"].tolist() == [False, False, True]
    assert not index.query(new)["conflict"].any()
    assert index.query(draw_cells([1] * 8, seed=1)[0]).empty


def test_index_refuses_known_ids_other_sizes_and_damaged_files(tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    index = cp.DuplicateIndex.of(images, near=2)
    with pytest.raises(cp.CellprepError, match="already contains id '1'"):
        index.add(images, ids=[7, 1, 8])
    with pytest.raises(cp.CellprepError, match="16x16, these are 8x16"):
        index.query(images[:, :8])
    path = tmp_path / "index"
    index.save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"no index", whole[: len(whole) // 2], whole.replace(b"0", b"1")):
        path.write_bytes(damaged)
        with pytest.raises(cp.CellprepError, match=r"not an index of duplicates|version"):
            cp.DuplicateIndex.load(path)
    np.savez(tmp_path / "other.npz", images=images)
    with pytest.raises(cp.CellprepError, match="not an index of duplicates"):
        cp.DuplicateIndex.load(tmp_path / "other.npz")
    with pytest.raises(cp.CellprepError, match="there is no index file"):
        cp.DuplicateIndex.load(tmp_path / "absent")
