"""The two suites of corruptions, as operations and the ranges of their parameters.

A range is a constant, or the ends of a uniform distribution; of whole numbers the upper end is
excluded.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import OPERATIONS, Operation
from .operation import NONE, PARAMETERS

_ANY_ANGLE = (-45, 45)

# One value, or range, per severity for each parameter: MedMNIST-C's for blood cells.
_MICROSCOPY: dict[str, tuple[tuple[Any, ...], ...]] = {
    "pixelate": ((0.6, 0.5, 0.4, 0.3, 0.25),),
    "jpeg": ((50, 30, 15, 10, 7),),
    "defocus_blur": ((2, 3, 4, 5, 6),),
    "motion_blur": ((3, 5, 10, 10, 10), (3, 5, 5, 7, 9), (_ANY_ANGLE,) * 5),
    "brightness_up": ((1.1, 1.2, 1.3, 1.35, 1.4),),
    "brightness_down": ((0.9, 0.8, 0.7, 0.6, 0.5),),
    "contrast_up": ((1.1, 1.15, 1.2, 1.25, 1.3),),
    "contrast_down": ((0.9, 0.8, 0.7, 0.6, 0.5),),
    "saturate": ((0.05, 0.1, 0.15, 0.17, 0.2),),
    "stain_deposit": (((1, 2), (1, 3), (1, 4), (1, 4), (1, 4)), (21, 21, 21, 21, 26.5)),
    "bubble": (((7, 11), (7, 11), (7, 11), (7, 13), (7, 13)), (5, 7, 10, 12, 15)),
}
# The alternatives of each change, and the ranges of their parameters.
_HEAVY: tuple[tuple[tuple[Any, ...], ...], ...] = (
    (("rotation", (-180, 180)),),
    (("flip", (0, 3)),),
    (("translation", (-0.4, 0.4), (-0.4, 0.4)),),
    (("shear_x", (-0.5, 0.5)), ("shear_y", (-0.5, 0.5))),
    (("zoom", (0.8, 1.25)),),
    (("brightness", (0.25, 0.7)), ("brightness", (-0.7, -0.25))),
    (("contrast", (0.3, 1.8)),),
    (("saturation", (0, 2)),),
    (("color_degeneration", (0.25, 1)),),
    (("hue", (-0.5, 0.5)),),
    (("channel_shuffle", (0, 5)),),
    (("channel_shift", (-0.5, 0.5), (-0.5, 0.5), (-0.5, 0.5)),),
    (("solarization", (64, 192)), ("solarization", 0)),
    (("posterize", (2, 5)),),
    (("auto_contrast",),),
    (("equalization",),),
    (("cutout", (0.2, 0.5)),),
    (("grid_mask", (0.3, 0.6), (0.2, 0.5), (-45, 45)),),
    (("gaussian_noise", (0.05, 0.3)),),
    (("gaussian_blur", (2, 6)), ("motion_blur", (5, 15), (5, 15), (-180, 180))),
    (("augmix", (0.3, 0.9)),),
)
_OPERATION_OF = {
    "brightness_up": "gain",
    "brightness_down": "gain",
    "contrast_up": "grey_contrast",
    "contrast_down": "grey_contrast",
}

TABLE: Mapping[str, Operation] = ChainMap(
    {
        "shear_x": OPERATIONS["centered_shear_x"],
        "shear_y": OPERATIONS["centered_shear_y"],
        "solarization": OPERATIONS["solarize_above"],
    },
    OPERATIONS,  # type: ignore[arg-type]  # it is only read
)
"""The operations by the names that Corrupt records; three differ from those of RandAugment."""


@dataclass(frozen=True, eq=False)
class Suite:
    """Changes; each is one or more rows in a table of operations and their parameters' ranges.

    Attributes
    ----------
    names : tuple of str
        What the setting `corruption` may name.
    first, count : (changes,) int
        The rows of each change: severities of "microscopy", alternatives of "heavy".
    operations : (rows,) str
    whole : (rows,) bool
        Whether a is a whole number.
    low, high : (rows, 3) float64
        The ends of the ranges of a, b and c.
    """

    names: tuple[str, ...]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    operations: NDArray[np.str_]
    whole: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, names: Iterable[str], tables: Iterable[Iterable[tuple[Any, ...]]]) -> Suite:
        """A suite from the rows of each change: an operation and its ranges."""
        rows = [[*table] for table in tables]
        count = np.array([len(table) for table in rows])
        flat = [*(row for table in rows for row in table), (NONE,)]
        ends = [
            [np.broadcast_to(end, 2) for end in (*row[1:], 0, 0, 0)[: len(PARAMETERS)]]
            for row in flat
        ]
        low, high = np.array(ends, float).transpose(2, 0, 1)
        operations = np.array([row[0] for row in flat])
        whole = np.array([name != NONE and TABLE[name].whole for name in operations.tolist()])
        return cls(tuple(names), np.cumsum(count) - count, count, operations, whole, low, high)

    @property
    def nothing(self) -> int:
        """The row that leaves an image as it is."""
        return len(self.operations) - 1

    def rows_of(self, name: str) -> NDArray[np.int64]:
        """The rows of the operation called `name`."""
        return np.flatnonzero(self.operations == name)


SUITES = {
    "microscopy": Suite.of(
        _MICROSCOPY,
        (
            [(_OPERATION_OF.get(name, name), *(grades[k] for grades in ranges)) for k in range(5)]
            for name, ranges in _MICROSCOPY.items()
        ),
    ),
    "heavy": Suite.of(
        dict.fromkeys(way[0] for ways in _HEAVY for way in ways),
        _HEAVY,
    ),
}
