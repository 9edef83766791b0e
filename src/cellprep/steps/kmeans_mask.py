"""The background out, by per-image K-Means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from ..arrays import Images, Masks, Positions
from ..errors import CellprepError
from ..kernels import FOREGROUNDS, SPACES, TARGETS
from ..operations.engines import copy_rows
from ..plan.source import Shape
from .settings import OneOf, Range
from .step import Step


@dataclass(frozen=True)
class KMeansMask(Step):
    """Keep the cell, paint the background: each image times its K-Means mask.

    `segment` with the same settings gives the masks themselves. Where masks came with the images
    (``read(..., masks=)``), these are taken; an empty one is not known, and the cell looked for.
    An image of one colour holds no cell and becomes background altogether.

    By default a cell is found in two clusterings of its image, each against the image's own
    background, so that the colour of the light counts little. Three clusters of darkness (red plus
    green) are background, all that stains, and nuclei: a round piece that holds a nucleus is a cell
    that no red cell touches, of whatever colour. Elsewhere four clusters of purple (blue less
    green) count: the stain lets blue through, the red cells' haemoglobin does not, so they fall to
    the background, and the more purple half is the cell, with one cluster more or fewer where that
    makes it rounder. A nucleus is the darkest of three clusters in and around the cell.
    docs/masks.md shows both on cells, with Dice figures.

    It fails where colour does not tell: cytoplasm as pale as the background or of the red cells'
    hue, red cells of purple hue that stick to the cell, granules redder than red cells; a second
    white cell in the image is left out; smeared cells are cut at their thin parts.

    Parameters
    ----------
    n_clusters : int, optional
        In 2-8. Default: 3 of "dark" or 4 of "purple", as suits the image.
    color_space : "rgb", "lab", "chroma", "stain", "purple" or "dark", optional
        What is clustered: the levels; CIE L*a*b*; a* and b* alone; green and saturation; blue over
        green; darkness of red and green. Default: "dark" or "purple", as suits the image.
    foreground : "auto", "darkest", "two-darkest" or "not-brightest"
        Which clusters are kept. "auto" keeps those of the cell; where `n_clusters` or `color_space`
        is set, the more purple half of that one clustering; for a nucleus, the darkest.
    target : "cell" or "nucleus"
    background : int
        Grey value in 0-255 that the background gets.

    References
    ----------
    .. [1] S. Lloyd. Least squares quantization in PCM. IEEE Trans. Inf. Theory 28, 1982.

    Examples
    --------
    >>> KMeansMask(target="nucleus").background
    0
    """

    n_clusters: Annotated[int, Range(2, 8)] | None = None
    color_space: Annotated[str, OneOf(*SPACES)] | None = None
    foreground: Annotated[str, OneOf(*FOREGROUNDS)] = "auto"
    target: Annotated[str, OneOf(*TARGETS)] = "cell"
    background: Annotated[int, Range(0, 255)] = 0

    finds_masks: ClassVar[bool] = True

    def summary(self) -> str:
        return f"everything but the {self.target} painted {self.background}"

    def out_shape(self, shape: Shape) -> Shape:
        if min(shape[:2]) < 8:
            raise CellprepError(
                f"a mask needs images of 8x8 pixels or more, got {shape[0]}x{shape[1]}"
            )
        return shape

    def masks(self, images: Images) -> Masks:
        """(n, height, width) bool, True where the image is kept."""
        from ..kernels.segment.segment import segment

        return segment(
            images,
            n_clusters=self.n_clusters,
            color_space=self.color_space,
            foreground=self.foreground,
            target=self.target,
        )

    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None:
        from ..kernels.augment import color

        copy_rows(images, at, out, to)
        color.paint(out, to, parameters["masks"].view(np.uint8), np.uint8(self.background))
