"""Charts as SVG, in the colours and fonts of the page around them."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Sequence
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

MOST_BARS = 40
_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_CLASSES = {"#010101": "bar a", "#020202": "bar b", "#030303": "mark", "#040404": "line"}
"""Placeholder colours, replaced by classes of the page's style sheet."""
_A, _B, _MARK, _LINE = _CLASSES
_WIDTH, _ROW = 4.3, 0.19  # inches, shown at 72 points per inch or less


def bars(
    name: str,
    labels: Sequence[str],
    series: Sequence[Sequence[int]],
    *,
    mark: float | None = None,
) -> str:
    """Horizontal bars, one or two per label; `mark` is a vertical line across them."""
    labels = [_short(label) for label in labels[:MOST_BARS]]
    shown = [values[:MOST_BARS] for values in series]
    thick = len(shown) * _ROW
    figure = _figure((len(labels) * (thick + 0.09)) + 0.45)
    axes = figure.subplots()
    positions = np.arange(len(labels))
    height = 0.78 / len(shown)
    colours = [_B] if len(shown) == 1 else [_A, _B]
    top = max(1, *(max(values, default=0) for values in shown))
    for number, (values, colour) in enumerate(zip(shown, colours, strict=True)):
        at = positions + (number - (len(shown) - 1) / 2) * height
        axes.barh(at, values, height * 0.92, color=colour)
        for y, value in zip(at, values, strict=True):
            axes.text(max(value, mark or 0) + 0.015 * top, y, f"{value:,}", va="center", fontsize=9)
    if mark is not None:
        axes.axvline(mark, color=_MARK, linewidth=1.2, linestyle="--")
    axes.set_yticks(positions, labels, fontsize=10)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, 1.2 * max(top, mark or 0))
    axes.set_xticks([])
    return _as_svg(figure, axes, name)


def histogram(name: str, values: NDArray[Any], threshold: float) -> str:
    """Distribution of a measure, and the threshold below which an image is flagged."""
    figure = _figure(1.7, layout=None)
    axes = figure.add_axes((0.02, 0.18, 0.96, 0.8))
    low, high = float(min(values.min(), threshold)), float(values.max())
    edges = np.linspace(min(low, 0), max(high, threshold, 1e-6), 41)
    counts, _ = np.histogram(values, edges)
    axes.stairs(
        counts, edges, fill=True, color=_B, linewidth=0
    )  # one shape, not 40 bars: a third of the time
    axes.axvline(threshold, color=_MARK, linewidth=1.2, linestyle="--")
    axes.tick_params(labelsize=10)
    axes.set_yticks([])
    return _as_svg(figure, axes, name)


def _short(text: str, most: int = 22) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _figure(height: float, layout: Literal["constrained"] | None = "constrained") -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), layout=layout)


def _as_svg(figure: Any, axes: Any, name: str) -> str:
    import matplotlib as mpl

    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.tick_params(left=False, color=_LINE)
    file = io.BytesIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name}
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with warnings.catch_warnings(), mpl.rc_context(settings):
        warnings.simplefilter("ignore")  # glyphs missing in its font; the page uses another
        for text in figure.findobj(mpl.text.Text):
            text.set_parse_math(False)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _plain(file.getvalue().decode(), name)


def _plain(text: str, name: str) -> str:
    """The SVG without inline styles, which the page's policy forbids; classes give the colours."""
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style") or child.get("id") == "patch_1":
                parent.remove(child)
    for element in root.iter():
        style = dict(re.findall(r"([\w-]+): *([^;]+)", element.attrib.pop("style", "")))
        if element.tag == f"{_SVG}text":
            size = re.search(r"([\d.]+)px", style.get("font") or style.get("font-size") or "")
            style = {"text-anchor": style.get("text-anchor", "start")}
            style |= {"font-size": size[1]} if size else {}
        for paint in ("fill", "stroke"):
            if style.get(paint) in _CLASSES:
                element.set("class", _CLASSES[style.pop(paint)])
        for key, value in style.items():
            element.set(key, value)
        if element.tag == f"{_SVG}g":
            element.attrib.pop("id", None)
        for key in ("id", _LINK, "clip-path"):
            if key in element.attrib:
                old = element.attrib[key]
                element.attrib[key] = re.sub(r"^(url\(#|#|)", rf"\g<1>{name}-", old, count=1)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"class": "chart", "role": "img", "aria-labelledby": f"{name}-title"}
    ElementTree.register_namespace("", _SVG[1:-1])
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return ElementTree.tostring(root, encoding="unicode")
