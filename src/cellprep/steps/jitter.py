"""Random rotation, shift, zoom and flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from ..arrays import Images, Masks, Positions
from ..plan.draws import Draw
from ..plan.nodes import Parameters
from .settings import Range
from .step import Step

Flip = Literal["both", "horizontal", "vertical", "none"]
Border = Literal["reflect", "edge"]


@dataclass(frozen=True)
class Jitter(Step):
    """Rotation, shift, zoom and flip in one bilinear resampling.

    Every image gets its own angle, shift and zoom, sampled uniformly; each flip has probability
    one half.

    Parameters
    ----------
    rotation : float
        Maximum angle in degrees, in either direction, in [0, 180].
    shift : float
        Maximum shift along each axis as a fraction of the side, in [0, 1].
    zoom : float
        Maximum relative change of size, in [0, 0.9]: 0.1 samples factors from 0.9 to 1.1.
    flip : "both", "horizontal", "vertical", "none" or bool
        Which flips may occur; True is "both", False is "none".
    fill : "reflect", "edge" or int
        What to put beyond the border: the mirrored image, its edge pixels, or a grey level in
        0-255.

    Examples
    --------
    >>> Jitter(rotation=15, flip=False)
    Jitter(rotation=15, shift=0.1, zoom=0.1, flip='none', fill='reflect')
    """

    rotation: Annotated[float, Range(0, 180)] = 180.0
    shift: Annotated[float, Range(0, 1)] = 0.1
    zoom: Annotated[float, Range(0, 0.9)] = 0.1
    flip: Flip | bool = "both"
    fill: Border | Annotated[int, Range(0, 255)] = "reflect"

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
