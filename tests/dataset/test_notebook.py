"""What a notebook shows of a data set, a recipe, a write and a training."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

import cellmodels as cm
import cellprep as cp

NASTY = "<img src=x onerror=\"document.title='run'\"><b class='mine'>|`"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def cells(n: int = 12, side: int = 16) -> cp.Dataset:
    images = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)
    images[1] = images[0]
    ids = [f"{NASTY}/{number}" for number in range(n)]
    return cp.Dataset.from_arrays(images, [0, 0, 1] * (n // 3), ("baso", NASTY), ids=ids)


def test_nothing_is_computed_to_show_a_data_set():
    made = cp.Recipe([cp.Dedupe(), cp.Balance()])(cells())

    shown = made._repr_html_()

    assert "plan" not in vars(made)
    assert "have not been computed yet" in shown
    assert '<td style="text-align: left">Balance</td>' in shown
    len(made)
    shown = made._repr_html_()
    assert "1 repeats of an equal image" in shown
    assert '<td style="text-align: right">11</td>' in shown


def test_what_cannot_be_shown_is_stated(tmp_path):
    folder = tmp_path / "cells"
    cp.write(cells(), folder, format="folder")
    written = cp.write(cells(), tmp_path / "out")
    read = cp.read(folder)
    for file in folder.glob("*/*.png"):
        file.write_bytes(b"no image")
    shutil.rmtree(tmp_path / "out")

    assert "cannot be shown" in read._repr_html_()
    assert "is not a folder or npz file" in written._repr_html_()


@pytest.fixture(scope="module")
def page():
    """A page with all views in a browser, and what it logged."""
    api = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no chromium is installed")
    made = cp.Recipe([cp.Dedupe(), cp.Balance(jitter=None)], seed=3)
    balanced = made(cells(side=200))
    fitted = cm.Fitted({"loss": [0.5, 0.25], NASTY: [1.0, 2.0]}, Path(NASTY), 1, False, 2.0, 0)
    with tempfile.TemporaryDirectory() as folder, api.sync_playwright() as playwright:
        written = cp.write(balanced, f"{folder}/out")
        views = (balanced, cp.read(f"{folder}/out"), made, written, fitted)
        file = Path(folder) / "page.html"
        shown = "<hr>".join(one._repr_html_() for one in views)
        file.write_text(f"<!doctype html><meta charset=utf-8><title>views</title>{shown}", "utf-8")
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"]
        )
        page, wrong = browser.new_page(), []
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_function("[...document.images].every(image => image.complete)")
        yield page, wrong
        browser.close()


def test_a_browser_shows_every_view(page):
    opened, wrong = page
    sizes = opened.evaluate("[...document.images].map(i => [i.naturalWidth, i.height])")
    titles = opened.locator(".cellprep > strong").all_inner_texts()

    assert wrong == []
    assert sizes == [[96, 96]] * 24  # 8 images of a data set, its copy on disk, a written set
    assert len(titles) == 5
    assert titles[2] == "Recipe of 2 steps, seed 3"
    assert opened.locator("td", has_text="1 repeats of an equal image").count() == 2
    assert opened.locator("tr", has_text="kept").inner_text().split("\t")[:2] == ["2", "0.25"]


def test_names_and_ids_are_text_in_a_browser(page):
    opened, _ = page

    assert opened.title() == "views"
    assert opened.locator(".mine").count() == 0
    assert opened.locator("td", has_text="onerror").count() >= 2
