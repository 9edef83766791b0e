"""The report in a real browser: the system's Chromium, driven by Playwright, offline."""

from __future__ import annotations

import csv
import io
import itertools
import re
import shutil

import pytest
from click.testing import CliRunner

from cellprep.cli import main

from .report_page import HOSTILE, SCRIPT, Page, draw_mess

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} is installed")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report on the messy folder, with the folder's own images as the test set."""
    folder = tmp_path_factory.mktemp("browser")
    draw_mess(folder / "in")
    recipe = folder / "recipe.toml"
    (folder / "in" / "recipe.toml").rename(recipe)
    line = ["report", folder / "in", "-o", folder / "page.html", "--recipe", recipe]
    done = CliRunner().invoke(main, [*map(str, line), "--test", str(folder / "in")])
    assert done.exit_code == 0, done.output
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, report):
    """Opens the report; fails if the page made a request or logged anything."""
    wrong, contexts = [], []

    def opened(**settings):
        context = browser.new_context(viewport={"width": 1200, "height": 900}, **settings)
        if settings.get("java_script_enabled", True):
            context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("data:", "blob:", report.as_uri()))
                or wrong.append(request.url)
            ),
        )
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.goto(report.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def data(report):
    return Page(report.read_text("utf-8")).data


def cards(page):
    return page.locator("#groups > .group:not([hidden])")


def keys(page):
    return cards(page).evaluate_all("cards => cards.map(card => card.id)")


def clipboard(page):
    return page.evaluate("navigator.clipboard.readText()").split("\n")


def saved(page, button) -> list[dict[str, str]]:
    with page.expect_download() as download:
        button.click()
    text = download.value.path().read_bytes().decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_filters_show_matching_groups(opened, data) -> None:
    page = opened()
    assert cards(page).count() == len(data["groups"]) - sum(k[0] == "l" for k in data["groups"])

    relation, conflict = (data["fields"].index(name) for name in ("relation", "conflict"))
    for name, column, value in (
        ("Conflicts", conflict, 1),
        ("Flipped or rotated", relation, "symmetry"),
        ("Near", relation, "near"),
    ):
        page.get_by_role("button", name=re.compile(rf"^{name} \d")).click()
        expected = {
            key
            for key, rows in data["groups"].items()
            if key[0] == "g" and value in {data["rows"][row][column] for row in rows}
        }
        assert set(keys(page)) == expected
        assert expected
    page.locator("[data-kind=all]").first.click()
    page.locator("#label").select_option(label=HOSTILE)
    for key in keys(page):
        assert HOSTILE in {data["rows"][row][2] for row in data["groups"][key]}
    assert "images" in page.locator("#seen").inner_text()
    page.locator("#label").select_option(label="all")
    page.locator("#text").fill("<SCRIPT>")
    assert cards(page).count() == 1
    assert SCRIPT in cards(page).text_content()
    page.locator("#text").fill("no such thing")
    assert cards(page).count() == 0


def test_groups_sort_by_size_distance_and_conflict(opened, data) -> None:
    page = opened()
    sizes = {key: len(rows) for key, rows in data["groups"].items()}
    page.locator("#order").select_option("size")
    assert [sizes[key] for key in keys(page)] == sorted(map(sizes.get, keys(page)), reverse=True)
    page.locator("#order").select_option("far")
    far = [float(d) for d in cards(page).evaluate_all("c => c.map(one => one.dataset.difference)")]
    assert far[0] == max(far) > 0
    page.locator("#order").select_option("first")
    marks = cards(page).evaluate_all("c => c.map(one => one.dataset.conflict)")
    assert marks == sorted(marks, reverse=True)
    assert marks[0] == "1"


def test_the_page_does_not_ask_the_browser_to_set_the_focus(report) -> None:
    """Chromium logs that it cannot if the page, restoring decisions, was quicker."""
    assert "autofocus" not in report.read_text("utf-8")


def test_viewer_opens_and_arrow_keys_browse(opened, data) -> None:
    page = opened()
    first = page.locator("#gallery button.t").first
    first.scroll_into_view_if_needed()
    first.focus()
    page.keyboard.press("Enter")
    view = page.locator("#view")
    assert view.is_visible()
    assert page.evaluate("document.activeElement.ariaLabel") == "Next picture"
    id, _, name, file = data["rows"][data["tiles"][int(first.get_attribute("data-t"))][0]][:4]
    for text in (str(id), name, file):
        assert text in view.inner_text()
    assert page.locator("#big").evaluate("e => getComputedStyle(e).backgroundImage") == (
        first.evaluate("e => getComputedStyle(e).backgroundImage")
    )
    assert "data:image/webp" in page.locator("#big").evaluate(
        "e => getComputedStyle(e).backgroundImage"
    )
    title = page.locator("#view-title").inner_text()
    assert title.startswith("1 of ")
    page.keyboard.press("ArrowRight")
    assert page.locator("#view-title").inner_text().startswith("2 of ")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    many = title.split()[-1]
    assert page.locator("#view-title").inner_text() == f"{many} of {many}"
    page.keyboard.press("Escape")
    assert not view.is_visible()
    last = page.locator("#gallery button.t").last
    assert last.evaluate("e => e === document.activeElement")  # focus follows the viewer


def test_viewer_opens_pictures_of_every_section(opened, data) -> None:
    """Pictures of alerts, groups, leaks, steps and galleries open with their own ids."""
    page = opened()
    for section in ("#attention", "#duplicates", "#leaks", "#steps", "#gallery"):
        tile = page.locator(f"{section} button.t").last
        tile.click()
        rows = data["tiles"][int(tile.get_attribute("data-t"))]
        assert str(data["rows"][rows[0]][0]) in page.locator("#facts").inner_text()
        page.get_by_role("button", name="Close").click()


def test_arrow_keys_move_within_a_strip(opened) -> None:
    page = opened()
    strip = page.locator("#gallery .strip").first
    strip.locator("button.t").first.focus()
    page.keyboard.press("ArrowRight")
    assert strip.locator("button.t").nth(1).evaluate("e => e === document.activeElement")
    assert strip.locator("button.t[tabindex='0']").count() >= 1
    page.keyboard.press("Tab")  # leaves the strip
    assert not strip.evaluate("e => e.contains(document.activeElement)")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"  # the focus is visible


def test_copy_buttons_copy_ids(opened, data) -> None:
    page = opened()
    group = page.locator("#g0")
    group.get_by_role("button", name="Copy ids").click()
    assert clipboard(page) == [data["rows"][row][0] for row in data["groups"]["g0"]]
    assert page.locator("#toast").inner_text() == f"{len(data['groups']['g0'])} ids copied"
    page.locator("#attention .alert[data-key=empty]").get_by_role("button", name="Copy").click()
    assert clipboard(page) == ["baso/empty.png"]
    page.locator("[data-kind=conflict]").first.click()
    page.locator("#tools").get_by_role("button", name="Copy ids").click()
    expected = [data["rows"][row][0] for key in keys(page) for row in data["groups"][key]]
    assert clipboard(page) == expected


def test_save_buttons_save_csv(opened, data) -> None:
    page = opened()
    page.locator("#text").fill("script")
    table = saved(page, page.locator("#tools").get_by_role("button", name="Save CSV"))
    rows = data["groups"][keys(page)[0]]
    assert [row["id"] for row in table] == [data["rows"][row][0] for row in rows]
    assert f"baso/{SCRIPT}" in [row["id"] for row in table]
    assert HOSTILE in [row["class_name"] for row in table]  # quotes included
    assert list(table[0]) == data["fields"]
    assert {row["conflict"] for row in table} == {"1"}
    alert = page.locator("#attention .alert[data-key=outlier]")
    assert len(saved(page, alert.get_by_role("button", name="Save CSV"))) == 13


def test_selected_pictures_are_listed(opened, data) -> None:
    page = opened()
    tiles = page.locator("#gallery .strip").first.locator("button.t")
    tiles.nth(0).click(modifiers=["Control"])
    tiles.nth(2).focus()
    page.keyboard.press("s")
    tiles.nth(4).click()
    page.locator("#pick").click()
    assert page.locator("#pick").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    bar = page.locator("#picked")
    assert bar.inner_text().startswith("3 pictures selected")
    expected = [
        data["rows"][row][0]
        for at in (0, 2, 4)
        for row in data["tiles"][int(tiles.nth(at).get_attribute("data-t"))]
    ]
    bar.get_by_role("button", name="Copy ids").click()
    assert clipboard(page) == expected
    assert [
        row["id"] for row in saved(page, bar.get_by_role("button", name="Save CSV"))
    ] == expected
    bar.get_by_role("button", name="Clear").click()
    assert not bar.is_visible()


def test_alert_links_to_its_groups(opened) -> None:
    page = opened(reduced_motion="reduce")  # jumps instead of scrolling
    page.locator(".alert[data-key=conflict]").get_by_role("button", name="Show").click()
    assert page.locator("[data-kind=conflict][aria-pressed=true]").count() == 1
    assert abs(page.locator("#duplicates").bounding_box()["y"]) < 100


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_page_fits_the_screen_width(opened, width, script) -> None:
    page = opened(java_script_enabled=script)
    page.set_viewport_size({"width": width, "height": 900})
    if script:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        over = page.evaluate(
            """() => [...document.querySelectorAll("main *")].filter(one => {
              const scrolls = one.closest(".scroll, pre, .strip, .ids, svg");
              return !scrolls && one.getBoundingClientRect().right > innerWidth + 1;
            }).map(one => one.outerHTML.slice(0, 80))"""
        )
        assert over == []
    else:
        box = page.locator("main").bounding_box()
        assert box["x"] + box["width"] <= width


def test_page_is_complete_without_script(opened, report) -> None:
    page = opened(java_script_enabled=False)
    text = page.locator("main").text_content()
    for line in ("What needs attention", "baso/empty.png", "Gallery", "auto contrast", SCRIPT):
        assert line in text
    assert page.locator("#tools").is_hidden()
    assert page.get_by_role("button", name="Copy ids").first.is_hidden()


def test_light_and_dark_theme(opened) -> None:
    def ground(page) -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = opened(color_scheme="light"), opened(color_scheme="dark")
    assert ground(light) == "rgb(246, 246, 243)"
    assert ground(dark) == "rgb(20, 22, 26)"
    assert light.locator(".chart text").first.evaluate("e => getComputedStyle(e).fill") == (
        "rgb(28, 30, 33)"
    )
    light.locator("#theme").click()
    assert ground(light) == "rgb(20, 22, 26)"
    light.reload()
    assert ground(light) == "rgb(20, 22, 26)"  # the choice is remembered
    light.locator("#theme").click()
    assert ground(light) == "rgb(246, 246, 243)"


def test_reduced_motion_is_respected(opened) -> None:
    still = opened(reduced_motion="reduce")
    assert still.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_screen_reader_names_and_heading_levels(opened) -> None:
    """Every control has a name, and no heading level is skipped."""
    page = opened()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, a, [role=img]")].filter(
          one => !one.closest("dialog") && !(one.ariaLabel || one.textContent.trim()
            || one.labels?.length || one.getAttribute("aria-labelledby"))
        ).map(one => one.outerHTML.slice(0, 80))"""
    )
    assert unnamed == []
    levels = page.locator("main h1, main h2, main h3").evaluate_all(
        "h => h.map(e => +e.tagName[1])"
    )
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
