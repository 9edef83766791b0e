"""RandAugment copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions, writable
from ..errors import CellprepError, in_range, one_of
from ..kernels import OPERATIONS
from ..plan.draws import Draw
from ..plan.plan import Parameters, Plan
from ..plan.source import Shape
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

    def parameters(self, images: Images, draw: Draw, masks: Masks | None = None) -> Parameters:
        used = draw.uniform(self._each("used"), 0, 1) <= self.rate
        op = np.where(used, draw.integers(self._each("op"), len(OPERATIONS)), len(OPERATIONS))
        threshold = draw.normal(
            self._each("threshold"), 255 * (1 - self.magnitude), 255 * self.magnitude_stddev
        )
        inverts = op == OPERATIONS.index("solarization")
        threshold = np.where(inverts, threshold.clip(0, 255), np.float32(0))
        columns = {"op": _NAMES[op], "value": self._values(draw, op), "threshold": threshold}
        return {
            name: column
            for slot in range(self.num_ops)
            for stem, by_slot in columns.items()
            for name, column in [(f"{stem}_{slot + 1}", by_slot[slot])]
        }

    def _each(self, name: str) -> list[str]:
        """The parameter's name in every slot."""
        return [f"{name}_{slot}" for slot in range(1, self.num_ops + 1)]

    def _values(self, draw: Draw, op: NDArray[np.int64]) -> NDArray[np.float32]:
        """The one parameter of each operation, 0 where it takes none."""
        uniform = draw.uniform(self._each("uniform"), -self.magnitude, self.magnitude)
        normal = draw.normal(self._each("normal"), self.magnitude, self.magnitude_stddev)
        normal = normal.clip(0, 1)
        sign = np.where(draw.boolean(self._each("sign")), np.float32(1), np.float32(-1))
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
        nothing = np.zeros_like(normal)
        return np.choose(op, [by_name.get(name, nothing) for name in _NAMES.tolist()])

    def apply(
        self,
        images: Images,
        rows: Positions,
        masks: Masks | None = None,
        **parameters: NDArray[Any],
    ) -> Images:
        images = writable(images)
        self.apply_to_copies(images, rows, rows, images, **parameters)
        return images

    def apply_to_copies(
        self,
        images: Images,
        places: Positions,
        rows: Positions,
        out: Images,
        **parameters: NDArray[Any],
    ) -> None:
        from ..kernels.augment import chain

        operations, values = self._operations(parameters)
        thresholds = np.stack([parameters[name] for name in self._each("threshold")], axis=1)
        if self.engine == "keras_cv":
            from ..operations import keras_cv as keras_cv_engine

            out[rows] = keras_cv_engine.chain(images[places], operations, values, thresholds)
        else:
            chain.chain(images, places, out, rows, operations, values, thresholds)

    def move(self, masks: Masks, rows: Positions, **parameters: NDArray[Any]) -> Masks:
        from ..kernels.augment import chain

        return chain.move(masks, rows, *self._operations(parameters))

    def _operations(self, parameters: Parameters) -> tuple[NDArray[Any], NDArray[Any]]:
        """The operation in each slot, and its value."""
        op, values = (
            np.stack([parameters[name] for name in self._each(stem)], axis=1)
            for stem in ("op", "value")
        )
        return _ORDER[np.searchsorted(_NAMES[_ORDER], op)], values
