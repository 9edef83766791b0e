"""The pictures and figures of docs/masks.md.

    python docs/masks.py                     redraws docs/masks.png, of synthetic cells
    python docs/masks.py PHOTOGRAPHS OUT     the ten best and the ten worst masks, and the table

PHOTOGRAPHS contains `images/` and, with the same stems, `masks/` of the whole cell (0 and 255), as
the BCISC set does (github.com/fpklipic/BCISC). Automatic masks are outlined red, annotated ones
green.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

import cellprep as cp
from cellprep.synthetic import CLASS_NAMES, draw_cells

RED, GREEN = (230, 30, 30), (40, 190, 60)
TILE, MARGIN = 144, 2


def outlined(image: NDArray[np.uint8], *masks: tuple[NDArray[np.bool_], Any]) -> NDArray[np.uint8]:
    """The image at tile size with the outline of each mask in its colour."""
    side = TILE - MARGIN
    tile = np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    for mask, color in masks:
        large = np.array(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST))
        tile[large & ~ndimage.binary_erosion(large, np.ones((3, 3)), border_value=1)] = color
    return np.pad(tile, ((0, MARGIN), (0, MARGIN), (0, 0)), constant_values=255)


def sheet(tiles: list[NDArray[np.uint8]], columns: int) -> Image.Image:
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return Image.fromarray(np.concatenate(rows))


def of_synthetic_cells() -> Image.Image:
    """One cell of each class that has a nucleus: its mask above, its nucleus below."""
    classes = [n for n, name in enumerate(CLASS_NAMES) if name != "platelet"]
    images, _ = draw_cells([int(n in classes) for n in range(len(CLASS_NAMES))], side=96, seed=2)
    cells, nuclei = cp.segment(images), cp.segment(images, target="nucleus")
    tiles = [
        outlined(image, (mask, RED))
        for masks in (cells, nuclei)
        for image, mask in zip(images, masks, strict=True)
    ]
    return sheet(tiles, len(images))


def load(folder: Path, side: int | None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Photographs and annotated masks, of one size or resized to `side`."""
    images, masks = [], []
    for path in sorted((folder / "images").iterdir()):
        with Image.open(path) as image, Image.open(folder / "masks" / f"{path.stem}.png") as mask:
            size = (side, side) if side else image.size
            images.append(np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX)))
            masks.append(np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX)) > 127)
    return np.stack(images), np.stack(masks)


def dice(found: NDArray[np.bool_], annotated: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,) twice the shared area over the sum of both."""
    both = (found & annotated).sum(axis=(1, 2))
    return np.asarray(2 * both / (found.sum(axis=(1, 2)) + annotated.sum(axis=(1, 2))))


def of_photographs(folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    print(f"{'size':>8} {'all':>6} {'even':>6} {'odd':>6} {'lowest':>7} {'below 0.8':>10}")
    for side in (None, 96):
        images, annotated = load(folder, side)
        found = cp.segment(images)
        scores = dice(found, annotated)
        means = " ".join(f"{some.mean():6.3f}" for some in (scores, scores[::2], scores[1::2]))
        print(f"{side or 'native':>8} {means} {scores.min():7.3f} {(scores < 0.8).sum():10}")
        if side is None:
            order = scores.argsort(kind="stable")
            for name, some in (("worst", order[:10]), ("best", order[:-11:-1])):
                tiles = [outlined(images[n], (annotated[n], GREEN), (found[n], RED)) for n in some]
                sheet(tiles, 5).save(out / f"{name}.png")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        of_photographs(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        of_synthetic_cells().save(Path(__file__).with_suffix(".png"), optimize=True)
