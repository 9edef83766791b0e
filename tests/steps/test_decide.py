"""A person's decisions: applied, recorded, and refused for images that have changed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.cli.shared.output import csv_text
from cellprep.dataset.decisions import FIELDS, hex_digests
from cellprep.dataset.exchange.spreadsheets import protected, unprotected
from cellprep.plan.digests import digest
from cellprep.steps.step import Step
from cellprep.synthetic import draw_cells

IDS = ["a.png", "=b.png", "'=c.png", "d;e.png", "é.png", " f.png"]


@pytest.fixture
def cells() -> cp.Dataset:
    """Six images; the first three are equal, and have two labels."""
    images, _ = draw_cells([6, *[0] * 7], side=32)
    images[1:3] = images[0]
    return cp.Dataset.from_arrays(images, [0, 1, 0, 1, 0, 1], ["baso", "mono"], ids=IDS)


def decision(cells: cp.Dataset, row: int, kind: str, **more: str) -> dict[str, str]:
    found = hex_digests(digest(cells.images[row : row + 1]))[0]
    return {"id": str(cells.ids[row]), "decision": kind, "digest": found, **more}


def decided(cells: cp.Dataset, *decisions: dict[str, str]) -> cp.Dataset:
    return cp.Recipe([cp.Decide(decisions)])(cells)


def test_decisions_are_applied_and_recorded(cells, tmp_path) -> None:
    made = decided(
        cells,
        decision(cells, 0, "keep", name="Ann"),
        decision(cells, 1, "relabel", label="baso", reason="repeats a.png", name="Bob"),
        decision(cells, 3, "drop"),
    )
    assert made.ids.tolist() == [IDS[0], IDS[1], IDS[2], IDS[4], IDS[5]]
    assert made.labels.tolist() == [0, 0, 0, 0, 1]
    assert made.removed()[["id", "reason"]].to_numpy().tolist() == [
        ["d;e.png", "dropped by decision"]
    ]
    assert made.changes()["why"].tolist() == ["1 dropped by decision, 1 kept, 1 relabelled"]
    cp.write(made, tmp_path / "out")
    index = pd.read_parquet(tmp_path / "out" / "index.parquet").set_index("id")
    columns = ["decide.decision", "decide.label_before", "decide.reason", "decide.name"]
    assert index.loc["=b.png", columns].tolist() == ["relabel", "mono", "repeats a.png", "Bob"]
    assert index.loc["a.png", columns].tolist() == ["keep", "baso", "", "Ann"]
    assert index.loc["é.png", columns].isna().all()
    assert (cp.replay(tmp_path / "out", cells) == made.images[:]).all()


def test_a_decision_holds_for_all_copies_and_all_epochs(cells) -> None:
    copies = cp.Recipe([cp.RandAugment(copies=2)])(cells)
    made = decided(copies, decision(cells, 0, "drop"), decision(cells, 3, "relabel", label="baso"))
    assert "a.png" not in made.ids
    assert set(made.labels[made.ids == "d;e.png"]) == {0}
    other = made.epoch(1)
    assert (other.labels == made.labels).all()
    assert (other.images[:] != made.images[:]).any()


def test_a_group_is_not_listed_once_all_of_it_is_decided(cells) -> None:
    def listed(*rows: int) -> list[str]:
        made = decided(cells, *(decision(cells, row, "keep") for row in rows))
        return list(cp.find_duplicates(made)["id"])

    assert sorted(listed(0, 1)) == sorted(IDS[:3])
    assert listed(0, 1, 2) == []
    only = [decision(cells, 0, "keep"), *(decision(cells, row, "drop") for row in (1, 2))]
    assert not len(cp.find_duplicates(decided(cells, *only)))


@pytest.mark.parametrize("format", ["shards", "npz", "folder", "parquet"])
def test_a_written_set_remembers_what_was_decided(cells, tmp_path, format) -> None:
    """Through two writes, of which the second knows nothing of the Decide step."""
    made = decided(cells, *(decision(cells, row, "keep") for row in (0, 1, 2)))
    out, again = (tmp_path / (f"{name}.npz" if format == "npz" else name) for name in "ab")
    cp.write(made, out, format=format)
    cp.write(cp.read(out), again, format=format)
    assert len(cp.find_duplicates(cp.read(out).take([0, 1, 2]))) == 0
    written = cp.read(again)
    assert written.plan.rows.decided.tolist() == [True] * 3 + [False] * 3
    assert not len(cp.find_duplicates(written))
    assert cp.Recipe([cp.Dedupe()])(written).ids.tolist() == IDS
    assert cp.verify(again).empty
    # what nobody decided on is listed, as before
    cp.write(decided(cells, decision(cells, 0, "keep")), tmp_path / f"c{out.suffix}", format=format)
    assert len(cp.find_duplicates(cp.read(tmp_path / f"c{out.suffix}"))) == 3


def test_written_splits_remember_what_was_decided(cells, tmp_path) -> None:
    made = decided(cells, *(decision(cells, row, "keep") for row in (0, 1, 2)))
    cp.write(made, tmp_path / "set" / "train")
    other = cp.Dataset.from_arrays(255 - cells.images[:], cells.labels, cells.class_names)
    cp.write(other, tmp_path / "set" / "test")
    together = cp.read(tmp_path / "set", part="all")
    assert together.plan.rows.decided.sum() == 3
    assert len(cp.find_duplicates(together)) == 3  # those of the other split


def test_a_damaged_column_of_decisions_is_refused(cells) -> None:
    from cellprep.formats.index import check_decided

    for column in (np.zeros(6, int), np.zeros(5, bool), np.array([None] * 6)):
        with pytest.raises(cp.CellprepError, match="must be 6 booleans"):
            check_decided(column, 6, Path("index.parquet"))


def test_dedupe_removes_no_image_that_somebody_kept(cells) -> None:
    def left(*rows: int) -> list[str]:
        made = decided(cells, *(decision(cells, row, "keep") for row in rows))
        return cp.Recipe([cp.Dedupe()])(made).ids.tolist()

    assert left() == IDS[3:]
    assert left(1) == [IDS[1], *IDS[3:]]
    assert left(0, 1, 2) == IDS
    # pixel steps do not forget what was decided
    made = cp.Recipe([cp.Crop(24, center="image"), cp.Dedupe()])(
        decided(cells, decision(cells, 1, "keep"))
    )
    assert made.ids.tolist() == [IDS[1], *IDS[3:]]


def test_duplicates_stay_in_one_split_whatever_was_decided(cells) -> None:
    made = decided(cells, *(decision(cells, row, "keep") for row in (0, 1, 2)))
    parts = cp.split(made, train=0.5, test=0.5, seed=0)
    assert sorted(map(len, (np.intersect1d(part.ids, IDS[:3]) for part in parts.values()))) == [
        *(0, 3),
    ]


def test_a_changed_image_is_refused(cells) -> None:
    made = decision(cells, 3, "drop")
    images, labels = cells.to_arrays()
    images[3, 0, 0] ^= 1
    other = cp.Dataset.from_arrays(images, labels, cells.class_names, ids=IDS)
    with pytest.raises(cp.CellprepError, match=r"'d;e\.png' is not the one .* to drop"):
        len(decided(other, made))
    with pytest.raises(cp.CellprepError, match="before steps that change pixels"):
        len(decided(cp.Recipe([cp.Crop(24)])(cells), made))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "x.png"}, "no image has the id 'x.png'"),
        ({"id": ""}, "a row has no id"),
        ({"decision": "kep"}, "decision on 'a.png' must be"),
        ({"decision": ""}, "image 'a.png' has no decision"),
        ({"digest": ""}, "image 'a.png' has no digest"),
        ({"digest": "12"}, "32 hexadecimal digits"),
        ({"decision": "relabel"}, "there is no label"),
        ({"decision": "relabel", "label": "mon"}, "no class 'mon'; did you mean 'mono'"),
        ({"label": "mono"}, "only relabel has one"),
        ({"who": "Ann"}, "a decision has no 'who'"),
    ],
)
def test_a_wrong_decision_is_refused_in_one_line(cells, change, message) -> None:
    with pytest.raises(cp.CellprepError, match=message) as raised:
        len(decided(cells, decision(cells, 0, "keep") | change))
    assert "\n" not in str(raised.value)


def test_a_wrong_file_is_refused_in_one_line(cells, tmp_path) -> None:
    path = tmp_path / "decisions.csv"
    with pytest.raises(cp.CellprepError, match="`decisions`: there is no file"):
        cp.Decide(path)
    path.write_text("id,decision\na,keep\n")
    with pytest.raises(cp.CellprepError, match="has no column 'digest'; it needs id, decision"):
        cp.Decide(path)
    one = decision(cells, 0, "keep")
    pd.DataFrame([one, one]).to_csv(path, index=False)
    with pytest.raises(cp.CellprepError, match=r"two decisions on 'a\.png'"):
        cp.Decide(path)


def test_an_image_that_another_step_removed_is_no_mistake(cells) -> None:
    made = decided(cells.without(["a.png"]), decision(cells, 0, "drop"))
    assert len(made) == 5


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_file_is_read_as_saved_by_a_page_or_a_spreadsheet(cells, tmp_path, separator) -> None:
    rows = [decision(cells, row, "keep", reason="-1") for row in range(5)]
    table = pd.DataFrame(rows, columns=FIELDS).fillna("")
    path = tmp_path / "decisions.csv"
    saved = pd.read_csv(io.StringIO(csv_text(table)), dtype=str, keep_default_na=False)
    saved.to_csv(path, index=False, sep=separator, encoding="utf-8-sig")
    assert cp.Decide(path) == cp.Decide(rows)


@given(st.text())
def test_protected_text_is_restored(text) -> None:
    assert unprotected(protected(text)) == text
    assert not protected(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_recipe_reads_the_file_and_contains_the_decisions(cells, tmp_path, monkeypatch) -> None:
    """A relative path starts at the current folder; the saved recipe needs no file."""
    monkeypatch.chdir(tmp_path)
    pd.DataFrame([decision(cells, 0, "drop")]).to_csv("decisions.csv", index=False)
    recipe = cp.Recipe.from_toml('[[steps]]\nstep = "Decide"\ndecisions = "decisions.csv"\n')
    assert recipe(cells).ids.tolist() == IDS[1:]
    cp.write(recipe(cells), "out")
    Path("decisions.csv").unlink()
    assert cp.Recipe.from_toml(recipe.to_toml()) == recipe
    assert cp.write(recipe(cells), "out").resumed == 5
    saved = cp.read("out").plan.saved[0]
    assert Step.from_dict({k: v for k, v in saved.items() if k != "seed"}) == recipe.steps[0]
    with pytest.raises(cp.CellprepError, match="decisions"):
        cp.write(decided(cells, decision(cells, 0, "drop", name="Ann")), "out")


def test_many_decisions_do_not_fill_the_repr_of_a_data_set(cells) -> None:
    made = decided(cells, *(decision(cells, row, "keep") for row in range(6)))
    assert repr(made).endswith("then Decide(6 decisions))")
