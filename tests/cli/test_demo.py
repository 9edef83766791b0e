"""The demo, a newcomer's first contact."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

import cellprep as cp
from cellprep.cli.demo import run_demo
from cellprep.report.contact_sheet import contact_sheet


def test_demo_makes_data_set_table_contact_sheet_and_report(tmp_path, monkeypatch) -> None:
    lines: list[str] = []
    done = run_demo(tmp_path / "demo", images=400, log=lines.append)
    steps = ["dedupe", "split", "balance", "kmeans_mask", "rand_augment"]
    assert done.changes["step"].tolist() == steps
    assert (done.changes["rows_in"][1:].to_numpy() == done.changes["rows_out"][:-1]).all()
    train = cp.read(tmp_path / "demo" / "train")
    assert len(set(train.counts().values())) == 1
    assert done.written["train"].rows == len(train) == done.changes["rows_out"].iloc[-1]
    recipe = cp.Recipe.from_toml(tmp_path / "demo" / "recipe.toml")
    assert [type(step).key() for step in recipe.steps] == [s for s in steps if s != "split"]
    sheet = np.asarray(Image.open(done.sheet))
    assert sheet.shape[0] > 900
    assert sheet.shape[1] > 900
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 5000  # pictures, not a blank page
    assert done.report is not None
    assert "1 group of duplicates with conflicting labels" in done.report.read_text("utf-8")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    again = run_demo(tmp_path / "demo", images=400, log=lines.append)  # a second run succeeds
    assert again.written["train"].rows == len(train)
    assert again.report is None
    assert any("no report" in line and "pip install 'cellprep[report]'" in line for line in lines)


def test_demo_accepts_the_users_folder(tmp_path, cells) -> None:
    images, labels = cells
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = tmp_path / "mine" / f"class {label}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[: 40 + number % 2]).save(file)  # two sizes
    lines: list[str] = []
    done = run_demo(tmp_path / "out", tmp_path / "mine", log=lines.append)
    assert any("2 sizes, resized to 96x96" in line for line in lines)
    assert cp.read(tmp_path / "out" / "test").shape[1:] == (96, 96, 3)
    assert done.written["train"].bad == {}


def test_demo_refuses_a_folder_with_other_files(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(cp.CellprepError, match="choose another"):
        run_demo(tmp_path, images=400)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_contact_sheet_of_any_chain(tmp_path, cells) -> None:
    images, labels = cells
    dataset = cp.Dataset.from_arrays(images, [f"<b>{label}" for label in labels])
    steps = [cp.Crop(30, resize_to=64), cp.Jitter(), cp.RandAugment(2, keep_originals=False)]
    made = contact_sheet(cp.Recipe(steps)(dataset), tmp_path / "sheet.png", "any chain")
    assert Image.open(made).size[0] > 500
