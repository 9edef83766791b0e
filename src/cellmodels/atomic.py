"""Local paths, and files that appear under their name only once they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellprep.writing.output import extended, replace


def local(path: str | Path) -> Path:
    """The path, with ~ as the home folder.

    >>> local("out/b0").as_posix()
    'out/b0'
    """
    return extended(Path(path).expanduser())


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it if the block succeeds, deleted otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
