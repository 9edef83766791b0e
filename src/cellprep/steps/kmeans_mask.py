"""The background out, by per-image K-Means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks
from ..draws import Draw
from ..errors import CellprepError, in_range, one_of
from ..plan import Parameters, Plan
from ..source import Shape
from .step import Step

COLOR_SPACES = ("rgb", "lab", "chroma", "stain", "purple")
FOREGROUNDS = ("auto", "purplest", "darkest", "two-darkest", "not-brightest")
TARGETS = ("cell", "nucleus")


@dataclass(frozen=True)
class KMeansMask(Step):
    """Keep the cell, paint the background: each image times its K-Means mask.

    `segment` with the same settings gives the masks themselves. An image of one colour holds no
    cell and becomes background altogether.

    Parameters
    ----------
    n_clusters : int, optional
        In 2-8; None is what serves the target best.
    color_space : str, optional
        What is clustered: "rgb", "lab" (CIE L*a*b*), "chroma" (a*, b*), "stain" or "purple"; None
        is what serves the target best.
    foreground : "auto", "purplest", "darkest", "two-darkest" or "not-brightest"
        Which clusters are the cell's; "auto" is what serves the target best.
    target : "cell" or "nucleus"
    background : int
        Grey value in 0-255 that the background gets.

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
        if self.n_clusters is not None:
            in_range("n_clusters", self.n_clusters, 2, 8, whole=True)
        if self.color_space is not None:
            one_of("color_space", self.color_space, COLOR_SPACES)
        one_of("foreground", self.foreground, FOREGROUNDS)
        one_of("target", self.target, TARGETS)
        in_range("background", self.background, 0, 255, whole=True)

    def extend(self, plan: Plan) -> Plan:
        plan = plan.map(self)
        return plan.tell(len(plan), f"everything but the {self.target} painted {self.background}")

    def out_shape(self, shape: Shape) -> Shape:
        if min(shape[:2]) < 8:
            raise CellprepError(
                f"a mask needs images of 8x8 pixels or more, got {shape[0]}x{shape[1]}"
            )
        return shape

    def parameters(self, images: Images, draw: Draw) -> Parameters:
        return {}

    def masks(self, images: Images) -> Masks:
        """(n, height, width) bool, True where the image is kept."""
        from ..kernels.segment import segment

        return segment(
            images,
            n_clusters=self.n_clusters,
            color_space=self.color_space,
            foreground=self.foreground,
            target=self.target,
        )

    def apply(self, images: Images, **parameters: NDArray[Any]) -> Images:
        return np.where(self.masks(images)[..., None], images, np.uint8(self.background))
