"""What an operation is: one kind of change to an image, with up to three parameters."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Keys, Masks, Positions

Values = NDArray[np.float32]
NONE = "none"
"""The name, in records, of a slot that leaves its image as it is."""
PARAMETERS = ("a", "b", "c")


@dataclass(frozen=True)
class Strength:
    """What RandAugment samples per slot and image; operations derive their parameters from it.

    Attributes
    ----------
    uniform : (n,) float32
        Uniform in [-magnitude, magnitude].
    normal : (n,) float32
        Normal about the magnitude, clipped to [0, 1].
    sign : (n,) float32
        -1 or 1, each half of the time.
    threshold : (n,) float32
        A level in 0-255, normal about 255 * (1 - magnitude) and clipped.
    second, third : (n,) float32
        Uniform in [-1, 1], whatever the magnitude. Zeros if all operations are KerasCV's.
    magnitude : float
        In [0, 1].
    """

    uniform: Values
    normal: Values
    sign: Values
    threshold: Values
    second: Values
    third: Values
    magnitude: float


def either_way(change: Values) -> Values:
    """Factors 1 + change, and for negative changes their reciprocals: x is as likely as 1 / x.

    >>> either_way(np.float32([-1, 0, 0.25])).tolist()
    [0.5, 1.0, 1.25]
    """
    larger = 1 + np.abs(change)
    return np.asarray(np.where(change < 0, 1 / larger, larger), np.float32)


def whole(sampled: Values, stop: int) -> Values:
    """Whole numbers 0 to stop - 1 from a uniform distribution in [-1, 1].

    >>> whole(np.float32([-1, 0, 1]), 3).tolist()
    [0.0, 1.0, 2.0]
    """
    steps = np.floor((sampled + 1) * np.float32(stop / 2))
    return np.asarray(np.minimum(steps, stop - 1), np.float32)


@dataclass(frozen=True)
class Arguments:
    """The parameters of one operation for m images.

    Attributes
    ----------
    a, b, c : (m,) float32
    seeds : (m,) uint64
        The source of the random numbers within each image, such as noise.
    details : (m,) str
        What an operation with `details` sampled beyond three numbers.
    """

    a: Values
    b: Values
    c: Values
    seeds: Keys
    details: NDArray[np.str_]


@dataclass(frozen=True)
class Operation:
    """One entry in the table of operations.

    Parameters
    ----------
    name : str
        In settings and records.
    kernel : str or callable
        `kernel(images, rows, ...)` changes the images (n, height, width, 3) uint8 at `rows` (m,) in
        place; "module:function" names a function in `cellprep.kernels`, imported when first used.
    takes : str
        The further arguments of the kernel, in order, separated by spaces: names of `Arguments`.
    whole : bool
        Whether `a` is a whole number.
    moves : bool
        Whether pixels change their position. The kernel then also takes masks (n, height, width)
        bool.
    strength : callable, optional
        `strength(sampled)`, of a `Strength`, gives `a`, or a tuple of `a`, `b` and `c`, in
        RandAugment. Without it, RandAugment cannot use the operation, or calls it without
        parameters if it takes none.
    details : callable, optional
        `details(seeds, a)` samples (m,) str, which is recorded and passed to the kernel as
        `details`.

    Examples
    --------
    >>> halve = Operation("halve", lambda images, rows: images[rows].__ifloordiv__(2))
    >>> halve.moves, halve.strength is None
    (False, True)
    """

    name: str
    kernel: str | Callable[..., Any]
    takes: str = ""
    whole: bool = False
    moves: bool = False
    strength: Callable[[Strength], Any] | None = None
    details: Callable[[Keys, Values], NDArray[np.str_]] | None = None

    @property
    def can_be_sampled(self) -> bool:
        """Whether RandAugment can use it."""
        return self.details is None and (self.strength is not None or not self.takes)

    @cached_property
    def _function(self) -> Callable[..., Any]:
        if not isinstance(self.kernel, str):
            return self.kernel
        module, _, function = self.kernel.partition(":")
        found: Callable[..., Any] = getattr(
            importlib.import_module(f"cellprep.kernels.{module}"), function
        )
        return found

    def __call__(self, pixels: Images | Masks, rows: Positions, arguments: Arguments) -> None:
        """Change images, or masks if the operation `moves`, at these rows in place."""
        self._function(pixels, rows, *(getattr(arguments, name) for name in self.takes.split()))

    def sampled(self, strength: Strength) -> tuple[Any, ...]:
        """The parameters that RandAugment records for it, zeros where there are none."""
        found = self.strength(strength) if self.strength else ()
        found = found if isinstance(found, tuple) else (found,)
        zeros = (np.zeros_like(strength.normal),) * len(PARAMETERS)
        return (*found, *zeros)[: len(PARAMETERS)]
