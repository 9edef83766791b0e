"""Dark, blurred and empty images: three numbers an image, each held against the whole set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Positions
from ..plan.digests import digest
from ..plan.plan import Plan

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_GRID = 24  # spots along the shorter side: small enough for a platelet, too large for noise


@dataclass(frozen=True)
class Fault:
    """What makes an image stand out: a measure far below that of the set's middle image.

    Real sets were looked at for the shares: no image of BCCD, BCISC or the Kaggle set "blood
    cells" falls below two thirds of them, and a blur of 2 pixels in 96 falls below.

    Attributes
    ----------
    name : str
    measure : str
        What is measured, in words.
    share : float
        Of the median, below which an image stands out.
    least : float
        Below which it does in any set.
    """

    name: str
    measure: str
    share: float
    least: float


FAULTS = (
    Fault("empty", "contrast: darkest to brightest spot, in parts of the brightest", 0.25, 0.03),
    Fault("dark", "level of the brightest spot", 0.5, 32),
    Fault("blurred", "sharpness: fine detail in parts of all contrast", 0.4, 0.0),
)


@dataclass(frozen=True, eq=False)
class Qualities:
    """What was measured on every image.

    Attributes
    ----------
    digests : (n, 2) uint64
    values : (n, 3) float
        By the order of `FAULTS`.
    """

    digests: NDArray[np.uint64]
    values: NDArray[np.float32]

    @property
    def medians(self) -> NDArray[np.float32]:
        return np.asarray(np.median(self.values, axis=0))

    @property
    def limits(self) -> NDArray[np.float64]:
        """Below which an image stands out, by the order of `FAULTS`."""
        share, least = np.array([(fault.share, fault.least) for fault in FAULTS]).T
        return np.asarray(np.maximum(share * self.medians, least))

    def faulty(self) -> Mapping[str, Positions]:
        """The images with each fault, the worst first; each under its first one alone."""
        below = self.values < self.limits
        first = np.where(below.any(axis=1), below.argmax(axis=1), -1)
        return {
            fault.name: at[np.argsort(self.values[at, number], kind="stable")]
            for number, fault in enumerate(FAULTS)
            for at in [np.flatnonzero(first == number)]
        }


def measure(plan: Plan) -> Qualities:
    """Digests and measures of all images, their pixels read once."""
    found = [batch for _, batch in plan.each(_measured, "looking at the images")]
    digests, values = zip(*found, strict=True)
    return Qualities(np.concatenate(digests), np.concatenate(values))


def _measured(images: Images) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    return digest(images), qualities(images)


def qualities(images: Images) -> NDArray[np.float32]:
    """(n, 3): contrast, brightest spot, sharpness.

    A spot is the mean of a square, a 24th of the shorter side wide. Contrast is what the brightest
    spot has above the darkest, in parts of its level. Sharpness is the deviation of the discrete
    Laplacian of the brightness in parts of that of the brightness itself.

    Examples
    --------
    >>> qualities(np.full((1, 48, 48, 3), 9, np.uint8)).round(2).tolist()
    [[0.0, 9.0, 0.0]]
    """
    levels = images @ _LUMA
    n, height, width = levels.shape
    side = max(1, min(height, width) // _GRID)
    rows, columns = height // side, width // side
    whole = levels[:, : rows * side, : columns * side]
    spots = whole.reshape(n, rows, side, columns, side).mean(axis=(2, 4)).reshape(n, -1)
    brightest = spots.max(axis=1)
    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)), "edge")
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    detail = (4 * levels - around).std(axis=(1, 2))
    sharpness = detail / np.maximum(levels.std(axis=(1, 2)), 1)
    contrast = (brightest - spots.min(axis=1)) / np.maximum(brightest, 1)
    return np.stack([contrast, brightest, sharpness], axis=1)
