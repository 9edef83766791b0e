"""Every block of the README runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import cellprep as cp
from cellprep.cli import main
from cellprep.demo import draw_input

README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw_input(Path("train_data.npz"), 400, seed=0)
    Path("recipe.toml").write_text(blocks("toml")[0])
    return tmp_path


def test_the_python_runs(here) -> None:
    names = dict(np.load("train_data.npz")) | {"np": np, "pd": pd}
    for block in blocks("python"):
        exec(block, names)
    assert len(names["index"]) == len(cp.read("out/train"))


def test_the_commands_run(here) -> None:
    commands = [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("cellprep ")
    ]
    assert len(commands) == 11
    for command in commands:
        arguments = shlex.split(command.replace("s3://", "memory://"), comments=True)[1:]
        done = CliRunner().invoke(main, arguments)
        conflicts = arguments[0] == "duplicates"  # the drawn input has some
        assert done.exit_code == int(conflicts), done.output
    assert len(cp.read("out/train.npz")) == len(cp.read("out/train"))


def test_the_table_of_repeats(tmp_path) -> None:
    """The settings of the table, on drawn cells with the same mess in proportion."""
    draw_input(tmp_path / "drawn.npz", 800, seed=0)
    cells = cp.read(tmp_path / "drawn.npz")
    planted = int(cp.find_duplicates(cells).groupby("group").size().nlargest(2).sum())
    settings = re.findall(r"\| `(Dedupe\(.*?\))` \| ([\d,]+)", README)
    left = {text: int(number.replace(",", "")) - 11_959 for text, number in settings}
    good = len(cells) - planted
    for text, change in left.items():
        clean = cp.Recipe([eval(text, vars(cp))])(cells)
        assert len(clean) - good == change
