"""What a notebook shows of data sets, recipes and results: HTML without scripts, in which names
and labels are text whatever they contain.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..arrays import Images
from ..errors import CellprepError, counted

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["changes", "contents", "dataset_view", "note", "pictures", "table", "view"]

_PICTURES = 8
_SIDE = 96
"""Of the pictures, in pixels."""


def view(title: str, parts: Iterable[str]) -> str:
    """One block of HTML: a title, and parts that are HTML already.

    >>> view("4 images", [note("<b> is text")])
    '<div class="cellprep"><strong>4 images</strong><p>&lt;b&gt; is text</p></div>'
    """
    return f'<div class="cellprep"><strong>{html.escape(title)}</strong>{"".join(parts)}</div>'


def note(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain text; numbers are aligned to the right."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
        return f'<td style="text-align: right">{text}</td>'
    return f'<td style="text-align: left">{html.escape(str(value))}</td>'


def pictures(images: Images, titles: Sequence[str]) -> str:
    """Images side by side, each with a title that appears under the pointer."""
    shown = "".join(
        f'<img src="data:image/png;base64,{_png(image)}" title="{html.escape(title)}" '
        f'alt="{html.escape(title)}" style="height: {_SIDE}px; margin: 2px; display: inline">'
        for image, title in zip(images, titles, strict=True)
    )
    return f"<div>{shown}</div>"


def _png(image: Images) -> str:
    picture, file = Image.fromarray(image), io.BytesIO()
    if max(picture.size) > _SIDE:
        picture.thumbnail((_SIDE, _SIDE))
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def dataset_view(dataset: Dataset) -> str:
    """Counts, a strip of images, and the steps with what they did.

    Nothing expensive is computed: before its steps have been needed for the first time, a data set
    shows the images of its source.
    """
    title = repr(dataset).removeprefix("Dataset(").removesuffix(")").partition(", then ")[0]
    if "plan" in vars(dataset):
        steps = [(c.step, c.rows_in, c.rows_out, c.why) for c in dataset.plan.changes]
        return view(title, [*contents(dataset), changes(steps)])
    moves = [str(one._move) for one in dataset.chain[1:]]
    before = type(dataset)(dataset.source)
    shown = contents(before)
    if moves:
        shown += [
            table(("step", "settings"), [_call(move) for move in moves]),
            note("The steps have not been computed yet; what is shown is the source."),
        ]
    return view(title, shown)


def _call(text: str) -> tuple[str, str]:
    """The name of a step and its settings.

    >>> _call("Balance(target='max')")
    ('Balance', "target='max'")
    """
    name, _, settings = text.partition("(")
    return name, settings.removesuffix(")")


def changes(steps: Sequence[Sequence[object]]) -> str:
    """What each step did: its name, images before and after, and how."""
    return table(("step", "images before", "images after", "what it did"), steps) if steps else ""


def contents(dataset: Dataset) -> list[str]:
    """Images by class, and a strip of them."""
    return [table(("class", "images"), list(dataset.counts().items())), _strip(dataset)]


def _strip(dataset: Dataset) -> str:
    """A few of the images, evenly spread; or the reason why they cannot be shown."""
    n = len(dataset)
    at = np.unique(np.linspace(0, max(n - 1, 0), min(n, _PICTURES)).astype(np.int64))
    try:
        images = dataset.images[at]
    except (CellprepError, OSError) as error:
        return note(f"{counted(n, 'image')}; they cannot be shown: {error}")
    names = [dataset.class_names[label] for label in dataset.labels[at]]
    ids = dataset.ids[at]
    return pictures(images, [f"{name}: {key}" for name, key in zip(names, ids, strict=True)])
