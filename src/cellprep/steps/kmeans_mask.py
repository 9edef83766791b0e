"""The background out, by per-image K-Means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions, take, writable
from ..errors import CellprepError, in_range, one_of
from ..kernels import FOREGROUNDS, SPACES, TARGETS
from ..plan.draws import Draw
from ..plan.plan import Parameters, Plan
from ..plan.source import Shape
from .step import Step, plain_settings


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

    n_clusters: int | None = None
    color_space: str | None = None
    foreground: str = "auto"
    target: str = "cell"
    background: int = 0

    def __post_init__(self) -> None:
        plain_settings(self)
        if self.n_clusters is not None:
            in_range("n_clusters", self.n_clusters, 2, 8, whole=True)
        if self.color_space is not None:
            one_of("color_space", self.color_space, SPACES)
        one_of("foreground", self.foreground, FOREGROUNDS)
        one_of("target", self.target, TARGETS)
        in_range("background", self.background, 0, 255, whole=True)

    def extend(self, plan: Plan) -> Plan:
        plan = plan.map(self)
        return plan.note(len(plan), f"everything but the {self.target} painted {self.background}")

    def out_shape(self, shape: Shape) -> Shape:
        if min(shape[:2]) < 8:
            raise CellprepError(
                f"a mask needs images of 8x8 pixels or more, got {shape[0]}x{shape[1]}"
            )
        return shape

    def parameters(self, images: Images, draw: Draw, masks: Masks | None = None) -> Parameters:
        return {}

    def masks(self, images: Images, known: Masks | None = None) -> Masks:
        """(n, height, width) bool, True where the image is kept.

        A mask that is known is taken as it is; an empty one is not known.
        """
        from ..kernels.segment.segment import segment

        if known is not None:
            missing = ~known.any(axis=(1, 2))
            if missing.any():
                known = known.copy()
                known[missing] = self.masks(images[missing])
            return known
        return segment(
            images,
            n_clusters=self.n_clusters,
            color_space=self.color_space,
            foreground=self.foreground,
            target=self.target,
        )

    def apply(
        self,
        images: Images,
        rows: Positions,
        masks: Masks | None = None,
        **parameters: NDArray[Any],
    ) -> Images:
        from ..kernels.augment import color

        images = writable(images)
        kept = self.masks(take(images, rows)) if masks is None else masks
        color.paint(images, rows, kept.view(np.uint8), np.uint8(self.background))
        return images

    def move(self, masks: Masks, rows: Positions, **parameters: NDArray[Any]) -> Masks:
        return masks
