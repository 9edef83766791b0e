"""Ctrl-C, pressed again while what the first one interrupted is being ended."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MOST = 2
"""Interrupts after which the next one ends the process, whatever it is doing."""


@contextmanager
def held(before: int = 0) -> Iterator[None]:
    """Let Ctrl-C not disturb the block; the third one ends the process at once.

    Pools of processes that are interrupted while they end never do. An interrupt inside the block
    is raised after it, unless there were some `before`, which are being raised already. In other
    threads than the main one, where none arrives, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    count = before

    def note(signum: int, frame: Any) -> None:
        nonlocal count
        count += 1
        if count > _MOST:
            os._exit(130)

    handler = signal.getsignal(signal.SIGINT)
    while signal.getsignal(signal.SIGINT) is not note:
        try:
            signal.signal(signal.SIGINT, note)
        except KeyboardInterrupt:  # just before the handler was replaced
            count += 1
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if count and not before:
        raise KeyboardInterrupt
