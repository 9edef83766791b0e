"""Signatures that were measured while images were read lead to the same duplicates."""

from __future__ import annotations

import pandas as pd
import pytest
from PIL import Image

import cellprep as cp
from cellprep.duplicates import signatures
from cellprep.duplicates.settings import Search


@pytest.mark.parametrize("search", [Search(4, True), Search(4), Search(None, True)], ids=str)
def test_duplicates_are_found_without_reading_again(search, cells, tmp_path, monkeypatch):
    for number, image in enumerate(cells[0][:12]):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "a" / f"{number}.png")
        Image.fromarray(image).rotate(90).save(tmp_path / "a" / f"{number}t.png")
    how = {"near": search.near, "symmetries": search.symmetries}
    expected = cp.find_duplicates(cp.read(tmp_path), **how)
    found = cp.read(tmp_path)
    found = found.measured(signatures.measures(found, search))
    assert len(found) == 24
    monkeypatch.setattr(signatures, "Measuring", None)  # calling it would fail
    pd.testing.assert_frame_equal(cp.find_duplicates(found, **how), expected)
    assert len(expected) == (24 if search.symmetries else 0)


def test_many_signatures_are_not_kept(monkeypatch, cells):
    monkeypatch.setattr(signatures, "_IN_MEMORY", 1)
    assert signatures.measures(cp.Dataset.from_arrays(*cells), Search(4)) == {}
