"""What a benchmark job is: cellprep's way, other libraries' ways, and a check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""(n, height, width, 3), RGB."""
Call = Callable[[], Any]
"""Does the job once; the result is complete, nothing is left lazy."""
Make = Callable[[Images, Path], Call]
"""Imports a library and sets it up for these images and an empty folder, with the labels of the
images in `labels.npy` in its parent; only the `Call` is timed."""


@dataclass(frozen=True)
class Peer:
    """Another library's way to do a job.

    Attributes
    ----------
    name : str
    ways : Make, or several
        The library's best case: of several ways, the fastest in the warm-up is timed.
    target : float, optional
        How many times faster cellprep should be.
    images : int, optional
        A slow library gets this many images; its time is scaled by the number of images.
    """

    name: str
    ways: Make | Sequence[Make]
    target: float | None = None
    images: int | None = None


@dataclass(frozen=True)
class Job:
    """One job: cellprep, its peers, and a check of cellprep's result.

    Attributes
    ----------
    name : str
    title : str
    ours : Make
        How cellprep does the job.
    peers : tuple of Peer
    check : function of the images and the folder, optional
        Raises AssertionError if a result is wrong; may return a line for the table.
    copies : int
        Output images per input image; speeds count output images.
    images : int, optional
        The largest number of images, if fewer are as informative.
    rounds : int
        Turns of each contender in a full run.
    at_least : float, optional
        Images per second that cellprep should reach, regardless of the peers.
    messy : bool
        Add outliers and pairs of equal images; otherwise all images differ.
    seconds : bool
        Also show the time for all images.
    """

    name: str
    title: str
    ours: Make
    peers: tuple[Peer, ...]
    check: Callable[[Images, Path], str | None] | None = None
    copies: int = 1
    images: int | None = None
    rounds: int = 5
    at_least: float | None = None
    messy: bool = False
    seconds: bool = False

    @property
    def contenders(self) -> tuple[Peer, ...]:
        """cellprep, then its peers."""
        return (Peer("cellprep", self.ours), *self.peers)
