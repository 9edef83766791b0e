"""The site builds without warnings, loads nothing from other servers, and works offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, name

pytest.importorskip("mkdocs")

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Loads(HTMLParser):
    """The URLs that a browser loads for a page, and pictures without alternative text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.without_text: list[str] = []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        url = values.get(LOADED.get(tag, ""))
        if url and values.get("rel") != "canonical":
            self.urls.append(url)
        if tag == "img" and not values.get("alt"):
            self.without_text.append(url or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    built = subprocess.run(
        [*command, "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not built.returncode, built.stdout + built.stderr
    return folder


def test_every_page_is_built(site) -> None:
    for page in PAGES:
        if page.is_relative_to(ROOT / "docs"):
            assert (site / name(page).removeprefix("docs/")).with_suffix(".html").exists()
    assert not list(site.rglob("*.py"))


def test_nothing_is_loaded_from_other_servers(site) -> None:
    loads = {page: Loads(page) for page in site.rglob("*.html")}
    assert sum(len(found.urls) for found in loads.values()) > 100
    for page, found in loads.items():
        assert not [url for url in found.urls if re.match(r"(https?:)?//", url)], page
        assert not found.without_text, page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text("utf-8"))


def test_commands_and_public_names_are_documented(site) -> None:
    commands = (site / "reference" / "cli.html").read_text("utf-8")
    assert "Usage: cellprep run [OPTIONS] RECIPE INPUT OUT" in commands
    assert "Usage: cellmodels train [OPTIONS] TRAIN VAL OUT" in commands
    names = (site / "reference" / "cellprep.html").read_text("utf-8")
    assert 'id="cellprep.write"' in names
    assert "<blockquote>" not in names  # an example outside the Examples section of its docstring


def test_notebooks_can_be_downloaded_from_their_pages(site) -> None:
    found = set()
    for page in site.rglob("*.html"):
        for link in re.findall(r'<a href="([^"]+\.ipynb)" download', page.read_text("utf-8")):
            file = (page.parent / link).resolve()
            assert json.loads(file.read_text("utf-8"))["nbformat"] == 4
            found.add(file.name)
    assert found == {"folder.ipynb", "pytorch.ipynb", "saliency.ipynb", "tutorial.ipynb"}
    assert {file.name for file in site.rglob("*.ipynb")} == found


def test_a_browser_reads_and_searches_it_offline(site) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium is installed")
    problems = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.on("console", lambda logged: logged.type == "error" and problems.append(logged.text))
        page.on("request", lambda sent: sent.url.startswith("http") and problems.append(sent.url))
        for file in sorted(set(site.rglob("*.html")) - {site / "404.html"}):  # only for servers
            page.goto(file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 400, file
        page.set_viewport_size({"width": 1400, "height": 800})
        page.goto((site / "index.html").as_uri())
        page.get_by_role("textbox", name="Search").fill("quarantine")
        page.locator(".md-search-result__link").first.wait_for()
        page.locator(".md-search-result__link").first.click()
        page.get_by_role("heading", level=1).wait_for()
        assert "quarantine" in page.content()
        browser.close()
    assert not problems
