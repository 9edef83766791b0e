"""The README's table of duplicates; test_docs_blocks.py runs its blocks."""

from __future__ import annotations

import re
from pathlib import Path

import cellprep as cp
from cellprep.cli.demo import write_synthetic_cells

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")


def test_table_of_removed_duplicates_is_true(tmp_path) -> None:
    """The settings of the table, on synthetic cells with proportionally many duplicates."""
    write_synthetic_cells(tmp_path / "drawn.npz", 800, seed=0)
    cells = cp.read(tmp_path / "drawn.npz")
    planted = int(cp.find_duplicates(cells).groupby("group").size().nlargest(2).sum())
    settings = re.findall(r"\| `(Dedupe\(.*?\))` \| ([\d,]+)", README)
    left = {text: int(number.replace(",", "")) - 11_959 for text, number in settings}
    good = len(cells) - planted
    for text, change in left.items():
        clean = cp.Recipe([eval(text, vars(cp))])(cells)
        assert len(clean) - good == change
