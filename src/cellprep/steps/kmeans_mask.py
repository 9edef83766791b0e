"""The background out, by per-image K-Means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions, own
from ..draws import Draw
from ..errors import CellprepError, in_range, one_of
from ..kernels import FOREGROUNDS, SPACES, TARGETS
from ..plan import Parameters, Plan
from ..source import Shape
from .step import Step, plain_settings


@dataclass(frozen=True)
class KMeansMask(Step):
    """Keep the cell, paint the background: each image times its K-Means mask.

    `segment` with the same settings gives the masks themselves. An image of one colour holds no
    cell and becomes background altogether.

    By default a cell is clustered by how purple its pixels are against the image's own light: stain
    lets blue through where the red cells' haemoglobin does not. Four clusters are background, red
    cells, cytoplasm and nucleus; the more purple half is the cell, one cluster more or fewer where
    that makes the piece rounder. Holes are filled and the largest piece is kept.

    Parameters
    ----------
    n_clusters : int, optional
        In 2-8. Default: 4 for a cell, 3 for a nucleus.
    color_space : "rgb", "lab", "chroma", "stain" or "purple", optional
        What is clustered: the levels; CIE L*a*b*; a* and b* alone; green and saturation; blue over
        green. Default: "purple" for a cell, "stain" for a nucleus.
    foreground : "auto", "darkest", "two-darkest" or "not-brightest"
        Which clusters are kept. "auto" is the rule above; for a nucleus, the darkest.
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

    def apply(self, images: Images, rows: Positions, **parameters: NDArray[Any]) -> Images:
        from ..kernels import color

        images = own(images)
        color.paint(images, rows, ~self.masks(images[rows]), self.background)
        return images
