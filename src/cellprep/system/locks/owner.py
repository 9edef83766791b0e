"""The process that holds a lock or a lease, as it is recorded in the lock file."""

from __future__ import annotations

import json
import os
import socket
import uuid
from pathlib import Path
from typing import Any

from ...errors import CellprepError


def this_process() -> dict[str, Any]:
    """What identifies this process among those of all machines."""
    # Containers may share a host name, but hardly ever the address of a network card.
    return {"host": socket.gethostname(), "machine": f"{uuid.getnode():x}", "pid": os.getpid()}


def parse(text: bytes) -> dict[str, Any]:
    """The content of a lock file; empty if it is damaged."""
    try:
        owner = json.loads(text)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def name_of(owner: dict[str, Any]) -> str:
    """The process, for people."""
    return f"pid {owner.get('pid', '?')} on {owner.get('host', 'another machine')}"


def refusal(path: Path, owner: dict[str, Any]) -> CellprepError:
    """The error for a data set that another process is writing."""
    return CellprepError(
        f"{str(path)!r} is being written by another process ({name_of(owner)}); wait until it is "
        "done or stop it, then run the same write again"
    )
