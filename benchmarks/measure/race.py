"""cellprep and other libraries do the same work on the same images, in turns."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import memory
from .job import Call, Images, Job, Make, Peer
from .timing import once, turn, undo

QUICK = 10.0
"""Calls that take less than this many seconds get one uncounted call before each turn. While other
contenders worked, the system may have reclaimed memory, and a host that of a virtual machine."""
SLOW = 20.0
"""A contender whose turn takes longer is timed in the first round only."""


@dataclass
class Speed:
    """What was measured of one contender: seconds per image in each round, in order."""

    name: str
    target: float | None
    images: int
    whole: int
    copies: int
    way: str = ""
    missing: str = ""
    memory: int = 0
    turns: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Images per second in the quickest turn."""
        return self.copies / min(self.turns)

    def ratio(self, ours: Speed) -> float:
        """How many times faster cellprep is: the median over rounds of adjacent turns."""
        return median(theirs / mine for theirs, mine in zip(self.turns, ours.turns, strict=False))


@dataclass(frozen=True)
class Result:
    """A job's speeds, that of cellprep first."""

    job: Job
    speeds: list[Speed]
    note: str | None

    @property
    def ours(self) -> Speed:
        """The speed of cellprep."""
        return self.speeds[0]


Data = Callable[[int], tuple[Images, NDArray[np.int64]]]
"""Returns the requested number of images, and their labels."""


def run(job: Job, n: int, data: Data, folder: Path, rounds: int | None = None) -> Result:
    """Warm up every contender, then time them in turns: A, B, C, A, B, C ...

    Each contender has its own process, so that no library's threads, settings or memory affect
    another; all but the one at work sleep.
    """
    n = min(n, job.images or n)
    counts = [min(peer.images or n, n) for peer in job.contenders]
    for count in {n, *counts}:
        _save(folder / str(count), data(count))
    images = np.load(folder / str(n) / "images.npy")
    note = job.check(images, folder / str(n)) if job.check else None
    assert np.array_equal(images, np.load(folder / str(n) / "images.npy")), "input changed"
    del images
    speeds = [
        Speed(peer.name, peer.target, count, n, job.copies)
        for peer, count in zip(job.contenders, counts, strict=True)
    ]
    with contextlib.ExitStack() as stack:
        racing = []
        for number, speed in enumerate(speeds):
            contender = stack.enter_context(_started(job, number, folder / str(speed.images)))
            speed.way, speed.missing = _answer(contender) or ("", "cannot run: its process died")
            if not speed.missing:
                racing.append((speed, contender))
            elif number == 0:
                raise RuntimeError(f"cellprep itself: {speed.missing}")
        for _ in range(rounds or job.rounds):
            for speed, contender in racing:
                if speed.turns and speed.turns[0] * speed.images > SLOW:
                    continue
                contender.send("turn")
                seconds, peak = _answer(contender) or (float("inf"), 0)
                speed.turns.append(seconds / speed.images)
                speed.memory = max(speed.memory, peak)
    return Result(job, speeds, note)


def _save(folder: Path, data: tuple[Images, NDArray[np.int64]]) -> None:
    folder.mkdir()
    np.save(folder / "images.npy", data[0])
    np.save(folder / "labels.npy", data[1])


@contextlib.contextmanager
def _started(job: Job, number: int, folder: Path) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_contender, args=(job, number, folder, there))
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join()


def _answer(contender: Connection) -> Any:
    """What a contender reports; None if its process died."""
    try:
        return contender.recv()
    except EOFError:
        return None


def _contender(job: Job, number: int, folder: Path, pipe: Connection) -> None:
    """A contender's process: set up, warm up, then take a turn whenever asked."""
    peer = job.contenders[number]
    images = np.load(folder / "images.npy")
    call, way, missing = _fastest(peer, images, folder, f"{job.name}-{number}")
    pipe.send((way, missing))
    with contextlib.suppress(EOFError):  # the other end was closed: the race is over
        while call and pipe.recv():
            before = memory.settled()
            first = once(call)
            seconds = turn(call) if first < QUICK else first
            pipe.send((seconds, max(0, memory.peak() - before)))


def _fastest(peer: Peer, images: Images, folder: Path, name: str) -> tuple[Call | None, str, str]:
    """The fastest way of a peer, warmed up; its description; why it cannot run, if none can."""
    ways = [peer.ways] if callable(peer.ways) else list(peer.ways)
    ready, missing = [], []
    for number, way in enumerate(ways):
        room = folder / f"{name}-{number}"
        room.mkdir()
        # A peer that fails here (not installed, too old for this NumPy) must not end the run.
        try:
            call = way(images, room)
            call()
            undo(call)
            ready.append((turn(call) if len(ways) > 1 else 0.0, _description(way), call))
        except ModuleNotFoundError as error:
            missing.append(f"not installed ({error.name})")
        except Exception as error:
            missing.append(f"cannot run: {type(error).__name__}: {str(error).splitlines()[0]}")
    if not ready:
        return None, "", missing[0]
    _, description, call = min(ready, key=lambda each: each[0])
    return call, "; ".join([description, *missing]) if missing else description, ""


def _description(way: Make) -> str:
    """The docstring of a way, with its settings filled in."""
    if isinstance(way, partial):
        return (way.func.__doc__ or "").format(*way.args)
    return way.__doc__ or ""
