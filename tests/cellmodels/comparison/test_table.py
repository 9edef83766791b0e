"""Tables in TOML: names and settings are checked before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

import cellmodels as cm
from cellmodels.comparison.table import Table
from cellprep import CellprepError

from .example import TABLE

keras = pytest.importorskip("keras")
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"baseline_cnn"', '"baseline"', "model of row 'Base'` got 'baseline'; did you mean"),
        ('recipe = "cropped"', 'recipe = "crop"', "did you mean 'cropped'"),
        ("epochs = 1", "epoch = 1", "row 'Base': training has no setting 'epoch'; did you mean"),
        ("l2 = 0.0", "l3 = 0.0", "`build` of row 'Base' has no setting 'l3'; did you mean 'l2'"),
        ("size = 12", "sise = 12", "did you mean 'size'"),
        ('step = "Balance"', 'step = "Dedupe"', "put it in `before`"),
        ("shifted = []", 'shifted = ["heavey"]', "did you mean 'heavy'"),
        ("shifted", "shiftet", "did you mean 'shifted'"),
        ("test = 0.2", "tost = 0.2", "`parts` must be train, val and test"),
        ("shifted = []", "folds = 3", "`folds` are equal parts; leave out `parts`"),
        ("parts = { train = 0.6, val = 0.2, test = 0.2 }", "folds = 2", r"`folds` .*\[3, 1000\]"),
        ('"Base, cropped"', '"base"', "two rows are called 'base'"),
        ("[[rows]]", "[rows", "is not a table in TOML"),
        ("cells.npz", "nowhere.npz", "no file or folder 'nowhere.npz'"),
        ("shifted = []", "shifted = { a = 1 }", "`shifted` must be a table of lists of steps"),
        ("shifted = []", 'shifted = { a = [{ step = "Jiter" }] }', "did you mean 'Jitter'"),
        ("shifted = []", "ways = { a = { tta = 'flip' } }", "way 'a': .*did you mean 'flips'"),
        ("shifted = []", "ways = { a = { sets = 'mine' } }", "`sets of way 'a'` got 'mine'"),
        ("shifted = []", "ways = {}", "`ways` is empty"),
        ("shifted = []", "others = { val = 'a' }", "cannot be called 'val'"),
        ("shifted = []", "base = 'Bas'", "did you mean 'Base'"),
        ("epochs = 1,", "images = 0,", "`images` must be"),
    ],
)
def test_an_invalid_table_is_refused_before_anything_is_written(tmp_path, old, new, message):
    (tmp_path / "t.toml").write_text(TABLE.replace(old, new))
    with pytest.raises(CellprepError, match=message) as error:
        cm.compare(tmp_path / "t.toml", tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_example_table1_has_the_six_rows_of_the_course_report():
    table = Table.from_toml(ROOT / "examples" / "table1.toml")
    assert [(row.model, row.recipe) for row in table.rows] == [
        ("baseline_cnn", "cleaned"),
        ("mobilenet_v3", "balanced"),
        ("inception_v3", "balanced"),
        ("efficientnet_b0", "balanced"),
        ("efficientnet_b2", "augmented"),
        ("efficientnet_v2s", "augmented"),
    ]
    assert [*table.shifted] == ["heavy", "microscopy"]
