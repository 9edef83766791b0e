"""One picture of what each step did: before and after, one column per class."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

from PIL import Image, ImageDraw, ImageFont

from ..arrays import Images
from ..dataset.dataset import Dataset
from ..system.paths import as_path, atomic_write
from ..writing.output import writing_to
from .examples import COLUMNS, Section, Strip, sections

_TILE, _GAP, _MARGIN, _NAMES = 112, 6, 24, 96
_INK, _GREY, _PAPER = (28, 28, 32), (112, 112, 120), (255, 255, 255)

__all__ = ["contact_sheet"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(dataset: Dataset, path: str | Path, title: str = "") -> Path:
    """Write a picture with a section per step: removed images, or images before and after it.

    Parameters
    ----------
    dataset : Dataset
        The end of the chain; a few of its images are computed.
    path : str or Path
        Its ending gives the format; PNG if there is none.
    title : str, optional

    Returns
    -------
    Path
    """
    target, sheet = as_path(path), io.BytesIO()
    kind = Image.registered_extensions().get(target.suffix.lower(), "PNG")
    _sheet(title, list(sections(dataset))).save(sheet, kind)
    with writing_to(target, is_file=True), atomic_write(target) as temporary:
        temporary.write_bytes(sheet.getbuffer())
    return target


def _lines(strips: list[Strip]) -> Iterator[tuple[Strip, int]]:
    for strip in strips:
        captions = any(example.caption for example in strip.examples)
        yield strip, _TILE + _GAP + (18 if captions else 0)


def _sheet(title: str, shown: list[Section]) -> Image.Image:
    width = 2 * _MARGIN + _NAMES + COLUMNS * (_TILE + _GAP)
    height = 2 * _MARGIN + (44 if title else 0)
    height += sum(58 + sum(high for _, high in _lines(strips)) + 14 for *_, strips in shown)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    large, middle, small = (ImageFont.load_default(size) for size in (24, 16, 12))
    y = _MARGIN
    if title:
        pen.text((_MARGIN, y), title, _INK, font=large)
        y += 44
    for _, heading, why, strips in shown:
        pen.line((_MARGIN, y, width - _MARGIN, y), (225, 225, 230))
        space = width - 2 * _MARGIN
        pen.text((_MARGIN, y + 10), _fitted(pen, heading, middle, space), _INK, font=middle)
        pen.text((_MARGIN, y + 32), _fitted(pen, why, small, space), _GREY, font=small)
        y += 58
        for (name, examples), high in _lines(strips):
            pen.multiline_text((_MARGIN, y + 8), fill(name, 15), _GREY, font=small)
            for column, (image, *_, caption) in enumerate(examples):
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
    """The text, truncated to the width."""
    if pen.textlength(text, font=font) <= width:
        return text
    while text and pen.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."
