"""Background masking by per-image K-Means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from ..arrays import Images, Masks, Positions
from ..errors import CellprepError
from ..kernels import Foreground, Space, Target
from ..operations.engines import copy_rows
from ..plan.source import Shape
from .settings import Range
from .step import Step


@dataclass(frozen=True)
class KMeansMask(Step):
    """Mask the background: each image is multiplied by its K-Means mask.

    `segment` with the same settings returns the masks. Masks read with the images
    (``read(..., masks=)``) are used instead, except empty ones. An image of one colour has no cell
    and becomes background entirely.

    By default two clusterings of each image are tried:

    1. "dark": three clusters of darkness (red plus green) separate background, stained matter and
       nuclei. A round region that contains a nucleus is taken as the cell. This works for a cell
       of any colour that touches no red cell.
    2. "purple", for all other images: four clusters of blue minus green. The stain transmits blue,
       haemoglobin does not, so red cells fall into the background. The more purple half of the
       clusters is the cell; one cluster more or fewer is used if that makes it rounder.

    Both are relative to the image's own background, so the colour of the illumination matters
    little. The nucleus is the darkest of three clusters in and around the cell. docs/masks.md shows
    examples and measures Dice scores.

    It fails where colour does not separate the cell: cytoplasm as pale as the background or with
    the hue of red cells, purple red cells that touch the cell, granules redder than red cells. Of
    two white cells in an image, one is masked out; smeared cells lose their thin parts.

    Parameters
    ----------
    n_clusters : int, optional
        Number of clusters, 2-8. Default: 3 for "dark", 4 for "purple", whichever the image needs.
    color_space : "rgb", "lab", "chroma", "stain", "purple" or "dark", optional
        What to cluster: RGB; CIE L*a*b*; a* and b* only; green and saturation; blue minus green;
        darkness of red and green. Default: "dark" or "purple", whichever the image needs.
    foreground : "auto", "darkest", "two-darkest" or "not-brightest"
        Which clusters to keep. "auto" chooses as described above; if `n_clusters` or `color_space`
        is set, it keeps the more purple half of that clustering, or the darkest for a nucleus.
    target : "cell" or "nucleus"
    background : int
        Grey level for the background, in 0-255.

    References
    ----------
    .. [1] S. Lloyd. Least squares quantization in PCM. IEEE Trans. Inf. Theory 28, 1982.

    Examples
    --------
    >>> KMeansMask(target="nucleus").background
    0
    """

    n_clusters: Annotated[int, Range(2, 8)] | None = None
    color_space: Space | None = None
    foreground: Foreground = "auto"
    target: Target = "cell"
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
        """(n, height, width) bool, True where pixels are kept."""
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
