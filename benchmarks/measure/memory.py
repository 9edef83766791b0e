"""The memory of this process, in bytes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path


def settled() -> int:
    """Resident memory after unused memory was returned; `peak` is counted from here on."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak() -> int:
    """The highest resident memory since `settled` was called."""
    return _status("VmHWM")


def _status(name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
