"""Stain strengths changed at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from ..arrays import Images, Masks, Positions
from ..operations.engines import copy_rows
from ..plan.draws import Draw
from ..plan.nodes import Parameters
from .settings import Range
from .step import Step

_STAINS = {"hed": 3, "macenko": 2}
_FOUND = [f"{channel}_{stain}" for stain in (1, 2) for channel in ("red", "green", "blue")]


@dataclass(frozen=True)
class StainJitter(Step):
    """Stain strengths changed at random, as if another laboratory had stained the smear.

    In optical density, -ln((level + 1) / 256), the densities of stains add up. Every image is
    separated into its stains, the strength of each is multiplied by a random factor, a random
    offset is added, and the image is composed again [1]_. White stays white, except for the offset.

    With ``matrix="hed"`` the stains are haematoxylin, eosin and DAB as measured by Ruifrok and
    Johnston [2]_. With ``"macenko"`` they are the two that Macenko's method [3]_ finds in each
    image, and what remains besides them is kept; where there is too little colour to find two, they
    are haematoxylin and eosin, and `stain_jitter.found` is False in the record.

    Every image is changed, and not only added copies. Put the step before KMeansMask: a background
    painted black counts as densely stained.

    Parameters
    ----------
    strength : float
        Largest relative change of a stain, in [0, 1]: 0.3 samples factors from 0.7 to 1.3.
    offset : float
        Largest offset in either direction, in [0, 1]: an optical density, which also tints the
        background.
    matrix : "hed" or "macenko"
        Which stains: always the same, or those found in the image.
    rate : float
        Probability that an image is changed.

    References
    ----------
    .. [1] D. Tellez et al. Whole-slide mitosis detection in H&E breast histology using PHH3 as a
       reference to train distilled stain-invariant convolutional networks. IEEE Trans. Med.
       Imaging 37, 2018.
    .. [2] A. C. Ruifrok, D. A. Johnston. Quantification of histochemical staining by color
       deconvolution. Anal. Quant. Cytol. Histol. 23, 2001.
    .. [3] M. Macenko et al. A method for normalizing histology slides for quantitative analysis.
       ISBI 2009.

    Examples
    --------
    >>> StainJitter(strength=0.2)
    StainJitter(strength=0.2, offset=0.1, matrix='hed', rate=1.0)
    """

    strength: Annotated[float, Range(0, 1)] = 0.3
    offset: Annotated[float, Range(0, 1)] = 0.1
    matrix: Literal["hed", "macenko"] = "hed"
    rate: Annotated[float, Range(0, 1)] = 1.0

    finds_parameters: ClassVar[bool] = True

    def summary(self) -> str:
        return "stain strengths of every image changed at random"

    def sample(self, draw: Draw) -> Parameters:
        changed = draw.uniform("changed", 0, 1) <= self.rate
        names = {stem: self._each(stem) for stem in ("factor", "offset")}
        factors = draw.uniform(names["factor"], 1 - self.strength, 1 + self.strength)
        offsets = draw.uniform(names["offset"], -self.offset, self.offset)
        return {
            **dict(zip(names["factor"], np.where(changed, factors, np.float32(1)), strict=True)),
            **dict(zip(names["offset"], np.where(changed, offsets, np.float32(0)), strict=True)),
        }

    def _each(self, stem: str) -> list[str]:
        """The names of a parameter, one per stain."""
        return [f"{stem}_{stain}" for stain in range(1, _STAINS[self.matrix] + 1)]

    def find(self, images: Images, masks: Masks | None) -> Parameters:
        if self.matrix == "hed":
            return {}
        from ..kernels.augment.macenko import macenko

        stains, found = macenko(images)
        return {**dict(zip(_FOUND, stains.reshape(-1, 6).T, strict=True)), "found": found}

    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None:
        from ..kernels.augment import stain

        copy_rows(images, at, out, to)
        factors, offsets = (
            np.stack([parameters[name] for name in self._each(stem)], axis=1)
            for stem in ("factor", "offset")
        )
        if self.matrix == "hed":
            stains = np.repeat(stain.HED[None], len(to), axis=0)
        else:
            stains = np.stack([parameters[name] for name in _FOUND], axis=1).reshape(-1, 2, 3)
        stain.restain(out, to, stains, factors, offsets)
