"""One picture of what each step did: before and after, a column a class."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .arrays import Images, Positions
from .dataset import Dataset
from .place import as_path, replacing
from .plan import Change
from .rows import SAME

_TILE, _GAP, _MARGIN, _NAMES = 112, 6, 24, 96
_COLUMNS = 8
_INK, _GREY, _PAPER = (28, 28, 32), (112, 112, 120), (255, 255, 255)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Strip = tuple[str, list[tuple[Images, str]]]
"""A name, and tiles with their captions."""


def contact_sheet(dataset: Dataset, path: str | Path, title: str = "") -> Path:
    """A PNG with a section for each step: what it took out, or some images before and after it.

    Parameters
    ----------
    dataset : Dataset
        The end of the chain; a few of its images are made.
    path : str or Path
    title : str, optional

    Returns
    -------
    Path
    """
    first = dataset.chain[0]
    sections = [("what came in", f"{len(first):,} images", _examples(first))]
    for before, after in zip(dataset.chain, dataset.chain[1:], strict=False):
        change = after.plan.changes[-1]
        if after.plan.step.startswith("split"):
            continue  # nothing to see
        heading = f"{change.step}: {change.rows_in:,} to {change.rows_out:,} images"
        strips: list[Strip] = []
        if after.plan.stages == before.plan.stages and len(after) <= len(before):
            if change.removed:
                strips = _removed(before, change)
        else:
            strips = _before_and_after(before, after)
        sections.append((heading, change.why, strips))
    target, sheet = as_path(path), io.BytesIO()
    kind = Image.registered_extensions().get(target.suffix.lower(), "PNG")
    _draw(title, sections).save(sheet, kind)
    with replacing(target) as temporary:
        temporary.write_bytes(sheet.getbuffer())
    return target


def _by_class(dataset: Dataset, rows: Positions) -> list[int]:
    """The first of the rows for each class, as many as there are columns."""
    labels = dataset.labels[rows]
    first = np.sort(np.unique(labels, return_index=True)[1])
    chosen = rows[first[np.argsort(labels[first])]].tolist()
    shown = {dataset.ids[row] for row in chosen}
    for row in rows.tolist()[:2000]:
        if dataset.ids[row] not in shown:
            shown.add(dataset.ids[row])
            chosen.append(row)
    return list(chosen)[:_COLUMNS]


def _examples(dataset: Dataset) -> list[Strip]:
    rows = _by_class(dataset, dataset.plan.rows.order())
    names = dataset.class_names
    return [("", [(dataset.images[row], names[dataset.labels[row]]) for row in rows])]


def _removed(before: Dataset, change: Change) -> list[Strip]:
    """The pictures that went, by reason: the most frequent first, with how often they stood."""
    strips = []
    keys = before.plan.rows.keys
    for reason, rows in change.removed.items():
        # Equal images are one picture; a step that does not look at pixels leaves no such column.
        look = rows.columns.get(SAME, np.arange(len(rows)))
        _, first, which, count = np.unique(
            look, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        tiles = []
        for picture in np.argsort(-count, kind="stable")[:_COLUMNS]:
            labels = np.unique(rows.labels[which.reshape(-1) == picture])
            under = f"{len(labels)} labels" if len(labels) > 1 else before.class_names[labels[0]]
            times = f"{count[picture]}x, " if count[picture] > 1 else ""
            row = int(np.flatnonzero(keys == rows.keys[first[picture]])[0])
            tiles.append((before.images[row], times + under))
        strips.append((reason, tiles))
    return strips


def _before_and_after(before: Dataset, after: Dataset) -> list[Strip]:
    """Originals above what became of them; of a step that copies, up to three copies."""
    added = np.flatnonzero(~np.isin(after.plan.rows.keys, before.plan.rows.keys))
    order = after.plan.rows.order()
    rows = order[np.isin(order, added)] if len(added) else order
    chosen = _by_class(after, rows)
    same = [np.flatnonzero(before.ids == after.ids[row]) for row in chosen]
    origins = [places[np.argmin(before.copies[places])] for places in same]
    names = [after.class_names[after.labels[row]] for row in chosen]
    strips = [
        ("before", [(before.images[row], name) for row, name in zip(origins, names, strict=True)])
    ]
    for number in range(min(3, _copies(after, chosen, added)) if len(added) else 1):
        tiles = []
        for row in chosen:
            siblings = order[(after.ids[order] == after.ids[row])]
            siblings = siblings[np.isin(siblings, added)] if len(added) else siblings
            tiles.append((after.images[siblings[min(number, len(siblings) - 1)]], ""))
        strips.append(("after" if number == 0 else "", tiles))
    return strips


def _copies(after: Dataset, chosen: list[int], added: Positions) -> int:
    return min(int((after.ids[added] == after.ids[row]).sum()) for row in chosen)


def _lines(strips: list[Strip]) -> Iterator[tuple[Strip, int]]:
    for strip in strips:
        captions = any(caption for _, caption in strip[1])
        yield strip, _TILE + _GAP + (18 if captions else 0)


def _draw(title: str, sections: list[tuple[str, str, list[Strip]]]) -> Image.Image:
    width = 2 * _MARGIN + _NAMES + _COLUMNS * (_TILE + _GAP)
    height = 2 * _MARGIN + (44 if title else 0)
    height += sum(58 + sum(high for _, high in _lines(strips)) + 14 for *_, strips in sections)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    large, middle, small = (ImageFont.load_default(size) for size in (24, 16, 12))
    y = _MARGIN
    if title:
        pen.text((_MARGIN, y), title, _INK, font=large)
        y += 44
    for heading, why, strips in sections:
        pen.line((_MARGIN, y, width - _MARGIN, y), (225, 225, 230))
        room = width - 2 * _MARGIN
        pen.text((_MARGIN, y + 10), _fitted(pen, heading, middle, room), _INK, font=middle)
        pen.text((_MARGIN, y + 32), _fitted(pen, why, small, room), _GREY, font=small)
        y += 58
        for (name, tiles), high in _lines(strips):
            pen.multiline_text((_MARGIN, y + 8), fill(name, 15), _GREY, font=small)
            for column, (image, caption) in enumerate(tiles):
                x = _MARGIN + _NAMES + column * (_TILE + _GAP)
                sheet.paste(_tile(image), (x, y))
                pen.text((x, y + _TILE + 2), _fitted(pen, caption, small, _TILE), _GREY, font=small)
            y += high
        y += 14
    return sheet


def _tile(image: Images) -> Image.Image:
    picture = Image.fromarray(image)
    scale = _TILE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    tile = Image.new("RGB", (_TILE, _TILE), (240, 240, 243))
    resized = picture.resize(size, Image.Resampling.BICUBIC)
    tile.paste(resized, ((_TILE - size[0]) // 2, (_TILE - size[1]) // 2))
    return tile


def _fitted(pen: ImageDraw.ImageDraw, text: str, font: Font, width: int) -> str:
    """The text, cut so that it fits."""
    if pen.textlength(text, font=font) <= width:
        return text
    while text and pen.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."
