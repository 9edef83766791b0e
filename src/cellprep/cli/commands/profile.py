"""`cellprep profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...dataset.profile import profile as measure
from ...errors import counted
from ...plan.profile import Channels, Profile
from ..arguments import READING, read_arguments
from ..shared import PATH, one_line_errors, options, print_json, print_text


@click.command()
@click.argument("input", type=PATH)
@options(*READING, "json")
@one_line_errors
def profile(input: Path, as_json: bool, **given: Any) -> None:
    """Print the appearance of INPUT: how large its cells are, and its colours.

    The step Adapt brings other images to it. Of a large set 256 images are
    measured; labels are not needed.

    Example: cellprep profile out/demo/train --json > train.json
    """
    from ...report.inspect import read_any

    dataset, note = read_any(input, **{"labels": None, **read_arguments(given)})
    found = measure(dataset)
    if as_json:
        print_json(found.to_dict())
    else:
        print_text("\n".join([f"{input}: {_summary(found, len(dataset), note)}", *_lines(found)]))


def _summary(found: Profile, images: int, note: str) -> str:
    size = note or "x".join(map(str, found.size))
    return f"{found.images:,} of {counted(images, 'image')} measured, {size}"


def _lines(found: Profile) -> list[str]:
    if found.share is None:
        cell = "none found"
    else:
        cell = f"{found.share:.1%} of the image (median of {found.cells:,})"
    lines = [f"  cell        {cell}", f"  colours     {_colors(found.mean, found.spread)}"]
    if found.background_mean and found.background_spread:
        lines.append(f"  background  {_colors(found.background_mean, found.background_spread)}")
    return lines


def _colors(mean: Channels, spread: Channels) -> str:
    """Mean and standard deviation of each channel."""
    channels = zip(("red", "green", "blue"), mean, spread, strict=True)
    return ", ".join(f"{name} {level:.0f} (sd {sd:.0f})" for name, level, sd in channels)
