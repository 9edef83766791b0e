"""`cellprep` alone names a command that fits the files in the folder, and that works."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cellprep as cp
from cellprep.cli.next_step import next_step
from cellprep.synthetic import draw_cells

from .helpers import run


def class_folders(at: Path) -> None:
    for name in ("baso", "mono"):
        (at / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), len(name), np.uint8)).save(at / name / "1.png")


def a_set(at: Path) -> None:
    cp.write(cp.Dataset.from_arrays(*draw_cells([2] * 8, side=24)), at, progress=False)


@pytest.mark.parametrize(
    ("make", "command"),
    [
        pytest.param(lambda: None, "cellprep demo", id="nothing"),
        pytest.param(lambda: Path("notes.txt").touch(), "cellprep demo", id="no images"),
        pytest.param(lambda: class_folders(Path()), "cellprep inspect .", id="class folders"),
        pytest.param(
            lambda: class_folders(Path("my cells")), "cellprep inspect 'my cells'", id="a folder"
        ),
        pytest.param(lambda: a_set(Path("a.npz")), "cellprep inspect a.npz", id="npz"),
        pytest.param(
            lambda: a_set(Path("out/b")), "cellprep report out/b -o report.html", id="set"
        ),
        pytest.param(
            lambda: (a_set(Path("out/train")), a_set(Path("out/val"))),
            "cellmodels train out/train out/val out/model",
            id="training set",
        ),
        pytest.param(
            lambda: (a_set(Path("a.npz")), run("recipe", "new", "recipe.toml")),
            "cellprep run recipe.toml a.npz out/train --dry-run",
            id="recipe",
        ),
    ],
)
def test_the_command_fits_the_files_and_works(make, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make()
    assert next_step(Path.cwd())[0] == command
    assert command in run()
    if command.startswith("cellprep") and command != "cellprep demo":
        run(*shlex.split(command)[1:])


def test_a_trained_model_is_evaluated(tmp_path):
    a_set(tmp_path / "test")
    (tmp_path / "b0").mkdir()
    (tmp_path / "b0" / "model.keras").touch()
    assert next_step(tmp_path)[0] == "cellmodels evaluate b0/model.keras test --shifted heavy"


def test_damaged_files_and_closed_folders_are_passed_over(tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "dataset.json").write_text("{")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "closed").mkdir()
    os.chmod(tmp_path / "closed", 0)
    assert next_step(tmp_path)[0] == "cellprep demo"
    os.chmod(tmp_path / "closed", 0o700)


def test_a_vast_folder_is_not_searched_to_its_end(tmp_path):
    for number in range(300):
        (tmp_path / f"{number:03d}" / "a").mkdir(parents=True)
    a_set(tmp_path / "999" / "b")
    assert next_step(tmp_path)[0] == "cellprep demo"
