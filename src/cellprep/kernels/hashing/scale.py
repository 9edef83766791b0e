"""Tolerances that depend on the size of the images."""

from __future__ import annotations

from dataclasses import dataclass

from .. import SIDE


@dataclass(frozen=True)
class Scale:
    """How far copies may be shifted, and how much processing changes them.

    Attributes
    ----------
    step : int
        Two pixels, in cells of a thumbnail: the largest shift between two images.
    noise, blur : float
        What processing causes: grey levels of difference for noise of sd 4 or JPEG quality 50, and
        the fraction of the detail lost by resizing to 90 % and back. Both are larger for small
        images, whose cells are not means over several pixels.
    """

    step: int
    noise: float
    blur: float

    @classmethod
    def of(cls, height: int, width: int) -> Scale:
        """For images of this size."""
        side = min(height, width)
        coarse = min(max(96 / side, 1.0), 3.5)
        return cls(min(max(1, round(2 * SIDE / side)), 6), 0.57 * coarse, 0.06 * coarse)
