"""Ours beside its peers: the same work on the same images, in turns, in one process."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""(n, height, width, 3), RGB."""
Call = Callable[[], Any]
"""One go at the job; what it returns is whole, nothing is left lazy."""
Make = Callable[[Images, Path], Call]
"""Imports a library and sets it up for these images and an empty folder; the `Call` is timed."""

TURN = 0.15
"""A contender's turn takes at least this many seconds; a quick call is repeated."""


@dataclass(frozen=True)
class Peer:
    """Another library's way to do a job.

    Attributes
    ----------
    name : str
    ways : Make, or several
        The peer's best case: of several ways the fastest, found out in the warm-up, is timed.
    target : float, optional
        How many times as fast ours is to be.
    images : int, optional
        A slow peer gets the first so many images; its time is scaled by the number of images.
    """

    name: str
    ways: Make | Sequence[Make]
    target: float | None = None
    images: int | None = None


@dataclass(frozen=True)
class Job:
    """One job: ours, its peers, and a check that ours does what it should.

    Attributes
    ----------
    name : str
    title : str
    ours : Make
    peers : tuple of Peer
    check : function of the images and the folder, optional
        Raises AssertionError where a result is wrong; may return a line for the table.
    copies : int
        Images made of one; speeds count what comes out.
    images : int, optional
        At most so many images, where fewer tell as much.
    rounds : int, optional
        Default: that of the run.
    at_least : float, optional
        Images a second that ours is to reach, whatever the peers do.
    messy : bool
        With outliers and pairs among the images; else they all differ.
    """

    name: str
    title: str
    ours: Make
    peers: tuple[Peer, ...]
    check: Callable[[Images, Path], str | None] | None = None
    copies: int = 1
    images: int | None = None
    rounds: int | None = None
    at_least: float | None = None
    messy: bool = False


@dataclass
class Speed:
    """What was measured of one contender: seconds an image of each round, in the rounds' order."""

    name: str
    target: float | None
    images: int
    whole: int
    copies: int
    way: str = ""
    missing: str = ""
    turns: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Images a second, by the quickest turn."""
        return self.copies / min(self.turns)

    def ratio(self, ours: Speed) -> float:
        """How many times as fast ours is: the median over rounds of neighbours in time."""
        return median(mine / theirs for mine, theirs in zip(self.turns, ours.turns, strict=True))


@dataclass(frozen=True)
class Result:
    """A job's speeds, ours first."""

    job: Job
    speeds: list[Speed]
    note: str | None

    @property
    def ours(self) -> Speed:
        return self.speeds[0]


def run(job: Job, images: Images, folder: Path, rounds: int) -> Result:
    """Warm up every contender, then time them in turns: A, B, C, A, B, C ..."""
    contenders = [Peer("cellprep", job.ours), *job.peers]
    speeds, calls = [], []
    for number, peer in enumerate(contenders):
        few = images[: peer.images]
        place = folder / f"{job.name}-{number}"
        place.mkdir(parents=True)
        speed = Speed(peer.name, peer.target, len(few), len(images), job.copies)
        speeds.append(speed)
        call = _fastest(peer, few, place, speed)
        if call is not None:
            calls.append((speed, call))
    note = job.check(images, folder) if job.check else None
    for _ in range(job.rounds or rounds):
        for speed, call in calls:
            speed.turns.append(_turn(call) / speed.images)
    return Result(job, speeds, note)


def _fastest(peer: Peer, images: Images, folder: Path, speed: Speed) -> Call | None:
    """The peer's fastest way, warmed up; None, and the cause noted, where it has none here."""
    ways = [peer.ways] if callable(peer.ways) else list(peer.ways)
    ready = []
    for way in ways:
        # Whatever stops a peer (it is absent, or too old for this NumPy) is no failure of ours.
        try:
            call = way(images, folder)
            call()
            ready.append((_turn(call) if len(ways) > 1 else 0.0, _words(way), call))
        except ModuleNotFoundError as error:
            speed.missing = speed.missing or f"not installed ({error.name})"
        except Exception as error:
            if peer.name == "cellprep":
                raise
            speed.missing = speed.missing or f"cannot run: {type(error).__name__}: {error}"
    if not ready:
        return None
    _, speed.way, call = min(ready, key=lambda each: each[0])
    speed.missing = ""
    return call


def _words(way: Make) -> str:
    """The first words of what is written under it, with the settings it was given."""
    if isinstance(way, partial):
        return (way.func.__doc__ or "").format(*way.args)
    return way.__doc__ or ""


def _turn(call: Call) -> float:
    """Seconds of one call: the median of as many as fill a turn."""
    taken: list[float] = []
    while sum(taken) < TURN:
        began = time.perf_counter()
        result = call()
        taken.append(time.perf_counter() - began)
        del result
        getattr(call, "undo", _nothing)()
    return median(taken)


def _nothing() -> None:
    pass


def undone(call: Call, undo: Callable[[], Any]) -> Call:
    """A call that is followed by `undo`, which is not timed."""

    def both() -> Any:
        return call()

    both.undo = undo  # type: ignore[attr-defined]
    return both


# -- two cores for a library that uses one ----------------------------------------------------

Batch = Callable[[Images], Images]


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def in_threads(batch: Batch, images: Images) -> Call:
    """`batch` over parts of the images on as many threads as cores."""
    pool = ThreadPoolExecutor(cores())
    parts = np.array_split(images, 4 * cores())
    return lambda: list(pool.map(batch, parts))


def in_processes(batch: Batch, images: Images, folder: Path) -> Call:
    """`batch`, a function of a module, in as many processes as cores.

    Images are mapped on both sides and written in place, so that the peer pays for no transport.
    """
    from loky import ProcessPoolExecutor

    source, out = folder / "in.npy", folder / "out.npy"
    np.save(source, images)
    np.save(out, images)
    pool = ProcessPoolExecutor(cores())
    bounds = np.linspace(0, len(images), 4 * cores() + 1).astype(int).tolist()
    jobs = [(batch, source, out, *span) for span in zip(bounds, bounds[1:], strict=False)]
    return lambda: list(pool.map(_part, jobs))


def _part(job: tuple[Batch, Path, Path, int, int]) -> int:
    batch, source, out, start, stop = job
    made = batch(np.load(source, mmap_mode="r")[start:stop])
    np.load(out, mmap_mode="r+")[start:stop] = made[: stop - start]
    return len(made)


@contextlib.contextmanager
def quiet() -> Any:
    """Without a library's bars and messages, which cost time."""
    with (
        open(os.devnull, "w") as sink,
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
    ):
        yield
