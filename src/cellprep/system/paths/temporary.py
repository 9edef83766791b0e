"""Files that exist only while a data set is being written, and their names."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORK = ".cellprep"
"""The folder, inside the target, for everything that is needed only during the write."""
LOCK = "lock"
"""The file in `WORK` that names the process that is writing."""
TEMPORARY = ".cellprep.tmp"
"""The suffix of temporary files, which are created next to their final path."""


def temporary_name(path: Path) -> str:
    """A new name for the temporary version of a file; `leftovers` recognises it."""
    return f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}"


@contextmanager
def temporary_file() -> Iterator[Path]:
    """A path in the system's temporary folder, deleted after the block."""
    with tempfile.TemporaryDirectory(prefix="cellprep-", ignore_cleanup_errors=True) as folder:
        yield Path(folder, "file")
