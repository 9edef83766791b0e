"""Processed, shifted and turned copies of images, planted for tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cellprep.kernels import SYMMETRIES
from cellprep.kernels.hashing import symmetry
from cellprep.synthetic import draw_cells


def jpeg(images: np.ndarray, quality: int) -> np.ndarray:
    compressed = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        compressed.append(np.asarray(Image.open(file)))
    return np.stack(compressed)


def resized(images: np.ndarray) -> np.ndarray:
    side = images.shape[1]
    small = [Image.fromarray(image).resize((round(0.9 * side),) * 2) for image in images]
    return np.stack([np.asarray(image.resize((side, side))) for image in small])


def moved(images: np.ndarray, down: int, right: int, mode: str = "edge") -> np.ndarray:
    edge = max(abs(down), abs(right))
    wide = np.pad(images, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode=mode)
    _, height, width, _ = images.shape
    return wide[:, edge - down :, edge - right :][:, :height, :width]


def noisy(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 4, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def lit(images: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(np.rint(images * factor), 0, 255).astype(np.uint8)


def turn(images: np.ndarray, name: str) -> np.ndarray:
    return np.ascontiguousarray(symmetry.turned(images, SYMMETRIES.index(name)))


PROCESSED = {
    "jpeg 95": lambda images: jpeg(images, 95),
    "jpeg 75": lambda images: jpeg(images, 75),
    "jpeg 50": lambda images: jpeg(images, 50),
    "resized": resized,
    "noise": noisy,
    "lighter": lambda images: lit(images, 1.08),
    "darker": lambda images: lit(images, 0.92),
    "turned": lambda images: turn(images, "rotate_90"),
    "flipped": lambda images: turn(images, "flip_left_right"),
    "flipped jpeg 75": lambda images: jpeg(turn(images, "flip_top_bottom"), 75),
}
MOVED = {
    "right": lambda images: moved(images, 0, 2),
    "up": lambda images: moved(images, -2, 0),
    "both": lambda images: moved(images, 2, -2),
    "black": lambda images: moved(images, 2, 2, "constant"),
    "wrapped": lambda images: np.roll(images, 2, axis=1),
    "one pixel": lambda images: moved(images, 1, 0),
    "turned": lambda images: moved(turn(images, "rotate_270"), 2, 0),
}


def messy(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A set, and new images, some of which are copies of images of the set."""
    cells = draw_cells([5] * 8, seed=seed)[0]
    makers = [*PROCESSED.values(), *MOVED.values()]
    new = np.concatenate([make(cells[i : i + 2]) for i, make in enumerate(makers)])
    return cells, np.concatenate([new, cells[3:5], draw_cells([1] * 8, seed=99)[0]])
