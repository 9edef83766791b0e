"""Look-alikes, suspected labels and decisions that a report is given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import cellprep as cp
from cellprep.dataset.decisions import FIELDS, hex_digests
from cellprep.plan.digests import digest

from ..cli.helpers import run
from .report_page import page_of


@pytest.fixture
def cells() -> cp.Dataset:
    images = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), np.uint8)
    images[1] = images[0]
    ids = [f"{name}/{n}.png" for n, name in enumerate("aabbaabb")]
    return cp.Dataset.from_arrays(images, list("aabbaabb"), ids=ids)


LOOKALIKES = pd.DataFrame(
    {"id": ["b/2.png", "a/4.png", "b/6.png", "b/7.png"], "group": [9, 9, 4, 4]}
)
ISSUES = pd.DataFrame(
    {
        "id": ["a/5.png", "b/3.png", "b/2.png", "a/0.png"],
        "suggested": ["b", "a", "b", "b"],
        "score": [0.1, 0.2, 0.3, 0.9],
        "suspected": [True, True, True, False],
    }
)


@pytest.mark.parametrize("as_file", [False, True])
def test_tables_are_shown_in_their_order(cells, tmp_path, as_file) -> None:
    given = {"lookalikes": LOOKALIKES, "label_issues": ISSUES}
    if as_file:
        for name, table in given.items():
            table.to_csv(tmp_path / name, index=False)
        given = {name: tmp_path / name for name in given}
    found = page_of(tmp_path / "page.html", cells, near=None, symmetries=False, **given)
    ids = {key: sorted(found.ids(rows)) for key, rows in found.data["groups"].items()}
    assert ids == {
        "g0": ["a/0.png", "a/1.png"],
        "k0": ["a/4.png", "b/2.png"],
        "k1": ["b/6.png", "b/7.png"],
        "s0": ["a/5.png"],
        "s1": ["b/3.png"],  # b/2.png has the suggested label already, a/0.png is not suspected
    }
    review = found.data["review"]
    assert review["suggested"] == {"s0": "b", "s1": "a"}
    assert review["reasons"]["k0"] == "look-alikes; b x1, a x1"
    shown = {id for some in ids.values() for id in some}
    rows = [cells.ids.tolist().index(id) for id in review["digests"]]
    assert set(review["digests"]) == shown
    assert list(review["digests"].values()) == hex_digests(digest(cells.images[rows]))


@pytest.mark.parametrize("written", [False, True])
def test_what_was_decided_is_not_shown_again(cells, tmp_path, written) -> None:
    """Neither duplicates, nor look-alikes and suspected labels of an older table."""
    found = hex_digests(digest(cells.images[:]))

    def keep(*rows: int) -> list[dict[str, str]]:
        return [
            {"id": str(cells.ids[row]), "decision": "keep", "digest": found[row]} for row in rows
        ]

    made = cp.Recipe([cp.Decide(keep(0, 1, 2, 4, 5, 6))])(cells)
    if written:
        cp.write(made, tmp_path / "out")
        made = cp.read(tmp_path / "out")
    given = {"lookalikes": LOOKALIKES, "label_issues": ISSUES}
    page = page_of(tmp_path / "page.html", made, near=None, symmetries=False, **given)
    ids = {key: sorted(page.ids(rows)) for key, rows in page.data["groups"].items()}
    assert ids == {"k0": ["b/6.png", "b/7.png"], "s0": ["b/3.png"]}


def test_tables_may_be_about_images_that_a_step_removed(cells, tmp_path) -> None:
    left = cells.without(["b/2.png", "a/5.png"])
    page = page_of(tmp_path / "page.html", left, lookalikes=LOOKALIKES, label_issues=ISSUES)
    ids = {key: sorted(page.ids(rows)) for key, rows in page.data["groups"].items()}
    assert ids == {"g0": ["a/0.png", "a/1.png"], "k0": ["b/6.png", "b/7.png"], "s0": ["b/3.png"]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lookalikes": LOOKALIKES.drop(columns="group")}, "no column 'group'; it needs id and"),
        ({"lookalikes": LOOKALIKES.assign(id="x")}, "an image with the id 'x'"),
        ({"lookalikes": LOOKALIKES.assign(part="a")}, "about two sets"),
        ({"lookalikes": LOOKALIKES.assign(group=[9, 9, 4, None])}, "rows without a group"),
        ({"lookalikes": LOOKALIKES.assign(matches="many")}, "'matches' that is not numbers"),
        ({"label_issues": ISSUES.assign(suggested="c")}, "the class 'c', which the set does not"),
        ({"label_issues": ISSUES.assign(score="high")}, "'score' that is not numbers"),
        ({"label_issues": ["a"]}, "must be a table of find_label_issues, or a CSV file, got list"),
        ({"decisions": "none.csv"}, "there is no file 'none.csv'"),
    ],
)
def test_other_tables_are_refused_in_one_line(cells, tmp_path, given, message) -> None:
    with pytest.raises(cp.CellprepError, match=message) as raised:
        cp.report(cells, tmp_path / "page.html", **given)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "page.html").exists()


def test_decisions_are_checked_and_on_the_page(cells, tmp_path) -> None:
    one = ["a/0.png", "keep", "", "why", hex_digests(digest(cells.images[:1]))[0], "Ann"]
    path = tmp_path / "decisions.csv"
    pd.DataFrame([one], columns=FIELDS).to_csv(path, index=False)
    assert page_of(tmp_path / "page.html", cells, decisions=path).data["review"]["made"] == [one]
    images, labels = cells.to_arrays()
    other = cp.Dataset.from_arrays(255 - images, labels, cells.class_names, ids=cells.ids)
    with pytest.raises(cp.CellprepError, match=r"'a/0\.png' is not the one"):
        cp.report(other, tmp_path / "page.html", decisions=path)


def test_decisions_in_the_shell(cells, tmp_path, monkeypatch) -> None:
    """From a report over `duplicates` to `run`, with one file."""
    monkeypatch.chdir(tmp_path)
    cp.write(cells, "in")
    found = hex_digests(digest(cells.images[:2]))
    rows = [["a/0.png", "keep", found[0]], ["a/1.png", "relabel", found[1]]]
    table = pd.DataFrame(rows, columns=["id", "decision", "digest"]).assign(label=["", "b"])
    table.to_csv("decisions.csv", index=False)
    LOOKALIKES.to_csv("lookalikes.csv", index=False)
    ISSUES.to_csv("suspected.csv", index=False)
    given = ["--lookalikes", "lookalikes.csv", "--label-issues", "suspected.csv"]
    run("report", "in", *given, "--decisions", "decisions.csv")
    assert "Suspected labels" in (tmp_path / "report.html").read_text("utf-8")
    assert "2 of 8 images" in run("duplicates", "in")
    assert "no duplicates" in run("duplicates", "in", "--decisions", "decisions.csv")
    (tmp_path / "recipe.toml").write_text('[[steps]]\nstep = "Decide"\ndecisions = "decisions.csv"')
    assert "1 kept, 1 relabelled" in run("run", "recipe.toml", "in", "out")
    assert cp.read("out").counts() == {"a": 3, "b": 5}
