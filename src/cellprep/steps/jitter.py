"""Small random moves of the whole picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions, writable
from ..errors import in_range, one_of
from ..plan.draws import Draw
from ..plan.plan import Parameters, Plan
from ..plan.source import Shape
from .step import Step, plain_settings

FLIPS = ("both", "horizontal", "vertical", "none")
FILLS = ("reflect", "edge")


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

    rotation: float = 180.0
    shift: float = 0.1
    zoom: float = 0.1
    flip: str | bool = "both"
    fill: str | int = "reflect"

    def __post_init__(self) -> None:
        plain_settings(self)
        in_range("rotation", self.rotation, 0, 180)
        in_range("shift", self.shift, 0, 1)
        in_range("zoom", self.zoom, 0, 0.9)
        if isinstance(self.flip, bool):
            object.__setattr__(self, "flip", "both" if self.flip else "none")
        one_of("flip", self.flip, FLIPS)
        if isinstance(self.fill, str):
            one_of("fill", self.fill, FILLS)
        else:
            in_range("fill", self.fill, 0, 255, whole=True)

    def extend(self, plan: Plan) -> Plan:
        plan = plan.map(self)
        return plan.note(len(plan), "every image moved at random")

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def parameters(self, images: Images, draw: Draw, masks: Masks | None = None) -> Parameters:
        none = np.zeros(len(draw.rows), bool)
        return {
            "rotation": draw.uniform("rotation", -self.rotation, self.rotation),
            "shift_x": draw.uniform("shift_x", -self.shift, self.shift),
            "shift_y": draw.uniform("shift_y", -self.shift, self.shift),
            "zoom": draw.uniform("zoom", 1 - self.zoom, 1 + self.zoom),
            "flip_x": draw.boolean("flip_x") if self.flip in ("both", "horizontal") else none,
            "flip_y": draw.boolean("flip_y") if self.flip in ("both", "vertical") else none,
        }

    def apply(
        self,
        images: Images,
        rows: Positions,
        masks: Masks | None = None,
        **parameters: NDArray[Any],
    ) -> Images:
        images = writable(images)
        self.apply_to_copies(images, rows, rows, images, **parameters)
        return images

    def apply_to_copies(
        self,
        images: Images,
        places: Positions,
        rows: Positions,
        out: Images,
        **parameters: NDArray[Any],
    ) -> None:
        from ..kernels.augment import affine

        matrices = affine.similarity(images.shape[1:3], **parameters)
        affine.warp(images, places, out, rows, matrices, self.fill)

    def move(self, masks: Masks, rows: Positions, **parameters: NDArray[Any]) -> Masks:
        from ..kernels.augment import affine

        matrices = affine.similarity(masks.shape[1:3], **parameters)
        return affine.warp_masks(masks, rows, matrices, self.fill)
