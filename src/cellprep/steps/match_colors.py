"""Colours of other images of the set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Positions
from ..errors import CellprepError
from ..operations.engines import copy_rows
from ..plan.draws import Draw
from ..plan.nodes import Parameters
from ..plan.plan import Plan
from .settings import Range
from .step import Step

_STATISTICS = [f"{kind}_{channel}" for kind in ("mean", "stddev") for channel in (1, 2, 3)]
_OTHER = "other"
_STRENGTH = "strength"


@dataclass(frozen=True)
class MatchColors(Step):
    """Every image moved towards the colours of another image of the set.

    Mean and standard deviation of each channel are moved towards those of an image sampled
    uniformly from the set (Reinhard et al. [1]_). How far is sampled too, uniformly between not at
    all and `strength`.

    The colours of the set are measured once, when the step is first used, as they are at this point
    of the recipe: one entry per source image, that of its copy with the lowest number. So a class
    that Balance has filled up counts no more than before. The other image is sampled by its
    position among the sorted ids. The result therefore depends on which images are in the set, but
    not on the order of rows; adding or removing one changes what the others get.

    Every image is changed, and not only added copies. At least two images are needed.

    Parameters
    ----------
    strength : float
        How far an image may move, in [0, 1]; 1 reaches the other image's mean and standard
        deviation.
    color_space : "rgb" or "lab"
        The channels: red, green and blue, or CIE L*a*b*.
    rate : float
        Probability that an image is changed.

    References
    ----------
    .. [1] E. Reinhard et al. Color transfer between images. IEEE Comput. Graph. Appl. 21, 2001.

    Examples
    --------
    >>> MatchColors(color_space="lab")
    MatchColors(strength=0.5, color_space='lab', rate=1.0)
    """

    strength: Annotated[float, Range(0, 1)] = 0.5
    color_space: Literal["rgb", "lab"] = "rgb"
    rate: Annotated[float, Range(0, 1)] = 1.0

    def extend(self, plan: Plan) -> Plan:
        images = plan.keep(plan.rows.one_per_image())
        if len(images) == 1:
            raise CellprepError(
                "MatchColors needs other images to take colours from, got a set of one image; "
                "add images, or leave the step out"
            )
        measured = images.measure("colors", partial(_statistics, self.color_space)).rows
        order = measured.order()
        columns = measured.columns["colors"][order].T
        table = {_OTHER: measured.ids[order], **dict(zip(_STATISTICS, columns, strict=True))}
        return plan.map(self, table=table).note(len(plan), self.summary())

    def summary(self) -> str:
        return "every image moved towards the colours of another one"

    def sample_from(self, draw: Draw, table: Parameters) -> Parameters:
        changed = draw.uniform("changed", 0, 1) <= self.rate
        far = draw.uniform(_STRENGTH, 0, self.strength)
        other = draw.integers(_OTHER, len(table[_OTHER]))
        sampled = {name: values[other] for name, values in table.items()}
        return {_STRENGTH: np.where(changed, far, np.float32(0)), **sampled}

    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None:
        from ..kernels.augment.match import match

        copy_rows(images, at, out, to)
        targets = np.stack([parameters[name] for name in _STATISTICS], axis=1)
        match(out, to, self.color_space == "lab", targets, parameters[_STRENGTH])


def _statistics(color_space: str, images: Images) -> NDArray[np.float32]:
    from ..kernels.augment.match import statistics

    return statistics(images, color_space)
