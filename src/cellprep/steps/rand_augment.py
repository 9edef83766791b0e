"""RandAugment copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from ..arrays import Images, Masks, Positions
from ..errors import CellprepError, one_of
from ..operations import KERAS_CV, NONE, OPERATIONS, Slots, Strength, engines
from ..operations.engines import ENGINES
from ..plan.draws import Draw
from ..plan.nodes import Parameters
from ..plan.plan import Plan
from .settings import OneOf, Range
from .step import Step

_STEMS = ("value", "threshold")
"""What records call the first two parameters of an operation."""


@dataclass(frozen=True)
class RandAugment(Step):
    """Randomly augmented copies of each image, beside the original.

    Each copy goes through `num_ops` slots. A slot is used with probability `rate`; its operation is
    drawn uniformly from ten: auto contrast, equalization, solarization, colour degeneration,
    contrast, brightness, shear x and y, translation x and y. Operations, sampling and magnitudes
    are those of keras-cv 0.9.0 after RandAugment [1]_, but for one thing: levels are rounded after
    each slot, where keras-cv keeps floats.

    Parameters
    ----------
    copies : int
        Augmented copies of an image.
    num_ops : int
        Slots of a copy.
    magnitude : float
        In [0, 1]; 0.5 to 0.6 served best on blood cells.
    magnitude_stddev : float
        In [0, 1]: shears and colour degeneration are drawn from N(magnitude, magnitude_stddev)
        clipped to [0, 1], solarization likewise; contrast, brightness and translation uniformly
        within the magnitude.
    rate : float
        Probability that a slot is used.
    keep_originals : bool
        Whether the images themselves stay, ahead of their copies.
    engine : "native" or "keras_cv"
        What computes the pixels: cellprep's kernels, or keras-cv's layers (extra `keras-cv`, slow)
        with the same draws.
    operations : "keras-cv" or list of str
        The operations to draw from: keras-cv's ten, or any by name, such as those of installed
        packages.

    References
    ----------
    .. [1] E. Cubuk, B. Zoph, J. Shlens, Q. Le. RandAugment: practical automated data augmentation
       with a reduced search space. 2019. arXiv:1909.13719.

    Examples
    --------
    >>> RandAugment(copies=5, magnitude=0.6).num_ops
    3
    """

    copies: Annotated[int, Range(1, 10_000)] = 3
    num_ops: Annotated[int, Range(1, 100)] = 3
    magnitude: Annotated[float, Range(0, 1)] = 0.5
    magnitude_stddev: Annotated[float, Range(0, 1)] = 0.15
    rate: Annotated[float, Range(0, 1)] = 10 / 11
    keep_originals: bool = True
    engine: Annotated[str, OneOf(*ENGINES)] = "native"
    operations: Annotated[str, OneOf("keras-cv")] | tuple[str, ...] = field(
        default="keras-cv",
        metadata={"omit_default": True},  # sets of version 0.1 do not record it
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self._names:
            one_of("operations", name, [n for n in OPERATIONS if OPERATIONS[n].can_be_sampled])
            if self.engine == "keras_cv":
                one_of("operations", name, KERAS_CV)
        if not self._names:
            raise CellprepError("`operations` must name at least one operation, got none")

    @property
    def _names(self) -> tuple[str, ...]:
        return KERAS_CV if isinstance(self.operations, str) else self.operations

    def extend(self, plan: Plan) -> Plan:
        # Copies are numbered from 1 whether or not the originals stay, so they are the same copies.
        first = 0 if self.keep_originals else 1
        counts = np.full(len(plan), self.copies + 1 - first)
        beside = "beside" if self.keep_originals else "in place of"
        why = f"{self.copies} augmented copies {beside} each image"
        plan, added = plan.repeat(counts, self.copies + 1, why, first=first)
        return plan.map(self, only=added)

    def sample(self, draw: Draw) -> Parameters:
        strength = Strength(
            draw.uniform(self._each("uniform"), -self.magnitude, self.magnitude),
            draw.normal(self._each("normal"), self.magnitude, self.magnitude_stddev).clip(0, 1),
            np.where(draw.boolean(self._each("sign")), np.float32(1), np.float32(-1)),
            draw.normal(
                self._each("threshold"), 255 * (1 - self.magnitude), 255 * self.magnitude_stddev
            ).clip(0, 255),
        )
        used = draw.uniform(self._each("used"), 0, 1) <= self.rate
        choice = draw.integers(self._each("op"), len(self._names))
        choice[~used] = len(self._names)
        names = np.array([*self._names, NONE])
        by_operation = [OPERATIONS[name].sampled(strength) for name in self._names]
        nothing = np.zeros_like(strength.normal)
        columns = {"op": names[choice]}
        for stem, of_each in zip(_STEMS, zip(*by_operation, strict=True), strict=False):
            columns[stem] = np.choose(choice, [*of_each, nothing])
        return {
            f"{stem}_{slot + 1}": by_slot[slot]
            for slot in range(self.num_ops)
            for stem, by_slot in columns.items()
        }

    def _each(self, name: str) -> list[str]:
        """The name of a random parameter in every slot."""
        return [f"{name}_{slot}" for slot in range(1, self.num_ops + 1)]

    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None:
        slots = Slots.from_columns(parameters, _STEMS)
        engines.run(self.engine, images, at, out, to, slots)

    def move_masks(self, masks: Masks, rows: Positions, **parameters: Any) -> Masks:
        return Slots.from_columns(parameters, _STEMS).move_masks(OPERATIONS, masks, rows)
