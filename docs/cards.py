"""Cards of tiles: how the pictures of docs/steps are laid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from cellprep.arrays import Images, Masks

WIDTH, MARGIN, GAP, FRAME = 1600, 36, 14, 6
PAPER, INK, QUIET = (250, 250, 252), (24, 24, 30), (92, 92, 102)
RED, GREEN, BLUE, AMBER = (196, 32, 38), (16, 128, 72), (32, 92, 200), (178, 108, 0)
MORE = ((128, 52, 160), (0, 128, 140), (190, 60, 130), (96, 96, 30), (60, 60, 66), (120, 70, 40))
HUES = (RED, GREEN, BLUE, AMBER, *MORE)
LARGE, SMALL = (ImageFont.load_default(size) for size in (32, 25))

Color = tuple[int, int, int]


class Tile(NamedTuple):
    """An image, its caption, and the colour of its frame."""

    image: Images
    caption: str = ""
    frame: Color | None = None


def strip(title: str, tiles: Sequence[Tile], columns: int = 8) -> Image.Image:
    """Tiles in rows under a title."""
    side = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
    texts = [wrapped(tile.caption, side + 4) for tile in tiles]
    below = max(text.count("\n") + bool(text) for text in texts) * 30 + 10
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (WIDTH, 52 + rows * (side + below + GAP)), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, 6), title, INK, font=LARGE)
    for n, (tile, text) in enumerate(zip(tiles, texts, strict=True)):
        x = MARGIN + n % columns * (side + GAP)
        y = 52 + n // columns * (side + below + GAP)
        if tile.frame:
            pen.rectangle((x, y, x + side - 1, y + side - 1), tile.frame)
        inner = side - 2 * FRAME * bool(tile.frame)
        picture = Image.fromarray(tile.image).resize((inner, inner), Image.Resampling.BICUBIC)
        page.paste(picture, (x + (side - inner) // 2, y + (side - inner) // 2))
        pen.multiline_text((x, y + side + 6), text, tile.frame or QUIET, font=SMALL, spacing=2)
    return page


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most this many pixels, unless a single word is longer."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        lines.append("")
        for word in paragraph.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and SMALL.getlength(longer) > width:
                lines.append(word)
            else:
                lines[-1] = longer
    return "\n".join(lines)


def bars(title: str, before: Mapping[str, int], after: Mapping[str, int]) -> Image.Image:
    """One bar per class: its images, and the copies added."""
    line, left, right = 38, 330, 250
    page = Image.new("RGB", (WIDTH, 58 + len(before) * line), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, 6), title, INK, font=LARGE)
    scale = (WIDTH - left - right) / max(*before.values(), *after.values())
    for row, (name, count) in enumerate(before.items()):
        y, ends = 56 + row * line, [left + scale * n for n in (count, after[name])]
        pen.text((MARGIN, y), name, INK, font=SMALL)
        pen.rectangle((left, y, ends[0], y + line - 12), BLUE)
        if ends[1] > ends[0]:
            pen.rectangle((ends[0] + 2, y, ends[1], y + line - 12), AMBER)
        added = f"{count} + {after[name] - count}" if after[name] > count else f"{count}"
        pen.text((max(ends) + 12, y), added, QUIET, font=SMALL)
    return page


def card(strips: Sequence[Image.Image]) -> Image.Image:
    """The strips below each other, on paper with round corners."""
    height = sum(strip.height for strip in strips) + MARGIN
    page = Image.new("RGB", (WIDTH, height), PAPER)
    y = MARGIN // 2
    for strip in strips:
        page.paste(strip, (0, y))
        y += strip.height
    corners = Image.new("L", page.size, 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, WIDTH - 1, height - 1), 28, 255)
    page.putalpha(corners)
    return page


def outlined(images: Images, masks: Masks) -> Images:
    """The images at twice their size, with each mask's outline."""
    pictures = images.repeat(2, axis=1).repeat(2, axis=2)
    larger = masks.repeat(2, axis=1).repeat(2, axis=2)
    disc = np.pad(np.ones((1, 3, 5), bool), ((0, 0), (1, 1), (0, 0)))
    disc |= disc.swapaxes(1, 2)
    pictures[larger & ~ndimage.binary_erosion(larger, disc, border_value=1)] = RED
    return pictures


def save(picture: Image.Image, path: Path) -> None:
    picture.save(path, quality=68, method=6)
