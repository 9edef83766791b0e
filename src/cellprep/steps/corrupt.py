"""A shifted test set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions, writable
from ..errors import CellprepError, in_range, one_of
from ..plan.draws import Draw
from ..plan.plan import Parameters, Plan
from ..plan.source import Shape
from .step import Step, plain_settings

SUITES = ("microscopy", "heavy")
_ANY = (-45, 45)

# What each operation takes, a constant or the ends of what is drawn; one column a severity.
_MICROSCOPY: dict[str, tuple[tuple[Any, ...], ...]] = {
    "pixelate": ((0.6, 0.5, 0.4, 0.3, 0.25),),
    "jpeg": ((50, 30, 15, 10, 7),),
    "defocus_blur": ((2, 3, 4, 5, 6),),
    "motion_blur": ((3, 5, 10, 10, 10), (3, 5, 5, 7, 9), (_ANY, _ANY, _ANY, _ANY, _ANY)),
    "brightness_up": ((1.1, 1.2, 1.3, 1.35, 1.4),),
    "brightness_down": ((0.9, 0.8, 0.7, 0.6, 0.5),),
    "contrast_up": ((1.1, 1.15, 1.2, 1.25, 1.3),),
    "contrast_down": ((0.9, 0.8, 0.7, 0.6, 0.5),),
    "saturate": ((0.05, 0.1, 0.15, 0.17, 0.2),),
    "stain_deposit": (((1, 2), (1, 3), (1, 4), (1, 4), (1, 4)), (21, 21, 21, 21, 26.5)),
    "bubble": (((7, 11), (7, 11), (7, 11), (7, 13), (7, 13)), (5, 7, 10, 12, 15)),
}
_OPERATION = {
    "brightness_up": "gain",
    "brightness_down": "gain",
    "contrast_up": "grey_contrast",
    "contrast_down": "grey_contrast",
}

# A change is one of its ways, each with what the operation takes.
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
_SLOTS = 4
_UNTOUCHED = 0.05
_WHOLE = ("flip", "channel_shuffle", "posterize", "stain_deposit", "bubble")
"""Operations whose first value is a whole number below the upper end."""


@dataclass(frozen=True)
class Corrupt(Step):
    """Every image spoilt at random: a test set from elsewhere.

    Each image becomes one corrupted version of itself; ids, labels and the number of rows stay.
    ``"microscopy"`` has the eleven corruptions and five severities of MedMNIST-C for blood cells
    [1]_, one of them an image. ``"heavy"`` leaves an image in twenty alone and sends the others
    through two to four of twenty-one strong changes, all different, in an order that is drawn.

    The record names up to four operations an image (`op_1` to `op_4`), their values (`a_1`, `b_1`,
    `c_1` ...) and the seed of what lies within the image, such as noise or the places of bubbles;
    docs/corruptions.md says what the values mean and shows pictures.

    Parameters
    ----------
    suite : "microscopy" or "heavy"
    severity : int, optional
        Of "microscopy", 1 to 5. Default: drawn uniformly for each image. With one seed the same
        image has the same corruption, angle and places at every severity. "heavy" has ranges, not
        severities, and takes none.
    corruption : str, optional
        The one corruption that all images get, or of "heavy" the one change. Default: drawn
        uniformly for each image.

    References
    ----------
    .. [1] F. Di Salvo, S. Doerrich, C. Ledig. MedMNIST-C: comprehensive benchmark and improved
       classifier robustness by simulating realistic image corruptions. 2024. arXiv:2406.17536.

    Examples
    --------
    >>> Corrupt(severity=3, corruption="defocus_blur")
    Corrupt(suite='microscopy', severity=3, corruption='defocus_blur')
    >>> Corrupt("heavy", corruption="cutuot")
    Traceback (most recent call last):
    ...
    cellprep.errors.CellprepError: `corruption` got 'cutuot'; did you mean 'cutout'? Allowed: ...
    """

    suite: str = "microscopy"
    severity: int | None = None
    corruption: str | None = None

    def __post_init__(self) -> None:
        plain_settings(self)
        one_of("suite", self.suite, SUITES)
        if self.severity is not None:
            in_range("severity", self.severity, 1, 5, whole=True)
            if self.suite == "heavy":
                raise CellprepError(
                    f"`severity` is for suite 'microscopy', got {self.severity!r} with 'heavy', "
                    "which draws every strength from its range; leave it out"
                )
        if self.corruption is not None:
            one_of("corruption", self.corruption, CORRUPTIONS[self.suite])

    def extend(self, plan: Plan) -> Plan:
        plan = plan.map(self)
        what = self.corruption or f"the {self.suite} suite"
        grade = f" at severity {self.severity}" if self.severity else ""
        return plan.note(len(plan), f"every image corrupted by {what}{grade}")

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def parameters(self, images: Images, draw: Draw, masks: Masks | None = None) -> Parameters:
        drawn = self._heavy(draw) if self.suite == "heavy" else self._microscopy(draw)
        drawn["seed"] = draw.bits("seed")
        return drawn

    def _microscopy(self, draw: Draw) -> Parameters:
        names = CORRUPTIONS["microscopy"]
        if self.corruption is None:
            which = draw.integers("corruption", len(names))
        else:
            which = np.full(len(draw.rows), names.index(self.corruption))
        severity = draw.integers("severity", 5) + 1
        if self.severity is not None:
            severity[:] = self.severity
        labels = {"corruption": np.array(names)[which], "severity": severity}
        return labels | _columns(draw, (5 * which + severity - 1)[None], self.suite)

    def _heavy(self, draw: Draw) -> Parameters:
        if self.corruption is None:
            order = draw.bits([f"order_{number}" for number in range(len(_HEAVY))]).argsort(axis=0)
            changes = order[:_SLOTS]
            used = draw.integers("count", _SLOTS - 1) + 2
            used[draw.uniform("untouched", 0, 1) < _UNTOUCHED] = 0
            at = _START[changes] + _pick(draw, _WAYS[changes])
            at[np.arange(_SLOTS)[:, None] >= used] = len(_CHANGES) - 1
        else:
            ways = [n for n, way in enumerate(_CHANGES) if way[0] == self.corruption]
            at = np.array(ways)[_pick(draw, np.full((1, len(draw.rows)), len(ways)))]
        return _columns(draw, at, self.suite)

    def apply(
        self,
        images: Images,
        rows: Positions,
        masks: Masks | None = None,
        **parameters: NDArray[Any],
    ) -> Images:
        from ..kernels.corrupt import corruptions

        images = writable(images)
        corruptions.apply(images, rows, *_slots(parameters), parameters["seed"])
        return images

    def move(self, masks: Masks, rows: Positions, **parameters: NDArray[Any]) -> Masks:
        from ..kernels.corrupt import corruptions

        return corruptions.move(masks, rows, *_slots(parameters))


# Both suites as one kind of table: an operation and what it takes.
_GRADES = [
    (_OPERATION.get(name, name), *(grades[severity] for grades in taken))
    for name, taken in _MICROSCOPY.items()
    for severity in range(5)
]
_CHANGES = [*(way for ways in _HEAVY for way in ways), ("none",)]
_WAYS = np.array([len(ways) for ways in _HEAVY])
_START = np.cumsum(_WAYS) - _WAYS
CORRUPTIONS = {
    "microscopy": tuple(_MICROSCOPY),
    "heavy": tuple(dict.fromkeys(way[0] for way in _CHANGES if way[0] != "none")),
}
"""What `corruption` may be, by suite."""


def _pick(draw: Draw, stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """(slots, n), uniform over 0 to stop - 1 in each place."""
    part = draw.uniform([f"way_{slot + 1}" for slot in range(len(stop))], 0, 1)
    return np.minimum((part * stop).astype(np.int64), stop - 1)


@cache
def _table(suite: str) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """The operations of a suite, and the ends of the three values that each takes."""
    table = _GRADES if suite == "microscopy" else _CHANGES
    taken = [[np.broadcast_to(ends, 2) for ends in (*way[1:], 0, 0, 0)[:3]] for way in table]
    return np.array([way[0] for way in table]), np.array(taken, float)


def _columns(draw: Draw, at: NDArray[np.int64], suite: str) -> Parameters:
    """Operations and values, a column each, of places (slots, n) in a suite's table."""
    names, ends = _table(suite)
    low, high = ends[at].transpose(3, 2, 0, 1)
    op, slots = names[at], range(1, len(at) + 1)
    columns: Parameters = {f"op_{slot}": op[slot - 1] for slot in slots}
    for stem, least, most in zip("abc", low, high, strict=True):
        values = draw.uniform([f"{stem}_{slot}" for slot in slots], least, most)
        if stem == "a":
            whole = np.isin(op, _WHOLE)
            values[whole] = np.minimum(np.floor(values), most - 1)[whole]
        columns |= {f"{stem}_{slot}": values[slot - 1] for slot in slots}
    return columns


def _slots(parameters: Parameters) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """The operation in each slot, and its values."""
    slots = [name.removeprefix("op_") for name in sorted(parameters) if name.startswith("op_")]
    values = [[parameters[f"{stem}_{slot}"] for stem in "abc"] for slot in slots]
    operations = np.stack([parameters[f"op_{slot}"] for slot in slots], axis=1)
    return operations, np.array(values, np.float32).transpose(2, 0, 1)
