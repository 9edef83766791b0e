"""The pictures of the documentation can be made."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cellprep.steps import corrupt

DOCS = Path(__file__).resolve().parents[1] / "docs"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def masks() -> ModuleType:
    return load("masks")


def test_drawn_cells_are_outlined(masks) -> None:
    picture = np.asarray(masks.of_drawn_cells())
    assert (picture == masks.RED).all(axis=-1).sum() > 1000


def test_the_best_and_the_worst_are_shown(masks, data, tmp_path, capsys) -> None:
    masks.of_photographs(data / "bcisc", tmp_path / "out")
    native, small = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert float(native[1]) >= 0.93
    assert float(small[1]) >= 0.93
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"best.png", "worst.png"}


def test_every_corruption_is_shown(cells, tmp_path) -> None:
    script = load("corruptions")
    script.pictures(cells[0][::5], tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {file.name for file in DOCS.glob("corruptions-*.png")}
    text = (DOCS / "corruptions.md").read_text("utf-8")
    for name in names:
        assert f"({name})" in text
    operations = {way[0] for way in [*corrupt._CHANGES, *corrupt._GRADES]} - {"none"}
    for name in {*operations, *corrupt.CORRUPTIONS["microscopy"]} - {"brightness_down"}:
        assert f"`{name.replace('contrast_down', 'contrast_up')}`" in text, name
