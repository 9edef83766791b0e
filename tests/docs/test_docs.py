"""The documentation: its pictures can be drawn, and the names it mentions exist."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import cellmodels
import cellprep
from cellprep.operations import NONE
from cellprep.operations.suites import SUITES

from . import pages

DOCS = Path(__file__).resolve().parents[2] / "docs"


def load(name: str) -> ModuleType:
    """A script of docs/, which may import another one."""
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def masks() -> ModuleType:
    return load("masks")


def test_synthetic_cells_are_outlined(masks) -> None:
    picture = np.asarray(masks.of_synthetic_cells())
    assert (picture == masks.RED).all(axis=-1).sum() > 1000


def test_the_best_and_worst_masks_are_shown(masks, data, tmp_path, capsys) -> None:
    masks.of_photographs(data / "bcisc", tmp_path / "out")
    native, small = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert float(native[1]) >= 0.93
    assert float(small[1]) >= 0.93
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"best.png", "worst.png"}


def test_every_corruption_is_shown_and_listed(cells, tmp_path) -> None:
    script = load("corruptions")
    script.pictures(cells[0][::5], tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {file.name for file in DOCS.glob("corruptions-*.png")}
    text = (DOCS / "corruptions.md").read_text("utf-8")
    for name in names:
        assert f"({name})" in text
    operations = {name for suite in SUITES.values() for name in suite.operations} - {NONE}
    for name in {*operations, *SUITES["microscopy"].names} - {"brightness_down"}:
        assert f"`{name.replace('contrast_down', 'contrast_up')}`" in text, name


def test_the_diagram_shows_the_table_of_the_page() -> None:
    script = load("choose")
    page = (DOCS / "choose.md").read_text("utf-8")
    rows = script.questions(page)
    assert len(rows) == page.count("| **") > 5
    assert (DOCS / "choose.svg").read_text("utf-8") == script.diagram(rows)


def test_twenty_questions_say_where_they_were_asked() -> None:
    text = (DOCS / "questions.md").read_text("utf-8")
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert [section.split(".")[0] for section in sections] == [str(n) for n in range(1, 21)]
    for section in sections:
        assert "](https://" in section, section.splitlines()[0]


def test_every_promise_names_tests_that_exist() -> None:
    text = (DOCS / "promises.md").read_text("utf-8")
    promises = text.split("\n## ")[1:]
    assert [promise[:2] for promise in promises] == [f"{number}." for number in range(1, 9)]
    for promise in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise)
        assert named, promise.splitlines()[0]
        for file, test in named:
            source = (DOCS.parent / file).read_text("utf-8")
            assert f"\ndef {test}(" in source, f"{file} has no {test}"


@pytest.mark.parametrize(
    "page", [*pages.PAGES, pages.ROOT / "benchmarks" / "README.md"], ids=pages.name
)
def test_a_page_opens_with_its_purpose_and_soon_shows_something(page) -> None:
    """A paragraph of text first; within the first screen a picture, a table, code or output."""
    text = re.sub(r"<!--.*?-->\n*", "", page.read_text("utf-8"))
    title, _, rest = text.partition("\n\n")
    assert title.startswith("# ")
    opening = rest.partition("\n\n")[0]
    assert opening[0].isalpha() or opening[0] in "[`", "the page opens with something else"
    assert len(opening.split()) > 12, "the opening does not say what the page is for"
    screen = "\n".join(rest.splitlines()[:30])
    assert re.search(r"^(\[?!\[|\||```|:::)", screen, re.MULTILINE), "nothing to look at"


@pytest.mark.parametrize("package", [cellprep, cellmodels], ids=lambda package: package.__name__)
def test_every_public_name_is_in_the_reference(package) -> None:
    page = (DOCS / "reference" / f"{package.__name__}.md").read_text("utf-8")
    named = re.findall(rf"^::: {package.__name__}\.(?:\w+\.)?(\w+)$", page, re.MULTILINE)
    assert sorted(named) == sorted(package.__all__)
