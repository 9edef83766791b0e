"""A square window on the cell or on the middle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..errors import CellprepError
from ..plan.nodes import Parameters, completed
from ..plan.plan import Plan
from ..plan.source import Shape
from .settings import OneOf, Range
from .step import Step

CELL = "cell"
"""The measured column of cells' centres, which several crops of one data set share."""


@dataclass(frozen=True)
class Crop(Step):
    """A square window around the cell or the middle, then resized if asked.

    The cell is where `segment` sees it. Its middle is the row and the column with half of its
    pixels on either side: a red cell that sticks to the mask moves it little, where it would move
    the middle of the bounding box much. Where no cell is found the window is around the middle of
    the image, and the record's `crop.found` says so.

    Parameters
    ----------
    size : int
        Side of the window in pixels.
    center : "cell" or "image"
    resize_to : int, optional
        Side of the result in pixels; an area-weighted (triangle) filter, as Pillow's BILINEAR.
    fill : "reflect", "edge" or int, optional
        What lies beyond the border: the image mirrored about its edge pixels, its edge pixels, or
        a grey value in 0-255. Default: the window is shifted to lie inside, and `size` is at most
        the image's shorter side.

    Examples
    --------
    >>> Crop(64, center="image", resize_to=96)
    Crop(size=64, center='image', resize_to=96, fill=None)
    """

    size: Annotated[int, Range(1, 2**15)] = field(metadata={"example": 80})
    center: Annotated[str, OneOf("cell", "image")] = "cell"
    resize_to: Annotated[int, Range(1, 2**15)] | None = None
    fill: Annotated[str, OneOf("reflect", "edge")] | Annotated[int, Range(0, 255)] | None = None

    finds_parameters: ClassVar[bool] = True

    def extend(self, plan: Plan) -> Plan:
        known = None
        if self.center == "cell" and CELL in plan.rows.columns:
            known = self._windows(plan.shape, plan.rows.columns[CELL])
        return plan.map(self, known=known).note(len(plan), self.summary())

    def summary(self) -> str:
        side = self.resize_to or self.size
        resized = f", resized to {side}x{side}" if side != self.size else ""
        return f"{self.size}x{self.size} around the {self.center}{resized}"

    def out_shape(self, shape: Shape) -> Shape:
        if self.fill is None and self.size > min(shape[:2]):
            raise CellprepError(
                f"Crop's `size` must be at most the shorter side of the images, "
                f"{min(shape[:2])}, got {self.size}; for more say what lies beyond the border: "
                'fill="reflect", "edge" or 0-255'
            )
        side = self.resize_to or self.size
        return side, side, shape[2]

    def find(self, images: Images, masks: Masks | None) -> Parameters:
        if self.center == "cell":
            from ..kernels.segment.centers import centers
            from ..kernels.segment.segment import segment

            return self._windows(images.shape[1:], centers(completed(masks, images, segment)))
        found = self._windows(images.shape[1:], np.full((len(images), 2), -1, np.int32))
        return {name: found[name] for name in ("top", "left")}

    def _windows(self, shape: tuple[int, ...], middle: NDArray[np.int32]) -> Parameters:
        """The windows' corners around these middles, or the image's where there is none."""
        sides = np.array(shape[:2])
        found = middle[:, 0] >= 0
        corner = np.where(found[:, None], middle, sides // 2) - self.size // 2
        if self.fill is None:
            corner = np.clip(corner, 0, sides - self.size)
        top, left = corner.astype(np.int32).T
        return {"top": top, "left": left, "found": found}

    def apply(self, images: Images, **parameters: NDArray[Any]) -> Images:
        from ..kernels.augment.windows import windows
        from ..kernels.resize import resize

        crops = windows(images, parameters["top"], parameters["left"], self.size, self.fill)
        if self.resize_to in (None, self.size):
            return crops
        return resize(crops, self.resize_to, self.resize_to)

    def move_masks(self, masks: Masks, rows: Positions, **parameters: NDArray[Any]) -> Masks:
        from ..kernels.augment.windows import windows
        from ..kernels.resize import resize_masks

        fill = 0 if isinstance(self.fill, int) else self.fill  # no cell in a constant border
        bytes_ = masks[..., None].view(np.uint8)
        crops = windows(bytes_, parameters["top"], parameters["left"], self.size, fill)
        return resize_masks(crops[..., 0].view(bool), self.resize_to or self.size)
