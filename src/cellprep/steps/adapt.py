"""Another laboratory's images brought to the size and colours of the training images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from ..arrays import Images, Masks, Positions
from ..dataset.profile import profile
from ..errors import CellprepError
from ..operations.engines import copy_rows
from ..plan.plan import Plan
from ..plan.profile import Profile, painted_background, profile_of
from .step import Step

LEAST = 20
"""Fewest images with a cell from which the median size is estimated."""
_MOST = 4.0
"""Largest zoom and gain; the smallest is its inverse."""
_CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class Adapt(Step):
    """Another laboratory's images brought to the size and colours of the training images.

    One zoom for the whole set makes its median cell as large as that of the profile. Cells keep
    their sizes relative to each other, because size distinguishes classes. The zoom is about the
    image centre, the square root of the ratio of the two shares, and between 1/4 and 4; beyond the
    border lies the mirrored image. No labels are used. The set is measured as by `profile`, and
    needs 20 images in which a cell is found.

    Parameters
    ----------
    profile : Profile or path
        The profile of the training images, or where to take it from: a data set, such as one
        written by `write`, or a JSON file printed by `cellprep profile --json`. It is read at
        once; a recipe saved afterwards contains the numbers as a table.
    scale : bool
        Whether to zoom.
    color : "channels", "background" or bool
        How to change the colours, alike in all images. "channels": mean and spread of each channel
        become those of the profile. "background": one gain per channel makes the mean background
        that of the profile, as white balance does. True is "channels", False is none.

    Examples
    --------
    >>> trained_on = Profile(256, 256, (96, 96), (190, 160, 170), (40, 52, 28), share=0.25)
    >>> Adapt(trained_on).color
    False
    """

    profile: Profile | str | Path = field(metadata={"example": "out/train"})
    scale: bool = True
    color: Literal["channels", "background"] | bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "profile", _profile(self.profile))
        super().__post_init__()
        if isinstance(self.color, bool):
            object.__setattr__(self, "color", "channels" if self.color else False)
        if not self.scale and not self.color:
            raise CellprepError("nothing is left to adapt; set `scale` or `color`")
        if self.scale and not self._wanted.share:
            raise CellprepError(
                "the `profile` lacks the share of the cell, which `scale` needs; measure it with "
                "cellprep.profile(cells)"
            )
        if self.color and self._wanted.background_mean is None:
            raise CellprepError(
                "the `profile` has no background, without which colours cannot be compared; take "
                "that of images before KMeansMask"
            )

    @property
    def _wanted(self) -> Profile:
        return cast(Profile, self.profile)

    def extend(self, plan: Plan) -> Plan:
        if self.color and painted_background(plan) is not None:
            raise CellprepError(
                "Adapt's `color` needs the background, which KMeansMask has painted; put Adapt "
                "before it"
            )
        own = profile_of(plan)
        if own.cells < LEAST:
            raise CellprepError(
                f"Adapt needs {LEAST} images in which a cell is found, to estimate the median "
                f"size, got {own.cells}; add images of the same laboratory"
            )
        numbers: dict[str, float] = {}
        if self.scale:
            numbers["zoom"] = self._zoom(own)
        if self.color:
            numbers |= self._colors(own)
        known = {name: np.full(len(plan), value, np.float32) for name, value in numbers.items()}
        words = ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        return plan.map(self, known=known).note(len(plan), words)

    def _zoom(self, own: Profile) -> float:
        assert own.share
        assert self._wanted.share
        return _limited(math.sqrt(self._wanted.share / own.share))

    def _colors(self, own: Profile) -> dict[str, float]:
        """The gain and the offset of each channel."""
        wanted = self._wanted
        if self.color == "channels":
            gains = _ratios(wanted.spread, own.spread)
            means = zip(wanted.mean, gains, own.mean, strict=True)
            offsets = [there - gain * here for there, gain, here in means]
        else:
            gains = _ratios(wanted.background_mean, own.background_mean)
            offsets = [0.0, 0.0, 0.0]
        return {
            f"{channel}_{name}": values[n]
            for name, values in (("gain", gains), ("offset", offsets))
            for n, channel in enumerate(_CHANNELS)
        }

    def apply_to(
        self, images: Images, at: Positions, out: Images, to: Positions, **parameters: Any
    ) -> None:
        from ..kernels.augment import affine, color

        copy_rows(images, at, out, to)
        if self.scale:
            affine.zoom(out, to, parameters["zoom"])
        if self.color:
            gains, offsets = (
                np.stack([parameters[f"{channel}_{name}"] for channel in _CHANNELS], axis=1)
                for name in ("gain", "offset")
            )
            color.channel_gain(out, to, gains, offsets)

    def move_masks(self, masks: Masks, rows: Positions, **parameters: Any) -> Masks:
        from ..kernels.augment import affine

        moved = masks.copy()
        if self.scale:
            affine.zoom(moved, rows, parameters["zoom"])
        return moved


def _profile(given: Any) -> Any:
    """A profile from its table or path; anything else as it is."""
    try:
        if isinstance(given, Mapping):
            return Profile.from_dict(given)
        return profile(given) if isinstance(given, str | Path) else given
    except CellprepError as error:
        raise CellprepError(f"`profile`: {error}") from None


def _limited(ratio: float) -> float:
    return min(max(ratio, 1 / _MOST), _MOST)


def _ratios(there: tuple[float, ...] | None, here: tuple[float, ...] | None) -> list[float]:
    """The limited ratio of each channel; 1 where there is nothing to compare."""
    pairs = zip(there or (), here or (), strict=True)
    return [_limited(a / b) if a and b else 1.0 for a, b in pairs]
