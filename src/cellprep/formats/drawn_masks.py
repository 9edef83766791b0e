"""Masks as people draw them: grey, coloured, with a palette, transparent, or class numbers."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..arrays import Images, Masks
from .untrusted import BadFileError

_NUMBERS = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")
_SAVE = "save it with one channel, 0 outside the cell"


def cell_in(image: Image.Image) -> Masks:
    """(height, width) bool: whatever is not background.

    Background is what is transparent, if anything is; otherwise 0 in an image with one channel,
    number 0 of a palette, and black in colours. Refused where these contradict each other.
    """
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        return _in_transparent(np.asarray(image.convert("RGBA")))
    if image.mode == "P":
        return _in_palette(image)
    if image.mode == "RGB":
        return _in_colors(np.asarray(image))
    if image.mode not in _NUMBERS:
        raise BadFileError(f"has {image.mode} pixels; {_SAVE}")
    return np.array(np.asarray(image) != 0)


def _in_transparent(rgba: Images) -> Masks:
    visible = np.array(rgba[..., 3] > 0)
    if visible.all():
        return _in_colors(rgba[..., :3])
    if len(np.unique(rgba[visible][:, :3].any(axis=1))) > 1:
        raise BadFileError(f"has transparent pixels, and black ones beside colours; {_SAVE}")
    return visible


def _in_palette(image: Image.Image) -> Masks:
    """Number 0 is background, unless only black, as another number, is found on the border."""
    numbers = np.asarray(image)
    colors = np.asarray(image.getpalette("RGB") or [0] * 3, np.uint8).reshape(-1, 3)
    black = np.flatnonzero(~colors.any(axis=1))
    if colors[0].any() and np.isin(numbers, black).any():
        border = np.concatenate([numbers[[0, -1]].ravel(), numbers[:, [0, -1]].ravel()])
        if np.isin(border, black).any():
            if (border == 0).any():
                raise BadFileError(f"has both number 0 and black on its border; {_SAVE}")
            return ~np.isin(numbers, black)
    return np.array(numbers != 0)


def _in_colors(rgb: Images) -> Masks:
    colored = np.array(rgb.any(axis=2))
    if colored.all() and len(np.unique(rgb.reshape(-1, 3), axis=0)) > 1:
        raise BadFileError(f"has several colours, none of them black; {_SAVE}")
    return colored
