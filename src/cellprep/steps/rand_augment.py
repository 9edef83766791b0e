"""RandAugment copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images
from ..draws import Draw
from ..errors import CellprepError, in_range, one_of
from ..kernels import OPERATIONS
from ..plan import Parameters, Plan
from ..source import Shape
from .step import Step, plain_settings

ENGINES = ("native", "keras_cv")
_NAMES = np.array([*OPERATIONS, "none"])
_ORDER = np.argsort(_NAMES)


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

    References
    ----------
    .. [1] E. Cubuk, B. Zoph, J. Shlens, Q. Le. RandAugment: practical automated data augmentation
       with a reduced search space. 2019. arXiv:1909.13719.

    Examples
    --------
    >>> RandAugment(copies=5, magnitude=0.6).num_ops
    3
    """

    copies: int = 3
    num_ops: int = 3
    magnitude: float = 0.5
    magnitude_stddev: float = 0.15
    rate: float = 10 / 11
    keep_originals: bool = True
    engine: str = "native"

    def __post_init__(self) -> None:
        plain_settings(self)
        in_range("copies", self.copies, 1, 10_000, whole=True)
        in_range("num_ops", self.num_ops, 1, 100, whole=True)
        in_range("magnitude", self.magnitude, 0, 1)
        in_range("magnitude_stddev", self.magnitude_stddev, 0, 1)
        in_range("rate", self.rate, 0, 1)
        if not isinstance(self.keep_originals, bool):
            raise CellprepError(
                f"`keep_originals` must be True or False, got {self.keep_originals!r}"
            )
        one_of("engine", self.engine, ENGINES)

    def extend(self, plan: Plan) -> Plan:
        # Copies are numbered from 1 whether or not the originals stay, so they are the same copies.
        first = 0 if self.keep_originals else 1
        counts = np.full(len(plan), self.copies + 1 - first)
        beside = "beside" if self.keep_originals else "in place of"
        why = f"{self.copies} augmented copies {beside} each image"
        plan, added = plan.repeat(counts, self.copies + 1, why, first=first)
        return plan.map(self, only=added)

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def parameters(self, images: Images, draw: Draw) -> Parameters:
        record: Parameters = {}
        for slot in range(1, self.num_ops + 1):
            used = draw.uniform(f"used_{slot}", 0, 1) <= self.rate
            drawn = draw.integers(f"op_{slot}", len(OPERATIONS))
            op = np.where(used, drawn, len(OPERATIONS))
            record[f"op_{slot}"] = _NAMES[op]
            record[f"value_{slot}"] = self._values(draw, slot, _NAMES[op])
            threshold = draw.normal(
                f"threshold_{slot}", 255 * (1 - self.magnitude), 255 * self.magnitude_stddev
            )
            record[f"threshold_{slot}"] = np.where(
                record[f"op_{slot}"] == "solarization", threshold.clip(0, 255), np.float32(0)
            )
        return record

    def _values(self, draw: Draw, slot: int, op: NDArray[Any]) -> NDArray[np.float32]:
        """The one parameter of each row's operation, 0 where it takes none."""
        uniform = draw.uniform(f"uniform_{slot}", -self.magnitude, self.magnitude)
        normal = draw.normal(f"normal_{slot}", self.magnitude, self.magnitude_stddev).clip(0, 1)
        sign = np.where(draw.boolean(f"sign_{slot}"), np.float32(1), np.float32(-1))
        by_name = {
            "solarization": 110 * normal,
            "color_degeneration": normal,
            "contrast": 1 + uniform,
            "brightness": uniform,
            "shear_x": sign * normal,
            "shear_y": sign * normal,
            "translation_x": uniform,
            "translation_y": uniform,
        }
        values = np.zeros(len(op), np.float32)
        for name, column in by_name.items():
            mine = op == name
            values[mine] = column[mine]
        return values

    def apply(self, images: Images, **parameters: NDArray[Any]) -> Images:
        from ..kernels import chain

        slots = range(1, self.num_ops + 1)
        op = np.stack([parameters[f"op_{slot}"] for slot in slots], axis=1)
        operations = _ORDER[np.searchsorted(_NAMES[_ORDER], op)]
        values = np.stack([parameters[f"value_{slot}"] for slot in slots], axis=1)
        thresholds = np.stack([parameters[f"threshold_{slot}"] for slot in slots], axis=1)
        if self.engine == "keras_cv":
            from .. import keras_cv_engine

            return keras_cv_engine.chain(images, operations, values, thresholds)
        return chain.chain(images, operations, values, thresholds)
