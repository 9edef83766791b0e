"""The pages that are notebooks: each runs from top to bottom in an empty folder, with pictures."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest

from .pages import NOTEBOOKS, ROOT, blocks, needed, same
from .test_docs import load

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    return load("notebooks")


def code(made: Any, without: tuple[str, ...] = ()) -> list[Any]:
    cells = [cell for cell in made.cells if cell.cell_type == "code"]
    return [cell for cell in cells if not cell.source.startswith(without)] if without else cells


def test_four_pages_are_notebooks(notebooks) -> None:
    assert notebooks.pages() == NOTEBOOKS


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_every_block_of_the_page_is_a_cell(page, notebooks) -> None:
    made = notebooks.notebook(page)
    sources = [cell.source for cell in code(made)]
    for block in blocks(ROOT / "docs" / page):
        if block.language == "python":
            assert block.code.strip() in sources
        if block.language == "sh":
            assert "\n".join(f"!{line}" for line in block.code.splitlines()) in sources
    text = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert text.startswith("# ")
    assert "<!--" not in text
    assert "](" not in text.replace("](http", "")  # other pages are not beside the notebook
    assert nbformat.writes(made) == nbformat.writes(notebooks.notebook(page))


def test_a_picture_that_no_block_makes_is_refused(notebooks, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(notebooks, "DOCS", tmp_path)
    picture, block = "![A cell](cell.png)\n", "```python\ndraw('cell.png')\n```\n"
    for text in (picture, f"{picture}\n{block}"):
        (tmp_path / "page.md").write_text(f"# Page\n\n{text}")
        with pytest.raises(ValueError, match=r"no block above the picture makes 'cell\.png'"):
            notebooks.notebook("page.md")
    (tmp_path / "page.md").write_text(f"# Page\n\n{block}\n{picture}")
    assert "Image('cell.png')" in notebooks.notebook("page.md").cells[-1].source


def test_a_cell_or_command_that_fails_is_noticed(notebooks, tmp_path, monkeypatch) -> None:
    errors = pytest.importorskip("nbclient.exceptions")
    monkeypatch.setattr(notebooks, "DOCS", tmp_path)
    for block in ("python\n1 / 0", "sh\ncellprep inspect absent.npz"):
        (tmp_path / "page.md").write_text(f"# Page\n\n```{block}\n```\n")
        with pytest.raises(errors.CellExecutionError):
            notebooks.run(notebooks.notebook("page.md"))


@pytest.mark.slow
@pytest.mark.parametrize("page", NOTEBOOKS)
def test_the_notebook_runs_in_an_empty_folder(page, notebooks) -> None:
    pytest.importorskip("nbclient")
    for library in needed(ROOT / "docs" / page):
        pytest.importorskip(library)
    made = notebooks.notebook(page)
    notebooks.run(made)
    outputs = [output for cell in code(made) for output in cell.outputs]
    data = [output.data for output in outputs if output.output_type in _SHOWN]
    pictures = [kind for one in data for kind in one if kind.startswith("image/")]
    assert pictures or any("<img" in one.get("text/html", "") for one in data)
    _same_as_on_the_page(page, made, notebooks)


_SHOWN = ("display_data", "execute_result")


def _same_as_on_the_page(page: str, made: Any, notebooks: ModuleType) -> None:
    """What the cells print is what the page shows."""
    setup = notebooks.SETUP.get(page, "")
    own = [c for c in code(made, ("from IPython",)) if c.source not in setup]
    printed = None
    for block in blocks(ROOT / "docs" / page):
        if block.language in ("python", "sh"):
            outputs = own.pop(0).outputs
            printed = "".join(o.text for o in outputs if o.get("name") == "stdout")
        elif block.language == "text" and printed is not None and not block.alone:
            piped = as_piped(printed, block.code)
            same(block.code, piped, block.within, f"the notebook of {page}")
    assert not own


def as_piped(printed: str, shown: str) -> str:
    """What a command printed, without what it adds in a terminal, as which a notebook counts."""
    plain = re.sub(r"\x1b\[\d*m", "", printed)
    return plain[max(plain.find(shown.split()[0]), 0) :]  # the progress comes first


def test_progress_and_colours_of_commands_do_not_matter() -> None:
    printed = (
        "\rdigest:   0%| | 0/124\rdigest: 100%|#| 124/124\r\n\x1b[1mcells.npz: 8 images\x1b[0m\r\n"
    )
    same("cells.npz: 8 images\n", as_piped(printed, "cells.npz: 8 images\n"), 0, "here")
