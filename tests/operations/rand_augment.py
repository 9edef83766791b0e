"""Images and operations that the tests of RandAugment share."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cellprep.arrays import Images
from cellprep.operations import Slots, engines
from cellprep.synthetic import draw_cells

stats = pytest.importorskip("scipy.stats")

BCCD = Path(__file__).resolve().parents[3] / "shared" / "data" / "bccd"
FULL = (0, 255)


@cache
def pictures(height: int, width: int) -> Images:
    """Cells (photographs if available), noise, and images of one and of two values."""
    cells = [Image.open(path).convert("RGB") for path in sorted(BCCD.glob("*/*.jpg"))[::60]]
    cells = cells or [Image.fromarray(cell) for cell in draw_cells([1] * 8)[0]]
    shape = (height, width, 3)
    rng = np.random.default_rng(0)
    return np.stack(
        [
            *(np.asarray(cell.resize((width, height)), np.uint8) for cell in cells),
            rng.integers(0, 256, shape, np.uint8),
            *(np.full(shape, value, np.uint8) for value in (0, 90, 255)),
            np.where(rng.random(shape) < (0.5, 0.05, 0.999), np.uint8(7), np.uint8(250)),
        ]
    )


def filled(operation: str, shape: tuple[int, int], value: float, threshold: float) -> Slots:
    """One operation in all slots of all images."""
    values = np.zeros((*shape, 3), np.float32)
    values[..., :2] = value, threshold
    return Slots(np.full(shape, operation), values)


def augmented(images: Images, slots: Slots) -> Images:
    """All images after their operations, as a new array."""
    out = images.copy()
    every = np.arange(len(out))
    engines.run("native", out, every, out, every, slots)
    return out


def by_kernel(name: str, images: Images, value: float = 0.0, threshold: float = 0.0) -> Images:
    return augmented(images, filled(name, (len(images), 1), value, threshold))


def same_distribution(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool(stats.ks_2samp(one, other).pvalue > 1e-3)
