"""Dark, blurred and empty images: three measures per image, compared with the whole set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Positions
from ..plan.digests import digest
from ..plan.plan import Plan
from ..system.executors import cut

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_IN_CACHE = 16  # images
_GRID = 24  # spots along the shorter side: smaller than a platelet, larger than noise


@dataclass(frozen=True)
class Fault:
    """A fault of an image: one measure far below the median of the set.

    The shares were chosen on real sets: no image of BCCD, BCISC or the Kaggle set "blood cells" is
    flagged, and a blur of 2 pixels in 96 is.

    Attributes
    ----------
    name : str
    measure : str
        Description of the measure.
    share : float
        Share of the median below which an image is flagged.
    least : float
        Value below which it is flagged in any set.
    """

    name: str
    measure: str
    share: float
    least: float


FAULTS = (
    Fault("empty", "contrast: (brightest spot - darkest spot) / brightest spot", 0.25, 0.03),
    Fault("dark", "grey level of the brightest spot", 0.5, 32),
    Fault("blurred", "sharpness: fine detail / total contrast", 0.4, 0.0),
)


@dataclass(frozen=True, eq=False)
class Qualities:
    """The measures of every image.

    Attributes
    ----------
    digests : (n, 2) uint64
    values : (n, 3) float
        In the order of `FAULTS`.
    """

    digests: NDArray[np.uint64]
    values: NDArray[np.float32]

    @property
    def medians(self) -> NDArray[np.float32]:
        return np.asarray(np.median(self.values, axis=0))

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """Values below which an image is flagged, in the order of `FAULTS`."""
        share, least = np.array([(fault.share, fault.least) for fault in FAULTS]).T
        return np.asarray(np.maximum(share * self.medians, least))

    def faulty(self) -> Mapping[str, Positions]:
        """The images with each fault, worst first; each image under its first fault only."""
        below = self.values < self.thresholds
        first = np.where(below.any(axis=1), below.argmax(axis=1), -1)
        return {
            fault.name: at[np.argsort(self.values[at, number], kind="stable")]
            for number, fault in enumerate(FAULTS)
            for at in [np.flatnonzero(first == number)]
        }


def measure(plan: Plan) -> Qualities:
    """Digests and measures of all images; pixels are read unless that was done before."""
    columns = plan.measure("qualities", qualities).measure("digest", digest).rows.columns
    return Qualities(columns["digest"], columns["qualities"])


def qualities(images: Images) -> NDArray[np.float32]:
    """(n, 3): contrast, brightest spot, sharpness.

    A spot is the mean over a square whose side is 1/24 of the shorter side. Contrast is the
    difference of the brightest and the darkest spot divided by the brightest. Sharpness is the
    standard deviation of the discrete Laplacian of the luma divided by that of the luma.

    Examples
    --------
    >>> qualities(np.full((1, 48, 48, 3), 9, np.uint8)).round(2).tolist()
    [[0.0, 9.0, 0.0]]
    """
    parts = [_qualities(images[start:stop]) for start, stop in cut(len(images), _IN_CACHE)]
    return np.concatenate(parts) if parts else np.zeros((0, len(FAULTS)), np.float32)


def _qualities(images: Images) -> NDArray[np.float32]:
    n, height, width, channels = images.shape
    levels = (images.astype(np.float32).reshape(-1, channels) @ _LUMA).reshape(n, height, width)
    side = max(1, min(height, width) // _GRID)
    rows, columns = height // side, width // side
    whole = levels[:, : rows * side, : columns * side]
    bands = whole.reshape(n, rows, side, columns * side).mean(axis=2)
    spots = sum(bands[..., start::side] for start in range(side)).reshape(n, -1) / side
    brightest = spots.max(axis=1)
    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)), "edge")
    detail = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    detail += padded[:, 1:-1, :-2]
    detail += padded[:, 1:-1, 2:]
    detail -= 4 * levels
    sharpness = _deviation(detail) / np.maximum(_deviation(levels), 1)
    contrast = (brightest - spots.min(axis=1)) / np.maximum(brightest, 1)
    return np.stack([contrast, brightest, sharpness], axis=1)


def _deviation(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,): the standard deviation of each image."""
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", flat, flat) / flat.shape[1]))
