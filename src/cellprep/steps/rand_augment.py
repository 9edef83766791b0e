"""Randomly augmented copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np

from ..arrays import Images, Masks, Positions
from ..errors import CellprepError, one_of
from ..operations import KERAS_CV, LISTS, NONE, OPERATIONS, Slots, Strength, engines
from ..plan.draws import Draw
from ..plan.nodes import Parameters
from ..plan.plan import Plan
from .copies import with_copies
from .settings import Range
from .step import Step

_STEMS = ("value", "threshold", "third")
"""Recorded names of the parameters of an operation; the third only if one of the list has it."""


@dataclass(frozen=True)
class RandAugment(Step):
    """Randomly augmented copies of each image, in addition to the original.

    Each copy has `num_ops` slots. A slot is used with probability `rate`; its operation is sampled
    uniformly, by default from ten: auto contrast, equalization, solarization, colour degeneration,
    contrast, brightness, shear x and y, translation x and y. These operations, sampling and
    magnitudes are those of RandAugment [1]_ in keras-cv 0.9.0, with one difference: levels are
    rounded after each slot, where keras-cv keeps floats. ``operations="wide"`` adds seventeen,
    among them rotation, stain, blur, noise and JPEG compression.

    Parameters
    ----------
    copies : int
        Augmented copies per image.
    num_ops : int
        Slots per copy.
    magnitude : float
        In [0, 1]; 0.5 to 0.6 worked best on blood cells.
    magnitude_stddev : float
        In [0, 1]. Operations that work in one direction, and shears, are sampled from a normal
        distribution N(magnitude, magnitude_stddev), clipped to their range. The others, such as
        contrast, brightness and translation, do not use it: they are uniform up to the magnitude.
    rate : float
        Probability that a slot is used.
    keep_originals : bool
        Whether to keep the original images, each before its copies.
    engine : "native" or "keras_cv"
        What computes the pixels: cellprep's kernels, or the layers of keras-cv (extra `keras-cv`,
        slow) with the same random numbers.
    operations : "keras-cv", "wide" or list of str
        The operations to sample from: KerasCV's ten, these and seventeen more, or any by name,
        including those of installed packages.

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
    engine: Literal["native", "keras_cv"] = "native"
    operations: Literal["keras-cv", "wide"] | tuple[str, ...] = field(
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
        return LISTS[self.operations] if isinstance(self.operations, str) else self.operations

    def extend(self, plan: Plan) -> Plan:
        return with_copies(plan, self, self.copies, self.keep_originals, "augmented copies")

    def sample(self, draw: Draw) -> Parameters:
        used = draw.uniform(self._each("used"), 0, 1) <= self.rate
        choice = draw.integers(self._each("op"), len(self._names))
        choice[~used] = len(self._names)
        strength = self._strength(draw)
        values = np.zeros((len(_STEMS), *choice.shape), np.float32)
        for number, name in enumerate(self._names):
            chosen = choice == number
            for column, parameter in zip(values, OPERATIONS[name].sampled(strength), strict=True):
                np.copyto(column, parameter, where=chosen)
        takes = {argument for name in self._names for argument in OPERATIONS[name].takes.split()}
        columns = {"op": np.array([*self._names, NONE])[choice]}
        columns |= zip(_STEMS if "c" in takes else _STEMS[:2], values, strict=False)
        sampled: Parameters = {
            f"{stem}_{slot + 1}": by_slot[slot]
            for slot in range(self.num_ops)
            for stem, by_slot in columns.items()
        }
        return sampled | ({"seed": draw.bits("seed")} if "seeds" in takes else {})

    def _strength(self, draw: Draw) -> Strength:
        magnitude, stddev, each = self.magnitude, self.magnitude_stddev, self._each
        second = third = np.zeros((self.num_ops, len(draw.rows)), np.float32)
        if not {*self._names} <= {*KERAS_CV}:
            second, third = (draw.uniform(each(name), -1, 1) for name in ("second", "third"))
        return Strength(
            draw.uniform(each("uniform"), -magnitude, magnitude),
            draw.normal(each("normal"), magnitude, stddev).clip(0, 1),
            np.where(draw.boolean(each("sign")), np.float32(1), np.float32(-1)),
            draw.normal(each("threshold"), 255 * (1 - magnitude), 255 * stddev).clip(0, 255),
            second,
            third,
            magnitude,
        )

    def _each(self, name: str) -> list[str]:
        """The names of a random parameter, one per slot."""
        return [f"{name}_{slot}" for slot in range(1, self.num_ops + 1)]

    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None:
        engines.run(self.engine, images, at, out, to, _slots(parameters))

    def move_masks(self, masks: Masks, rows: Positions, **parameters: Any) -> Masks:
        return _slots(parameters).move_masks(OPERATIONS, masks, rows)


def _slots(recorded: Parameters) -> Slots:
    return Slots.from_columns(recorded, [stem for stem in _STEMS if f"{stem}_1" in recorded])
