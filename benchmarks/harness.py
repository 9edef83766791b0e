"""Ours beside its peers: the same work on the same images, in turns."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import memory

Images = NDArray[np.uint8]
"""(n, height, width, 3), RGB."""
Call = Callable[[], Any]
"""One go at the job; what it returns is whole, nothing is left lazy."""
Make = Callable[[Images, Path], Call]
"""Imports a library and sets it up for these images and an empty folder, the labels of the images
in `labels.npy` beside it; the `Call` is timed."""

TURN = 0.3
"""A contender's turn takes at least this many seconds; a quick call is repeated."""
QUICK = 10.0
"""Before a turn of calls that take less, one call is not counted: while others worked, the system
took spare memory back, and a virtual machine's host may have taken it from the system."""
SLOW = 20.0
"""A contender whose turn takes longer is timed in the first round only."""


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
    rounds : int
        Turns of each contender in a full run.
    at_least : float, optional
        Images a second that ours is to reach, whatever the peers do.
    messy : bool
        With outliers and pairs among the images; else they all differ.
    seconds : bool
        Show also how long all the images take.
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
        """Ours, and then the peers."""
        return (Peer("cellprep", self.ours), *self.peers)


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
    memory: int = 0
    turns: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Images a second, by the quickest turn."""
        return self.copies / min(self.turns)

    def ratio(self, ours: Speed) -> float:
        """How many times as fast ours is: the median over rounds of neighbours in time."""
        return median(mine / theirs for mine, theirs in zip(self.turns, ours.turns, strict=False))


@dataclass(frozen=True)
class Result:
    """A job's speeds, ours first."""

    job: Job
    speeds: list[Speed]
    note: str | None

    @property
    def ours(self) -> Speed:
        return self.speeds[0]


Data = Callable[[int], tuple[Images, NDArray[np.int64]]]
"""So many images and their labels."""


def run(job: Job, n: int, data: Data, folder: Path, rounds: int | None = None) -> Result:
    """Warm up every contender, then time them in turns: A, B, C, A, B, C ...

    Each has a process of its own, so that no library's threads, settings or memory weigh on
    another; while one works the others sleep.
    """
    n = min(n, job.images or n)
    counts = [min(peer.images or n, n) for peer in job.contenders]
    for few in {n, *counts}:
        _save(folder / str(few), data(few))
    images = np.load(folder / str(n) / "images.npy")
    note = job.check(images, folder / str(n)) if job.check else None
    assert np.array_equal(images, np.load(folder / str(n) / "images.npy")), "input changed"
    del images
    speeds = [
        Speed(peer.name, peer.target, few, n, job.copies)
        for peer, few in zip(job.contenders, counts, strict=True)
    ]
    with contextlib.ExitStack() as stack:
        racing = []
        for number, speed in enumerate(speeds):
            contender = stack.enter_context(_started(job, number, folder / str(speed.images)))
            speed.way, speed.missing = _answer(contender) or ("", "cannot run: it died")
            if not speed.missing:
                racing.append((speed, contender))
            elif number == 0:
                raise RuntimeError(f"cellprep itself: {speed.missing}")
        for _ in range(rounds or job.rounds):
            for speed, contender in racing:
                if speed.turns and speed.turns[0] * speed.images > SLOW:
                    continue
                contender.send("turn")
                seconds, memory = _answer(contender) or (float("inf"), 0)
                speed.turns.append(seconds / speed.images)
                speed.memory = max(speed.memory, memory)
    return Result(job, speeds, note)


def _save(folder: Path, data: tuple[Images, NDArray[np.int64]]) -> None:
    folder.mkdir()
    np.save(folder / "images.npy", data[0])
    np.save(folder / "labels.npy", data[1])


@contextlib.contextmanager
def _started(job: Job, number: int, folder: Path) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_contender, args=(job.name, number, folder, there))
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join()


def _answer(contender: Connection) -> Any:
    """What a contender says; None where it died."""
    try:
        return contender.recv()
    except EOFError:
        return None


def _contender(name: str, number: int, folder: Path, pipe: Connection) -> None:
    """A contender's process: set up, warm up, then a turn whenever asked."""
    from jobs import JOBS

    job = next(job for job in JOBS if job.name == name)
    peer = job.contenders[number]
    call, way, missing = _fastest(peer, np.load(folder / "images.npy"), folder, f"{name}-{number}")
    pipe.send((way, missing))
    with contextlib.suppress(EOFError):  # nobody asks any more
        while call and pipe.recv():
            before = memory.settled()
            first = _seconds(call)
            seconds = turn(call) if first < QUICK else first
            pipe.send((seconds, max(0, memory.peak() - before)))


def _fastest(peer: Peer, images: Images, folder: Path, name: str) -> tuple[Call | None, str, str]:
    """The peer's fastest way, warmed up; its words, and what stops it here if none runs."""
    ways = [peer.ways] if callable(peer.ways) else list(peer.ways)
    ready, missing = [], []
    for number, way in enumerate(ways):
        place = folder / f"{name}-{number}"
        place.mkdir()
        # Whatever stops a peer (it is absent, or too old for this NumPy) is no failure of ours.
        try:
            call = way(images, place)
            call()
            getattr(call, "undo", _nothing)()
            ready.append((turn(call) if len(ways) > 1 else 0.0, _words(way), call))
        except ModuleNotFoundError as error:
            missing.append(f"not installed ({error.name})")
        except Exception as error:
            missing.append(f"cannot run: {type(error).__name__}: {str(error).splitlines()[0]}")
    if not ready:
        return None, "", missing[0]
    _, words, call = min(ready, key=lambda each: each[0])
    return call, "; ".join([words, *missing]) if missing else words, ""


def _words(way: Make) -> str:
    """What is written under it, with the settings that it was given."""
    if isinstance(way, partial):
        return (way.func.__doc__ or "").format(*way.args)
    return way.__doc__ or ""


def turn(call: Call) -> float:
    """Seconds of one call: the median of as many as fill a turn."""
    taken: list[float] = []
    while sum(taken) < TURN:
        taken.append(_seconds(call))
    return median(taken)


def _seconds(call: Call) -> float:
    began = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - began
    del result
    getattr(call, "undo", _nothing)()
    return seconds


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
    source, out = folder / "in.npy", folder / "out.npy"
    np.save(source, images)
    np.save(out, images)
    pool = multiprocessing.get_context("spawn").Pool(cores())
    bounds = np.linspace(0, len(images), 4 * cores() + 1).astype(int).tolist()
    jobs = [(batch, source, out, *span) for span in itertools.pairwise(bounds)]
    return lambda: pool.map(_part, jobs, chunksize=1)


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
