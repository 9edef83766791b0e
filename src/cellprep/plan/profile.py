"""The appearance of a data set in a few numbers: how large its cells are, and its colours.

Everything is computed from whole numbers, summed over a sample of images. So a profile depends
neither on the order of rows nor on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..errors import CellprepError, in_range, nearest
from .nodes import completed
from .plan import Plan
from .rows import Rows
from .source import Shape
from .table import Table

SAMPLE = 256
"""Most images that a profile is measured on."""
_SMALLEST = 8
"""Side in pixels of the smallest image in which a cell can be found."""
_COUNTED = 1 << 20  # pixels at a time

Channels = tuple[float, float, float]
"""Red, green, blue."""


@dataclass(frozen=True)
class Profile:
    """The appearance of a data set: how large its cells are, and its colours.

    Returned by `profile`, and saved with every written set and every trained model.

    Parameters
    ----------
    images : int
        Images measured.
    cells : int
        Of these, images in which a cell is known.
    size : (int, int)
        Height and width of the images in pixels.
    mean, spread : (float, float, float)
        Mean and standard deviation of all pixels, by channel, in 0-255.
    share : float, optional
        The fraction of the image that the median cell covers. None: no cell is known.
    background_mean, background_spread : (float, float, float), optional
        Those of the pixels outside the cell. None: not known, or painted in one colour.

    Examples
    --------
    >>> found = Profile(20, 20, (96, 96), (190, 160, 170), (40, 52, 28), share=0.25)
    >>> Profile.from_dict(found.to_dict()) == found
    True
    """

    images: int
    cells: int
    size: tuple[int, int]
    mean: Channels
    spread: Channels
    share: float | None = None
    background_mean: Channels | None = None
    background_spread: Channels | None = None

    def __post_init__(self) -> None:
        in_range("images", self.images, 0, 2**63, whole=True)
        in_range("cells", self.cells, 0, self.images, whole=True)
        self._check("size", 2, 1, 2**31, whole=True)
        for name in ("mean", "spread", "background_mean", "background_spread"):
            if getattr(self, name) is not None or name in ("mean", "spread"):
                self._check(name, 3, 0, 255)
        if self.share is not None:
            in_range("share", self.share, 0, 1)

    def _check(self, name: str, n: int, low: float, high: float, *, whole: bool = False) -> None:
        values = getattr(self, name)
        if not isinstance(values, list | tuple) or len(values) != n:
            raise CellprepError(f"`{name}` must be {n} numbers, got {values!r}")
        for value in values:
            in_range(name, value, low, high, whole=whole)
        object.__setattr__(self, name, tuple(values))

    @classmethod
    def of(cls, found: Measured, shape: Shape) -> Profile:
        """The profile that follows from what was measured on images of this shape."""
        mean, spread = _mean_and_spread(found.levels)
        known = (found.images, len(found.areas), shape[:2], mean, spread)
        if not found.areas:
            return cls(*known)
        share = round(median(found.areas) / (shape[0] * shape[1]), 6)
        outside = _mean_and_spread(found.background) if found.background[0] else (None, None)
        return cls(*known, share, *outside)

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON and TOML values; what is not known is left out."""
        saved = {name: value for name, value in asdict(self).items() if value is not None}
        return {n: list(value) if isinstance(value, tuple) else value for n, value in saved.items()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Profile:
        """The profile that `to_dict` gave.

        Raises
        ------
        CellprepError
            For an entry that is missing, unknown or out of range.
        """
        if not isinstance(saved, Mapping):
            raise CellprepError(f"a profile must be a table of numbers, got {saved!r}")
        known = {entry.name: entry for entry in fields(cls)}
        for name in saved:
            if name not in known:
                raise CellprepError(f"a profile has no {name!r}; {nearest(str(name), known)}")
        for name, entry in known.items():
            if entry.default is MISSING and name not in saved:
                raise CellprepError(f"the profile needs `{name}`; `cellprep profile` prints one")
        return cls(**saved)


@dataclass(frozen=True)
class Measured:
    """Sums over some images, from which a profile follows.

    Attributes
    ----------
    images : int
    levels : list of int
        Of all pixels: their number, the sum of each channel, the sum of its squares.
    background : list of int
        The same of pixels outside the cell, where the cell is known.
    areas : list of int
        Pixels of each known cell.
    blank : list of int
        Rows of added copies that are of one colour.
    """

    images: int
    levels: list[int]
    background: list[int]
    areas: list[int]
    blank: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, images: Images, masks: Masks | None, painted: int | None) -> Measured:
        """What there is to measure in images, with their masks where these are known.

        The background that was `painted` grey is no background, but shows where the cell is.
        """
        if painted is not None:
            masks = (images != painted).any(axis=3)
        areas = [] if masks is None else np.count_nonzero(masks, axis=(1, 2)).tolist()
        outside = np.empty((0, 3), np.uint8)
        if masks is not None and painted is None:
            outside = images[~masks & masks.any(axis=(1, 2), keepdims=True)]
        levels, background = _sums(images.reshape(-1, 3)), _sums(outside)
        return cls(len(images), levels, background, [area for area in areas if area])

    @classmethod
    def total(cls, parts: Iterable[Measured]) -> Measured:
        """The sums over all images of the parts."""
        images, levels, background, areas = 0, [0] * 7, [0] * 7, list[int]()
        blank: list[int] = []
        for part in parts:
            images += part.images
            levels = [a + b for a, b in zip(levels, part.levels, strict=True)]
            background = [a + b for a, b in zip(background, part.background, strict=True)]
            areas += part.areas
            blank += part.blank
        return cls(images, levels, background, areas, blank)


@dataclass(frozen=True, eq=False)
class Measuring:
    """Measures those of a plan's images that are in the sample, while they are being written.

    Among all added copies, those of one colour are found.

    Cells are not searched for, which would compile for 12 seconds on a new machine.
    """

    sampled: Positions
    painted: int | None
    table: Table

    @classmethod
    def of(cls, plan: Plan) -> Measuring:
        return cls(sample(plan.table), painted_background(plan), plan.table)

    def __call__(self, at: Positions, images: Images, masks: Masks | None) -> Measured:
        """What there is to measure in the images of the rows at these positions."""
        position = self.sampled.searchsorted(at).clip(max=len(self.sampled) - 1)
        here = self.sampled[position] == at  # np.isin takes longer
        found = Measured.of(images[here], None if masks is None else masks[here], self.painted)
        added = np.flatnonzero(self.table.take(at).copies)
        return replace(found, blank=at[added[of_one_color(images[added])]].tolist())


def of_one_color(images: Images) -> Masks:
    """(n,) whether all pixels of an image are equal.

    >>> of_one_color(np.zeros((1, 8, 8, 3), np.uint8))
    array([ True])
    """
    n, height, width, channels = images.shape
    pixels = images.reshape(n, height * width, channels)
    found = (pixels[:, ::509] == pixels[:, :1]).all(axis=(1, 2))  # few need all their pixels
    found[found] = (pixels[found] == pixels[found, :1]).all(axis=(1, 2))
    return np.asarray(found)


def profile_of(plan: Plan) -> Profile:
    """The profile of a plan's images; cells whose masks are not known are searched for.

    A sample of at most `SAMPLE` images is measured: see `sample`.
    """
    at, painted = sample(plan.table), painted_background(plan)
    parts = []
    for start, stop in plan.spans(len(at)):
        images, masks = _with_masks(plan, at[start:stop], search=painted is None)
        parts.append(Measured.of(images, masks, painted))
    return Profile.of(Measured.total(parts), plan.shape)


def sample(table: Table) -> Positions:
    """Positions of the rows that a profile is measured on, in order.

    These are source images, not added copies, unless there are only copies. Of more than `SAMPLE`,
    those with the smallest keys are taken: the same ones whatever their order.
    """
    at = _lowest_keys(table, lambda rows: rows.copies == 0)
    return at if len(at) else _lowest_keys(table, lambda rows: np.ones(len(rows), bool))


def _lowest_keys(table: Table, among: Callable[[Rows], Masks]) -> Positions:
    lowest, keys = np.empty(0, np.int64), np.empty(0, np.uint64)
    for block, rows in table.blocks():
        at = np.flatnonzero(among(rows))
        lowest = np.concatenate([lowest, block.start + at])
        keys = np.concatenate([keys, rows.keys[at]])
        if len(keys) > SAMPLE:
            few = np.argpartition(keys, SAMPLE)[:SAMPLE]
            lowest, keys = lowest[few], keys[few]
    return np.sort(lowest)


def painted_background(plan: Plan) -> int | None:
    """The grey level in which a step painted everything but the cell, if one did."""
    levels = [step["background"] for step in plan.saved if "background" in step]
    return levels[-1] if levels and isinstance(levels[-1], int) else None


def _with_masks(plan: Plan, at: Positions, *, search: bool) -> tuple[Images, Masks | None]:
    if not search or min(plan.shape[:2]) < _SMALLEST:
        return plan.evaluate(at)[0], None
    from ..kernels.segment.segment import segment

    if plan.pixels.has_masks:
        images, _, masks = plan.evaluate_masked(at)
        return images, completed(masks, images, segment)
    images, _ = plan.evaluate(at)
    return images, segment(images)


def _sums(pixels: NDArray[np.uint8]) -> list[int]:
    """The number of pixels (k, 3), the sum of each channel, the sum of its squares."""
    from PIL import Image

    levels, counts = np.arange(256), np.zeros((3, 256), np.int64)
    for start in range(0, len(pixels), _COUNTED):
        some = Image.fromarray(pixels[None, start : start + _COUNTED])
        counts += np.reshape(some.histogram(), counts.shape)  # in a third of np.bincount's time
    powers = [levels, levels**2]
    return [len(pixels), *(int(count @ power) for power in powers for count in counts)]


def _mean_and_spread(sums: list[int]) -> tuple[Channels, Channels]:
    n, *rest = sums
    means = [round(total / n, 3) if n else 0.0 for total in rest[:3]]
    variances = [n * square - total**2 for total, square in zip(rest[:3], rest[3:], strict=True)]
    spreads = [round(math.sqrt(variance) / n, 3) if n else 0.0 for variance in variances]
    return (means[0], means[1], means[2]), (spreads[0], spreads[1], spreads[2])
