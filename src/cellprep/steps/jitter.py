"""Small random moves of the whole picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from ..arrays import Images, Masks, Positions
from ..plan.draws import Draw
from ..plan.nodes import Parameters
from .settings import OneOf, Range
from .step import Step


@dataclass(frozen=True)
class Jitter(Step):
    """Rotation, shift, zoom and flip in one bilinear resampling.

    Each image has its own rotation angle, shift and zoom, drawn uniformly, and its own flips, each
    made half the time.

    Parameters
    ----------
    rotation : float
        Largest angle in degrees, to either side, in [0, 180].
    shift : float
        Largest shift along each axis as a fraction of the side, in [0, 1].
    zoom : float
        Largest relative change of size, in [0, 0.9]: 0.1 draws sizes from 0.9 to 1.1.
    flip : "both", "horizontal", "vertical", "none" or bool
        The flips that may happen; True is "both", False is "none".
    fill : "reflect", "edge" or int
        What lies outside the image: its mirror image, its border, or a grey value in 0-255.

    Examples
    --------
    >>> Jitter(rotation=15, flip=False)
    Jitter(rotation=15, shift=0.1, zoom=0.1, flip='none', fill='reflect')
    """

    rotation: Annotated[float, Range(0, 180)] = 180.0
    shift: Annotated[float, Range(0, 1)] = 0.1
    zoom: Annotated[float, Range(0, 0.9)] = 0.1
    flip: Annotated[str, OneOf("both", "horizontal", "vertical", "none")] | bool = "both"
    fill: Annotated[str, OneOf("reflect", "edge")] | Annotated[int, Range(0, 255)] = "reflect"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.flip, bool):
            object.__setattr__(self, "flip", "both" if self.flip else "none")

    def summary(self) -> str:
        return "every image rotated, shifted, zoomed and flipped at random"

    def sample(self, draw: Draw) -> Parameters:
        none = np.zeros(len(draw.rows), bool)
        return {
            "rotation": draw.uniform("rotation", -self.rotation, self.rotation),
            "shift_x": draw.uniform("shift_x", -self.shift, self.shift),
            "shift_y": draw.uniform("shift_y", -self.shift, self.shift),
            "zoom": draw.uniform("zoom", 1 - self.zoom, 1 + self.zoom),
            "flip_x": draw.boolean("flip_x") if self.flip in ("both", "horizontal") else none,
            "flip_y": draw.boolean("flip_y") if self.flip in ("both", "vertical") else none,
        }

    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None:
        from ..kernels.augment import affine

        matrices = affine.similarity(images.shape[1:3], **parameters)
        affine.warp(images, at, out, to, matrices, self.fill)

    def move_masks(self, masks: Masks, rows: Positions, **parameters: Any) -> Masks:
        from ..kernels.augment import affine

        moved = masks.copy()
        matrices = affine.similarity(masks.shape[1:3], **parameters)
        affine.warp_masks(moved, rows, matrices, self.fill)
        return moved
