"""Decisions in the report, in a real browser: from a key to the set that `Decide` makes of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cellprep as cp
from cellprep.synthetic import draw_cells

from .test_report_browser import BROWSER, browser, saved

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
NAMES = ("baso", "mono", '"><b>')
FORMULA = "=1+1.png"


@pytest.fixture(scope="module")
def cells() -> cp.Dataset:
    """Duplicates with two labels and with one, near copies, and ids that look like formulas."""
    images, labels = draw_cells([6, 6, 6, 0, 0, 0, 0, 0], side=48, seed=4)
    at = np.r_[np.arange(18), 0, 1, 1]
    labels = labels[at]
    labels[18] = 1
    ids = np.array([f"{number:02d}.png" for number in range(21)], dtype=object)
    ids[18], ids[4], ids[7] = FORMULA, '\'=x, "y".png', " -7.png"
    return cp.Dataset.from_arrays(images[at], labels, NAMES, ids=ids.astype(str))


@pytest.fixture(scope="module")
def tables(cells) -> dict[str, pd.DataFrame]:
    return {
        "lookalikes": pd.DataFrame(
            {"id": cells.ids[[3, 4, 9, 10]], "group": [5, 5, 2, 2], "matches": [40, 40, 25, 25]}
        ),
        "label_issues": pd.DataFrame(
            {
                "id": cells.ids[[7, 8, 12]],
                "suggested": ["baso", NAMES[2], "mono"],
                "score": [0.01, 0.02, 0.9],
                "suspected": [True, True, False],
            }
        ),
    }


@pytest.fixture(scope="module")
def path(cells, tables, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("decisions") / "page.html"
    cp.report(cells, path, **tables)
    return path


@pytest.fixture
def opened(browser, path):
    """Opens a page in a browser that starts without storage; fails if the page logged anything."""
    wrong = []
    context = browser.new_context(viewport={"width": 1200, "height": 900})

    def opened(file: Path = path):
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.goto(file.as_uri())
        return page

    yield opened
    context.close()
    assert wrong == []


def press(page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def remaining(page) -> str:
    return page.locator("#remaining").inner_text()


def current(page) -> str:
    assert page.evaluate("document.activeElement.matches('[aria-current=true]')")
    return page.evaluate("document.activeElement.id")


def card(page, id: str):
    """A group, in view: cards out of view have no buttons yet."""
    found = page.locator(f"#{id}")
    found.scroll_into_view_if_needed()
    found.locator(".choices").wait_for()
    return found


def decisions(page) -> list[dict[str, str]]:
    return saved(page, page.locator("[data-do=save-decisions]"))


def made(page) -> dict[str, str]:
    return {row["id"]: row["decision"] for row in decisions(page)}


def test_keys_move_and_decide(opened) -> None:
    page = opened()
    assert remaining(page) == "0 decided, 6 remain"
    seen = []
    for _ in range(7):
        press(page, "j")
        seen.append(current(page))
    assert seen == ["g0", "g1", "k0", "k1", "s0", "s1", "s1"]  # the last one is the end
    press(page, "k k")
    assert current(page) == "k1"
    press(page, "1")
    assert remaining(page) == "1 decided, 5 remain"
    assert page.locator("#k1 .mark").all_inner_texts() == ["keep", "keep"]
    assert page.locator("#k1 .verdict").inner_text() == "decided"
    assert page.locator("#k1 [data-do=decide][aria-pressed=true]").inner_text() == "1 Keep all"
    press(page, "n 3")
    assert current(page) == "s0"
    assert page.locator("#s0 .mark").inner_text() == "relabel to baso"
    press(page, "0")
    assert page.locator("#s0 .mark").is_hidden()
    assert remaining(page) == "1 decided, 5 remain"
    page.locator("#who").fill("0 1 2 j k n u")  # keys are text there
    assert remaining(page) == "1 decided, 5 remain"


def test_every_choice_of_a_group(opened, cells) -> None:
    """Of three equal images, two labels: keep or drop all, keep one, relabel all to a class."""
    page = opened()
    press(page, "j")
    texts = page.locator("#g0 [data-do=decide]").all_inner_texts()
    assert texts == [
        *("1 Keep all", "2 Drop all", "3 Keep only 00.png (baso)"),
        *(f"4 Keep only {FORMULA} (mono)", "5 Relabel all to baso", "6 Relabel all to mono"),
    ]
    expected = {
        "1": ("keep", "keep"),
        "2": ("drop", "drop"),
        "3": ("keep", "drop"),
        "4": ("drop", "keep"),
        "5": ("keep", "relabel"),
        "6": ("relabel", "keep"),
        "7": ("relabel", "relabel"),  # the first of the menu
    }
    for key, pair in expected.items():
        press(page, key)
        assert made(page) == dict(zip(["00.png", f"'{FORMULA}"], pair, strict=True))
    press(page, "8")  # nothing has this key
    assert set(made(page).values()) == {"relabel"}
    page.locator("#g0 select").select_option(label=f"7: Relabel all to {NAMES[2]}")
    assert current(page) == "g0"
    assert {row["label"] for row in decisions(page)} == {NAMES[2]}


def test_the_mouse_decides_and_a_decision_shows_in_every_group_of_the_image(opened) -> None:
    page = opened()
    card(page, "k1").get_by_role("button", name="Keep only 09.png").click()
    assert page.locator("#k1 .mark").all_inner_texts() == ["keep", "drop"]
    card(page, "s0").get_by_role("button", name="Relabel to baso").click()
    assert remaining(page) == "2 decided, 4 remain"
    card(page, "s0").get_by_role("button", name="Clear").click()
    assert remaining(page) == "1 decided, 5 remain"
    page.locator("[data-do=next]").click()
    assert current(page) == "s1"
    page.locator("[data-do=next]").click()
    assert current(page) == "g0"  # from the end to the start


def test_undo_takes_back_one_decision_after_another(opened) -> None:
    page = opened()
    assert page.locator("[data-do=undo]").is_disabled()
    press(page, "j 1 j 2 k 3")
    assert set(made(page).values()) == {"keep", "drop"}
    press(page, "u")
    assert current(page) == "g0"
    assert page.locator("#g0 .mark").inner_text() == "keep"
    press(page, "u")
    assert current(page) == "g1"
    page.locator("[data-do=undo]").click()
    assert remaining(page) == "0 decided, 6 remain"
    assert page.locator("[data-do=undo]").is_disabled()


def test_decisions_survive_closing_the_page_and_belong_to_the_set(opened, cells, tmp_path) -> None:
    page = opened()
    press(page, "j 1")
    page.close()
    page = opened()
    assert remaining(page) == "1 decided, 5 remain"
    assert card(page, "g0").locator(".mark").inner_text() == "keep"
    other = opened()  # a second window of the same page
    press(other, "j j 2")
    # Not `wait_for_function`, which evaluates text; the page forbids that.
    page.locator("#remaining", has_text=re.compile("^2 decided")).wait_for()
    cp.report(cells.relabel({"05.png": "mono"}), tmp_path / "other.html")
    assert remaining(opened(tmp_path / "other.html")).startswith("0 decided")


def test_a_page_without_storage_decides_all_the_same(browser, path) -> None:
    context = browser.new_context()
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('forbidden'); } })"
    )
    page = context.new_page()
    page.goto(path.as_uri())
    press(page, "j 1")
    assert remaining(page) == "1 decided, 5 remain"
    assert "save them before you close" in page.locator("#toast").inner_text()
    context.close()


def test_the_saved_file_makes_the_set_that_was_decided(opened, cells, tmp_path) -> None:
    page = opened()
    page.locator("#who").fill("=Ann")
    page.locator("#who").blur()
    # keep the formula, drop 00; keep all; keep 03, drop the other; relabel " -7" and 08
    press(page, "j 4 j 1 j 3 n n 3 n 3")
    with page.expect_download() as download:
        page.locator("[data-do=save-decisions]").click()
    file = tmp_path / "decisions.csv"
    download.value.save_as(file)
    assert not any(
        cell.startswith(("=", "+", "-", "@"))
        for line in file.read_text("utf-8").splitlines()
        for cell in line.split(",")
    )
    step = cp.Decide(file)
    assert {one["name"] for one in step.decisions} == {"=Ann"}
    result = cp.Recipe([step])(cells)
    assert set(cells.ids) - set(result.ids) == {"00.png", cells.ids[4]}
    was, now = (dict(zip(one.ids, one.labels, strict=True)) for one in (cells, result))
    changed = {id: NAMES[label] for id, label in now.items() if label != was[id]}
    assert changed == {" -7.png": "baso", "08.png": NAMES[2]}
    assert not len(cp.find_duplicates(result))


def test_a_page_made_with_decisions_shows_what_and_by_whom(opened, cells, tables, tmp_path) -> None:
    page = opened()
    press(page, "j 3 j j j j 1")
    page.locator("#who").fill("Ann")  # also of what was decided before
    page.locator("#who").blur()
    with page.expect_download() as download:
        page.locator("[data-do=save-decisions]").click()
    file = tmp_path / "decisions.csv"
    download.value.save_as(file)
    page.evaluate("localStorage.clear()")
    cp.report(cells, tmp_path / "second.html", decisions=file, **tables)
    second = opened(tmp_path / "second.html")
    assert remaining(second) == "2 decided, 4 remain"
    assert card(second, "g0").locator(".verdict").inner_text() == "decided by Ann"
    assert card(second, "g0").locator(".mark").inner_text() == "keep 1, drop 1"
    assert card(second, "s0").locator(".mark").inner_text() == "keep"
    second.locator("#who").fill("Bob")
    press(second, "Tab")
    card(second, "g1").get_by_role("button", name="Keep all").click()
    names = {row["id"]: row["name"] for row in decisions(second)}
    assert sorted(names.values()) == ["Ann", "Ann", "Ann", "Bob", "Bob", "Bob"]
    card(second, "g0").get_by_role("button", name="Clear").click()  # also those of the file
    second.reload()
    assert remaining(second) == "2 decided, 4 remain"
    assert len(decisions(second)) == 4


def test_the_viewer_decides_on_the_open_picture(opened) -> None:
    page = opened()
    page.locator("#s0 button.t").click()
    press(page, "2")
    assert page.locator("#toast").inner_text() == "Drop"
    press(page, "Escape")
    assert page.locator("#s0 .mark").inner_text() == "drop"
    assert page.evaluate("document.activeElement.matches('#s0 button.t')")


def test_hidden_groups_are_passed_over(opened) -> None:
    page = opened()
    page.locator("[data-kind=conflict]").first.click()
    press(page, "j j")
    assert current(page) == "k0"


def test_decisions_have_names_for_screen_readers_and_fit_narrow_screens(opened) -> None:
    page = opened()
    press(page, "j")
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    dock, card = page.locator(".dock").bounding_box(), page.locator("#g0").bounding_box()
    assert dock["height"] < 150
    assert card["x"] >= 0
    assert page.locator("#g0").get_attribute("aria-label").startswith("2 images: ")
    assert page.get_by_role("group", name="Decision").count() >= 1
    assert page.get_by_role("region", name="Decisions").count() == 1
    unnamed = page.locator("#decide button, #decide input, .choices button").evaluate_all(
        "all => all.filter(one => !one.textContent.trim() && !one.labels?.length).length"
    )
    assert unnamed == 0


@pytest.mark.slow
def test_a_page_of_thousands_of_photographs(opened, data, tmp_path) -> None:
    """Keys decide on groups anywhere in it; `examples/proof/review.py page` measures how fast."""
    cells = cp.read(data / "pbc96")
    rows = np.random.default_rng(0).permutation(len(cells))
    suggested = [cells.class_names[label - 1] for label in cells.labels[rows[:1000]]]
    made = cp.report(
        cells,
        tmp_path / "page.html",
        lookalikes=pd.DataFrame({"id": cells.ids[rows[1000:2200]], "group": np.arange(1200) // 2}),
        label_issues=pd.DataFrame({"id": cells.ids[rows[:1000]], "suggested": suggested}),
    )
    assert made.images == len(cells) > 13_000
    assert made.bytes < 10e6
    page = opened(made.path)
    page.locator("#s500").evaluate("group => group.scrollIntoView()")
    card(page, "s500").get_by_role("button", name="Keep").click()
    press(page, "j 2 j 3 j 1 u")
    assert current(page) == "s503"
    assert remaining(page).startswith("3 decided, ")
    page.locator("body").evaluate("() => scrollTo(0, 0)")
    press(page, "n")
    assert current(page) == "s504"
    assert {row["decision"] for row in decisions(page)} == {"keep", "drop", "relabel"}
