"""The time of one call, and calls whose effects are undone."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from .job import Call

TURN = 0.3
"""A turn takes at least this many seconds; quick calls are repeated."""


def turn(call: Call) -> float:
    """Seconds per call: the median of as many calls as fill a turn."""
    seconds: list[float] = []
    while sum(seconds) < TURN:
        seconds.append(once(call))
    return median(seconds)


def once(call: Call) -> float:
    """Seconds of a single call, which is undone afterwards."""
    began = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - began
    del result
    undo(call)
    return seconds


def undoable(call: Call, undo: Callable[[], Any]) -> Call:
    """A call that is followed by `undo`, which is not timed."""

    def both() -> Any:
        return call()

    both.undo = undo  # type: ignore[attr-defined]
    return both


def undo(call: Call) -> None:
    """Undo a call, if it is undoable."""
    getattr(call, "undo", lambda: None)()
