"""`compare`: rows are trained one by one, resumed, and averaged over seeds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
from cellmodels.comparison.forecast import plan_compare
from cellmodels.comparison.sets import open_sets
from cellmodels.comparison.table import Table
from cellprep import CellprepError

from ..helpers import NAMES, pictures, run
from .example import TABLE

keras = pytest.importorskip("keras")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the data of the table, as the current one."""
    monkeypatch.chdir(tmp_path)
    images, labels = pictures(30)
    np.savez("cells.npz", images=images, labels=labels, class_names=np.array(NAMES))
    return tmp_path


def test_shifted_sets_are_corrupted_before_they_are_masked(here, monkeypatch):
    table = TABLE.replace("shifted = []", 'shifted = ["heavy"]').replace(
        '{ step = "Crop", size = 12, resize_to = 16 }', '{ step = "KMeansMask" }'
    )
    Path("t.toml").write_text(table)
    evaluated = []

    def watched(model, data, **settings):
        evaluated.append((data, settings["shifted"]["heavy"]))
        return cm.evaluate(model, data, **settings)

    monkeypatch.setattr("cellmodels.comparison.measure.evaluate", watched)
    cm.compare("t.toml", "out", progress=False)
    (plain, _), (validation, _), (_, shifted), (_, of_validation) = evaluated
    corrupted = cm.shift(plain, "heavy", seed=4)
    expected = cp.Recipe([cp.KMeansMask()], 4)(corrupted)
    np.testing.assert_array_equal(shifted.to_arrays()[0], expected.to_arrays()[0])
    with_another_seed = cp.Recipe([cp.KMeansMask()], 4)(cm.shift(validation, "heavy", seed=1004))
    np.testing.assert_array_equal(of_validation.to_arrays()[0], with_another_seed.to_arrays()[0])


WAYS = """
base = "Base"
[shifted]
turned = [{ step = "Jitter", flip = true, zoom = 0.0 }]
[others]
abroad = "abroad.npz"
[ways]
"as is" = {}
views = { tta = "flips", sets = "others" }
own = { tta = "flips", sets = "own" }
"""


def test_other_laboratories_and_ways_of_predicting_are_measured(here):
    images, labels = pictures(12, seed=3)
    some = labels < 2
    np.savez("abroad.npz", images=images[some], labels=labels[some], class_names=NAMES[:2])
    text = TABLE.replace("shifted = []", "").replace("[recipes]", WAYS + "[recipes]")
    Path("t.toml").write_text(text.replace("seeds = [4]", "seeds = [4, 5]"))
    found = cm.compare("t.toml", "out", progress=False)
    assert found["way"].tolist() == ["as is", "views", "own"] * 4
    model = cm.load("out/rows/base/seed-4/model.keras")
    for line, tta in ((0, "none"), (1, "flips")):
        report = cm.evaluate(model, "abroad.npz", classes="present", tta=tta, progress=False)
        assert found["abroad accuracy"][line] == report.clean.accuracy
        assert found["abroad balanced"][line] == report.clean.balanced_accuracy
    test = cp.read("out/data/seed-4/cleaned/test")
    assert found["accuracy"][0] == cm.evaluate(model, test, progress=False).clean.accuracy
    assert (
        found[["accuracy", "turned accuracy"]].isna().any(axis=1).tolist()
        == [
            False,
            True,
            False,
        ]
        * 4
    )
    assert found["abroad accuracy"].isna().tolist() == [False, False, True] * 4
    assert found["val turned accuracy"].isna().tolist() == [False, True, True] * 4
    shown = Path("out/table.txt").read_text()
    assert "differences to 'Base' within each seed" in shown
    pairs = found[found["way"] == "as is"].groupby("row")["abroad accuracy"].apply(list)
    mean = np.subtract(pairs["Base, cropped"], pairs["Base"]).mean()
    assert f"{mean:+.3f}" in shown.partition("differences")[2]
    assert Path("out/table.png").stat().st_size > 1000


def test_records_are_enough_to_resume(here):
    text = TABLE.replace("seeds", "base = 'Base'\nseeds")
    Path("t.toml").write_text(text)
    found = cm.compare("t.toml", "out", progress=False)
    for record in Path("out/rows").glob("*/seed-4/row.json"):
        kept = Path("elsewhere", *record.parts[1:])
        kept.parent.mkdir(parents=True)
        record.rename(kept)
    assert cm.compare("t.toml", "elsewhere", progress=False).equals(found)
    assert not Path("elsewhere/data").exists()


@pytest.mark.parametrize(
    ("images", "names", "message"),
    [
        ("pictures", ["dark", "blue"], "abroad has the class 'blue', which 'cells.npz' lacks"),
        ("larger", ["dark", "light"], "abroad has images of 20x20, 'cells.npz' of 16x16; set"),
        ("leak", ["dark", "light", "red"], "images of abroad also occur in train"),
    ],
)
def test_sets_of_other_laboratories_that_do_not_fit_are_refused(here, images, names, message):
    made, labels = pictures(12, side=20 if images == "larger" else 16, seed=3)
    if images == "leak":
        made = np.load("cells.npz")["images"][:12]
    some = labels < len(names)
    np.savez("abroad.npz", images=made[some], labels=labels[some], class_names=names)
    Path("t.toml").write_text(
        TABLE.replace("[recipes]", WAYS + "[recipes]").replace("shifted = []", "")
    )
    with pytest.raises(CellprepError, match=message):
        cm.compare("t.toml", "out", progress=False)
    assert not Path("out").exists()


def test_a_way_that_a_model_does_not_support_is_refused_before_it_is_trained(here):
    for way in ("adapt_norm = 0.3", "neighbors = 0.8"):
        text = TABLE.replace("[recipes]", f"[ways]\nadapted = {{ {way} }}\n[recipes]")
        Path("t.toml").write_text(text)
        message = f"`{way.split()[0]}` needs at least 32 images, but the test split has"
        with pytest.raises(CellprepError, match=message):
            cm.compare("t.toml", "out", progress=False)
    Path("t.toml").write_text(text.replace(way, "adapt_norm = 0.3"))
    images, labels = pictures(240)
    np.savez("cells.npz", images=images, labels=labels, class_names=np.array(NAMES))
    with pytest.raises(CellprepError, match="baseline_cnn has no batch normalisation"):
        cm.compare("t.toml", "out", progress=False)
    assert not Path("out").exists()


def test_a_dry_run_lists_the_rows_and_writes_nothing(here):
    Path("t.toml").write_text(TABLE)
    planned = json.loads(run("compare", "t.toml", "out", "--dry-run", "--json"))
    assert [line["state"] for line in planned] == ["to do", "to do"]
    assert all(line["seconds"] > 0 for line in planned)
    assert not Path("out").exists()


@pytest.fixture
def trained_rows(monkeypatch):
    """The folders of the rows that were trained; the second training is interrupted once."""
    trained = []

    def counted(model, *data, **settings):
        if len(trained) == 1:
            trained.append(None)
            raise KeyboardInterrupt
        trained.append(settings["out"])
        return cm.fit(model, *data, **settings)

    monkeypatch.setattr("cellmodels.comparison.compare.fit", counted)
    return trained


@pytest.mark.slow
def test_an_interrupted_comparison_resumes_row_by_row(here, trained_rows):
    Path("t.toml").write_text(TABLE)
    with pytest.raises(KeyboardInterrupt):
        cm.compare("t.toml", "out", progress=False)
    text = run("compare", "t.toml", "out", "--dry-run")
    assert [text.count(state) for state in (" done ", " to do ")] == [1, 1]
    assert "dry run, nothing was written" in text
    result = cm.compare("t.toml", "out", progress=False)
    assert trained_rows == [
        Path("out/rows/base/seed-4"),
        None,
        Path("out/rows/base-cropped/seed-4"),
    ]
    columns = ["row", "seed", "model", "data set", "accuracy", "balanced accuracy", "precision"]
    assert list(result.columns) == [*columns, "recall", "F1", "val accuracy", "minutes"]
    assert result["data set"].tolist() == ["cleaned", "cropped"]
    again = cm.compare("t.toml", "out", progress=False)
    assert len(trained_rows) == 3
    assert again.equals(result)
    assert len(json.loads(Path("out/table.json").read_text())) == 2
    assert "Base, cropped" in Path("out/table.txt").read_text()
    # The test split is cropped like the training split, but neither balanced nor augmented.
    manifest = json.loads(Path("out/data/seed-4/cropped/test/dataset.json").read_text())
    steps = [step["step"] for step in manifest["recipe"]]
    assert steps == ["Dedupe", "split", "Crop"]


@pytest.mark.slow
def test_new_seeds_add_runs_and_other_settings_are_refused(here):
    Path("t.toml").write_text(TABLE)
    result = cm.compare("t.toml", "out", progress=False)
    written = [
        path.stat().st_mtime_ns for path in sorted(Path("out/rows").glob("*/seed-4/row.json"))
    ]
    Path("t.toml").write_text(TABLE.replace("seeds = [4]", "seeds = [4, 5]"))
    both = cm.compare("t.toml", "out", progress=False)
    assert both["seed"].tolist() == [4, 4, 5, 5]
    assert both[:2].equals(result)
    kept = [path.stat().st_mtime_ns for path in sorted(Path("out/rows").glob("*/seed-4/row.json"))]
    assert kept == written  # what was measured before is not measured again
    shown = Path("out/table.txt").read_text().splitlines()
    accuracies = both[both["row"] == "Base"]["accuracy"]
    assert f"{accuracies.mean():.3f} ±{accuracies.std():.3f}" in shown[1]
    assert len(shown) == 3
    Path("t.toml").write_text(TABLE.replace("epochs = 1", "epochs = 3"))
    message = r"contains row 'Base' of another table \(row differs\)"
    with pytest.raises(CellprepError, match=message):
        cm.compare("t.toml", "out", progress=False)


FOLDS = TABLE.replace("parts = { train = 0.6, val = 0.2, test = 0.2 }", "folds = 3")


def test_with_folds_every_image_is_tested_once(here):
    Path("t.toml").write_text(FOLDS)
    table = Table.from_toml("t.toml")
    cells = cp.Recipe([cp.Dedupe()])(cp.read("cells.npz"))
    tested = []
    for number, sets in enumerate(open_sets(table, "cells.npz", here, seed=4), 1):
        assert sets.fold == number
        ids = {split: set(part.ids) for split, part in sets.splits.items()}
        assert set.union(*ids.values()) == set(cells.ids)
        assert sum(map(len, ids.values())) == len(cells)
        tested += ids["test"]
    assert sorted(tested) == sorted(cells.ids)


def test_folds_are_runs_of_their_own(here, monkeypatch):
    def untrained(model, train, val, *, out, **settings):
        trained.append(str(out))
        return type("Fitted", (), {"seconds": 0.0})

    trained: list[str] = []
    monkeypatch.setattr("cellmodels.comparison.compare.fit", untrained)
    text = FOLDS.replace("[recipes]", 'base = "Base"\n[recipes]')
    Path("t.toml").write_text(text)
    planned = plan_compare("t.toml", "out")
    result = cm.compare("t.toml", "out", progress=False)
    for found in (planned, result):
        assert found["fold"].tolist() == [1, 1, 2, 2, 3, 3]
        assert found["row"].tolist() == ["Base", "Base, cropped"] * 3
    assert len(trained) == 6
    assert trained[2] == str(Path("out/rows/base/seed-4/fold-2"))
    shown = Path("out/table.txt").read_text()
    accuracies = result[result["row"] == "Base"]["accuracy"]
    assert f"{accuracies.mean():.3f} ±{accuracies.std():.3f}" in shown
    assert "differences to 'Base' within each seed and fold" in shown
    assert cm.compare("t.toml", "out", progress=False).equals(result)
    assert len(trained) == 6
    Path("t.toml").write_text(text.replace("folds = 3", "folds = 4"))
    with pytest.raises(CellprepError, match=r"of another table \(folds differs\)"):
        cm.compare("t.toml", "out", progress=False)
