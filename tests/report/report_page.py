"""A messy folder with hostile file names, and a parser of its report, for all report tests."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

import cellprep as cp
from cellprep.synthetic import draw_cells

HOSTILE = "\"><img src=x onerror='alert(1)'>"
SCRIPT = "<script>alert(1)<!--.png"
RECIPE = """\
seed = 1

[[steps]]
step = "Dedupe"

[[steps]]
step = "Balance"

[[steps]]
step = "RandAugment"
copies = 2
"""


def draw_mess(folder: Path) -> None:
    """Synthetic cells in folders: conflicts, copies, faults, and names that look like markup."""
    images, labels = draw_cells([24, 24, 4, 0, 0, 0, 0, 0], side=64, seed=5)
    names = ["baso", HOSTILE, "few"]
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        _save(folder / names[label] / f"cell {number:02d}.png", image)
    first, other = folder / "baso", folder / HOSTILE
    _save(first / SCRIPT, images[0])  # equal to cell 00, and also under another label
    _save(other / "<h1>&quot;`${1}`.png", images[0])
    _save(first / "again.png", images[1])
    _save(first / "turned.png", images[2][:, ::-1])
    _save(other / "near.png", _jpeg(images[30]))
    for number in range(12):
        _save(first / f"many {number:02d}.png", images[3])
    _save(first / "dark.png", (images[10] * 0.2).astype(np.uint8))
    blurred = Image.fromarray(images[11]).filter(ImageFilter.GaussianBlur(2.5))
    _save(first / "blurred.png", np.asarray(blurred))
    _save(first / "empty.png", np.full_like(images[0], 230))
    _save(first / "wide.png", np.asarray(Image.fromarray(images[12]).resize((200, 40))))
    (first / "cut.png").write_bytes((first / "dark.png").read_bytes()[:200])
    Image.new("RGB", (5, 5)).save(other / "gif.png", "GIF")
    (folder / "recipe.toml").write_text(RECIPE)


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def _jpeg(image: np.ndarray) -> np.ndarray:
    import io

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=80)
    return np.asarray(Image.open(file))


class Page(HTMLParser):
    """Tags with their attributes, and the text, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(html)
        self.data: dict[str, Any] = json.loads(self.inside["script"][0])
        for row in self.data["rows"]:
            row[3] = row[3] or row[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag
        self.text += "\n"
        if tag in self.inside:
            self.inside[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in self.inside:
            self.inside[self._open][-1] += data
        else:
            self.text += data

    def ids(self, rows: list[int]) -> list[Any]:
        return [self.data["rows"][row][0] for row in rows]

    def alerts(self) -> dict[str, list[Any]]:
        return {key: self.ids(rows) for key, rows in self.data["alerts"].items()}

    def csp(self) -> str:
        return next(
            str(a["content"])
            for t, a in self.tags
            if a.get("http-equiv") == "Content-Security-Policy"
        )


def page_of(path: Path, dataset: cp.Dataset, **settings: Any) -> Page:
    """The page of a report on a data set."""
    cp.report(dataset, path, **settings)
    return Page(path.read_text("utf-8"))


def colours(css: str) -> dict[str, tuple[str, str]]:
    """The colours of a style sheet by name: light, dark."""
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    return {name: (light, dark) for name, light, dark in pairs}
