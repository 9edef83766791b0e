"""A square window around the cell or the image centre."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..errors import CellprepError, in_range
from ..plan.nodes import Parameters, completed
from ..plan.plan import Plan
from ..plan.source import Shape, Source
from .jitter import Border
from .settings import Range
from .step import Step

CELL = "cell"
"""The measured column of cells' centres, which several crops of one data set share."""
_LARGEST = 4
"""Largest relative size of a window."""


@dataclass(frozen=True)
class Crop(Step):
    """A square window around the cell or the image centre, optionally resized.

    The cell is found by `segment`. Its centre is the median row and column of its pixels: a red
    cell that touches the mask shifts the median little, but the bounding box a lot.
    Where no cell is found, the window is around the image centre and `crop.found` is False in the
    record.

    Around the image centre, as the first step, it takes image files of any size that is not below
    `size`. Only the window of each is then read; `read.top` and `read.left` record its corner in
    the file, and `crop.top` and `crop.left` are 0.

    With `relative`, each window has its own size, and all cells appear equally large. Its centre is
    that of the cell's bounding box. Where no cell is found, it is the largest square around the
    image centre.

    Parameters
    ----------
    size : int, or float with `relative`
        Side of the window in pixels. With `relative`, a multiple of the longer side of the cell's
        bounding box, in [1, 4].
    center : "cell" or "image"
    resize_to : int, optional
        Side of the result in pixels; the filter is the one of Pillow's BILINEAR. `relative` needs
        it.
    fill : "reflect", "edge" or int, optional
        What to put beyond the border: the mirrored image, its edge pixels, or a grey level in
        0-255. Default: the window is shifted to lie inside the image, so `size` is at most its
        shorter side; larger relative windows are cut to that.
    relative : bool
        Whether `size` is relative to the cell.

    Examples
    --------
    >>> Crop(64, center="image", resize_to=96)
    Crop(size=64, center='image', resize_to=96, fill=None, relative=False)
    >>> Crop(1.3, relative=True, resize_to=96).summary()
    '1.3 times the cell, resized to 96x96'
    """

    size: Annotated[float, Range(1, 2**15)] = field(metadata={"example": 80})
    center: Literal["cell", "image"] = "cell"
    resize_to: Annotated[int, Range(1, 2**15)] | None = None
    fill: Border | Annotated[int, Range(0, 255)] | None = None

    relative: bool = field(default=False, metadata={"omit_default": True})

    finds_parameters: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.relative:
            in_range("size", self.size, 1, 2**15, whole=True)
            return
        in_range("size", self.size, 1, _LARGEST)
        if self.center != "cell" or self.resize_to is None:
            raise CellprepError(
                "`relative` needs center='cell' and a `resize_to`, since every window has its own "
                f"size; got center={self.center!r}, resize_to={self.resize_to}"
            )

    def read_from(self, source: Source) -> Source:
        if self.center == "cell" or self.fill is not None:
            return source
        return source.middle(int(self.size)) or source

    def extend(self, plan: Plan) -> Plan:
        known = None
        if self.center == "cell" and not self.relative and CELL in plan.rows.columns:
            known = self._windows(plan.shape, plan.rows.columns[CELL])
        return plan.map(self, known=known).note(len(plan), self.summary())

    def summary(self) -> str:
        side = self.resize_to or self.size
        resized = f", resized to {side}x{side}" if side != self.size else ""
        if self.relative:
            return f"{self.size:g} times the cell{resized}"
        return f"{self.size}x{self.size} around the {self.center}{resized}"

    def out_shape(self, shape: Shape) -> Shape:
        if self.fill is None and not self.relative and self.size > min(shape[:2]):
            raise CellprepError(
                f"Crop's `size` must be at most the shorter side of the images, "
                f"{min(shape[:2])}, got {self.size}; for a larger one, set what to put beyond the "
                'border: fill="reflect", "edge" or 0-255'
            )
        side = self.resize_to or int(self.size)
        return side, side, shape[2]

    def find(self, images: Images, masks: Masks | None) -> Parameters:
        if self.center == "cell":
            from ..kernels.segment.centers import boxes, centers
            from ..kernels.segment.segment import segment

            cells, shape = completed(masks, images, segment), images.shape[1:]
            if self.relative:
                return self._around(shape, boxes(cells))
            return self._windows(shape, centers(cells))
        found = self._windows(images.shape[1:], np.full((len(images), 2), -1, np.int32))
        return {name: found[name] for name in ("top", "left")}

    def _windows(self, shape: tuple[int, ...], middle: NDArray[np.int32]) -> Parameters:
        """Corners of the windows around these centres; -1 means the image centre."""
        sides = np.array(shape[:2])
        found = middle[:, 0] >= 0
        size = int(self.size)
        corner = np.where(found[:, None], middle, sides // 2) - size // 2
        if self.fill is None:
            corner = np.clip(corner, 0, sides - size)
        top, left = corner.astype(np.int32).T
        return {"top": top, "left": left, "found": found}

    def _around(self, shape: tuple[int, ...], boxes: NDArray[np.int32]) -> Parameters:
        """Corners and sides of the windows around these boxes."""
        sides = np.array(shape[:2])
        found = boxes[:, 0] >= 0
        longer = boxes[:, 2:].max(axis=1)
        side = np.where(found, np.floor(self.size * longer + 0.5), sides.min()).astype(np.int32)
        if self.fill is None:
            side = np.minimum(side, sides.min())
        # twice the centre, since that of a box may be between two pixels
        middle = np.where(found[:, None], 2 * boxes[:, :2] + boxes[:, 2:], sides)
        corner = (middle - side[:, None]) // 2
        if self.fill is None:
            corner = np.clip(corner, 0, sides - side[:, None])
        top, left = corner.astype(np.int32).T
        return {"top": top, "left": left, "side": side, "found": found}

    def apply(self, images: Images, **parameters: NDArray[Any]) -> Images:
        from ..kernels.resize import resize

        side = self.resize_to or int(self.size)
        out = np.empty((len(images), side, side, images.shape[3]), np.uint8)
        for at, cut in self._windows_of(images, parameters, self.fill):
            out[at] = cut if cut.shape[1] == side else resize(cut, side, side)
        return out

    def move_masks(self, masks: Masks, rows: Positions, **parameters: NDArray[Any]) -> Masks:
        from ..kernels.resize import resize_masks

        fill = 0 if isinstance(self.fill, int) else self.fill  # a constant border contains no cell
        side = self.resize_to or int(self.size)
        out = np.empty((len(masks), side, side), bool)
        for at, cut in self._windows_of(masks[..., None].view(np.uint8), parameters, fill):
            out[at] = resize_masks(cut[..., 0].view(bool), side)
        return out

    def _windows_of(
        self, images: Images, parameters: Mapping[str, NDArray[Any]], fill: str | int | None
    ) -> Iterator[tuple[Positions | slice, Images]]:
        """The windows of some images at a time, all of one side."""
        from ..kernels.augment.windows import windows

        top, left = parameters["top"], parameters["left"]
        if not self.relative:
            yield slice(None), windows(images, top, left, int(self.size), fill)
            return
        sides = parameters["side"]
        for side in np.unique(sides).tolist():
            at = np.flatnonzero(sides == side)
            yield at, windows(images[at], top[at], left[at], side, fill)
