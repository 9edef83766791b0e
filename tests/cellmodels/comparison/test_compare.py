"""`compare`: rows are trained one by one, resumed, and averaged over seeds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp
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

    monkeypatch.setattr("cellmodels.comparison.compare.evaluate", watched)
    cm.compare("t.toml", "out", progress=False)
    (plain, _), (_, shifted) = evaluated
    corrupted = cm.shift(plain, "heavy", seed=4)
    expected = cp.Recipe([cp.KMeansMask()], 4)(corrupted)
    np.testing.assert_array_equal(shifted.to_arrays()[0], expected.to_arrays()[0])


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
    columns = ["row", "seed", "model", "data set", "accuracy", "precision", "recall", "F1"]
    assert list(result.columns) == [*columns, "minutes"]
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
