"""The report stays below its size limit, and equal data sets make equal pages."""

from __future__ import annotations

import numpy as np

import cellprep as cp
from cellprep.report import duplicate_groups, page
from cellprep.synthetic import draw_messy_set
from cellprep.system import executors

from .report_page import Page, page_of


def test_page_stays_below_its_limit_and_states_what_is_omitted(tmp_path, monkeypatch) -> None:
    cells = cp.Dataset.from_arrays(*draw_messy_set(400, side=48))
    whole = cp.report(cells, tmp_path / "whole.html")
    assert whole.bytes < page.LIMIT
    room = whole.bytes - 150_000
    monkeypatch.setattr(page, "LIMIT", room)
    less = cp.report(cells, tmp_path / "less.html")
    assert room - 100_000 < less.bytes <= room
    assert 0 < less.pictures < whole.pictures
    found = Page(less.path.read_text("utf-8"))
    assert f"the last {whole.pictures - less.pictures} did not fit" in found.text
    table = cp.find_duplicates(cells, near=4, symmetries=True)
    assert sum(map(len, found.data["groups"].values())) == len(table)


def test_equal_pictures_are_stored_once(tmp_path) -> None:
    images, labels = draw_messy_set(400, side=32)
    found = page_of(tmp_path / "page.html", cp.Dataset.from_arrays(images, labels))
    rules = found.inside["style"][1].splitlines()
    assert len({rule.split("{")[1] for rule in rules}) == len(rules)
    assert len(rules) <= len(np.unique(images, axis=0))


def test_groups_beyond_the_picture_limit_are_listed_by_id(tmp_path, monkeypatch) -> None:
    images, labels = draw_messy_set(400, side=32)
    cells = cp.Dataset.from_arrays(images, labels)
    groups = cp.find_duplicates(cells)["group"].nunique()
    monkeypatch.setattr(duplicate_groups, "MOST_TILES", 3)
    found = page_of(tmp_path / "page.html", cells, near=None, symmetries=False)
    assert len(found.data["groups"]) == 3
    assert f"{groups - 3} groups without pictures" in found.text
    ids = set(cp.find_duplicates(cells)["id"])
    listed = {line.split(" · ")[0] for line in found.text.splitlines() if " · " in line}
    assert {str(name) for name in ids} <= listed
    monkeypatch.setattr(duplicate_groups, "MOST_LISTED", 60)
    found = page_of(tmp_path / "page.html", cells, near=None, symmetries=False)
    assert "repeated images are listed here" in found.text
    found = page_of(tmp_path / "page.html", cells, test=cells, near=None, symmetries=False)
    assert f"1 group of {len(np.unique(images, axis=0)):,} are listed here" in found.text


def test_class_chart_shows_the_first_40_classes(tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, 16, 16, 3), np.uint8)
    found = page_of(tmp_path / "page.html", cp.Dataset.from_arrays(images, np.arange(90) // 2))
    assert "The first 40 of 45 classes; the table lists all." in found.text


def test_equal_data_sets_make_equal_pages(tmp_path) -> None:
    cells = cp.Dataset.from_arrays(*draw_messy_set(400, side=24))
    pages = []
    for workers in (1, 2, 2):
        with executors.using(workers=workers):
            made = cp.report(cells, tmp_path / "page.html", recipe=cp.Recipe([cp.Dedupe()]))
        pages.append(made.path.read_bytes())
    assert pages[0] == pages[1] == pages[2]
