"""Functions that run in processes of their own, which may be killed and suspended."""

from __future__ import annotations

import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cellprep as cp

PATIENCE = 300  # seconds until something counts as hanging


@dataclass(frozen=True)
class Child:
    """A function that runs in a process group of its own."""

    process: int
    pipe: int

    @classmethod
    def start(cls, function: Callable[..., object], *arguments: object, **named: object) -> Child:
        reading, writing = os.pipe()
        process = os.fork()
        if process:
            os.close(writing)
            return cls(process, reading)
        os.setsid()
        try:
            outcome: tuple[str, object] = "done", function(*arguments, **named)
        except cp.CellprepError as error:
            outcome = ("failed" if "\n" in str(error) else "refused"), str(error)
        except BaseException:
            outcome = "failed", traceback.format_exc()
        os.write(writing, pickle.dumps(outcome)[:60_000])
        os._exit(0)

    def send(self, number: int) -> None:
        """Send a signal to all processes of the group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process, number)

    def result(self) -> tuple[str, Any]:
        """("done", value), ("refused", message), ("failed", why) or ("killed", None)."""
        data = b""
        while select.select([self.pipe], [], [], PATIENCE)[0]:
            piece = os.read(self.pipe, 1 << 16)
            if not piece:
                break
            data += piece
        else:
            self.send(signal.SIGKILL)
            data = pickle.dumps(("failed", f"not done after {PATIENCE} s"))
        os.close(self.pipe)
        os.waitpid(self.process, 0)
        return pickle.loads(data) if data else ("killed", None)


def run(function: Callable[..., object], *arguments: object) -> tuple[str, Any]:
    return Child.start(function, *arguments).result()
