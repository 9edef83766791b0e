"""A square window on the cell or on the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Positions
from ..draws import Draw
from ..errors import CellprepError, in_range, one_of
from ..plan import Parameters, Plan
from ..source import Shape
from .step import Step, plain_settings


@dataclass(frozen=True)
class Crop(Step):
    """A square window around the cell or the middle, then resized if asked.

    The window is shifted to lie inside the image. The cell is where `segment` sees it; the window
    is centred on the middle of the cell's bounding box, or on the image's where no cell is found.

    Parameters
    ----------
    size : int
        Side of the window in pixels, at most the image's shorter side.
    center : "cell" or "image"
    resize_to : int, optional
        Side of the result in pixels; an area-weighted (triangle) filter, as Pillow's BILINEAR.

    Examples
    --------
    >>> Crop(64, center="image", resize_to=96)
    Crop(size=64, center='image', resize_to=96)
    """

    size: int
    center: str = "cell"
    resize_to: int | None = None

    def __post_init__(self) -> None:
        plain_settings(self)
        in_range("size", self.size, 1, 2**15, whole=True)
        one_of("center", self.center, ("cell", "image"))
        if self.resize_to is not None:
            in_range("resize_to", self.resize_to, 1, 2**15, whole=True)

    def extend(self, plan: Plan) -> Plan:
        plan = plan.map(self)
        side = self.resize_to or self.size
        resized = f", resized to {side}x{side}" if side != self.size else ""
        return plan.tell(len(plan), f"{self.size}x{self.size} around the {self.center}{resized}")

    def out_shape(self, shape: Shape) -> Shape:
        if self.size > min(shape[:2]):
            raise CellprepError(
                f"Crop's `size` must be at most the shorter side of the images, "
                f"{min(shape[:2])}, got {self.size}"
            )
        side = self.resize_to or self.size
        return side, side, shape[2]

    def parameters(self, images: Images, draw: Draw) -> Parameters:
        height, width = images.shape[1:3]
        middle = np.tile(np.array([height, width]) // 2, (len(images), 1))
        if self.center == "cell" and len(images):
            from ..kernels.segment import segment

            mask = segment(images)
            found = np.asarray(mask.any(axis=(1, 2)))
            for axis, other in ((0, 2), (1, 1)):
                line = np.asarray(mask.any(axis=other))
                first = line.argmax(axis=1)
                last = line.shape[1] - 1 - line[:, ::-1].argmax(axis=1)
                middle[found, axis] = ((first + last + 1) // 2)[found]
        corner = middle - self.size // 2
        return {
            "top": np.clip(corner[:, 0], 0, height - self.size).astype(np.int32),
            "left": np.clip(corner[:, 1], 0, width - self.size).astype(np.int32),
        }

    def apply(self, images: Images, rows: Positions, **parameters: NDArray[Any]) -> Images:
        from ..kernels import geometry

        crops = geometry.windows(images, parameters["top"], parameters["left"], self.size)
        if self.resize_to in (None, self.size):
            return crops
        return geometry.resize(crops, self.resize_to, self.resize_to)
