"""Stamps: the size and digest of a written file, by which `verify` finds damage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import xxhash

from ..system.paths import atomic_write, open_binary
from ..system.platform import reserve

Stamp: TypeAlias = dict[str, Any]
"""`bytes` and `xxh3_128` of a file."""
Files: TypeAlias = dict[str, Stamp]
"""The stamp of each file, by its name in the folder."""


def stamp(file: Path) -> Stamp:
    """The stamp of an existing file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "empty").touch()
    ...     stamp(Path(folder, "empty"))
    {'bytes': 0, 'xxh3_128': '99aa06d3014798d86001c324468d497f'}
    """
    with open_binary(file) as stream:
        return stamp_of(stream)


def stamp_of(stream: BinaryIO) -> Stamp:
    """The stamp of the rest of an open file."""
    digest, size = xxhash.xxh3_128(), 0
    while data := stream.read(1 << 20):
        digest.update(data)
        size += len(data)
    return {"bytes": size, "xxh3_128": digest.hexdigest()}


def save(path: Path, pieces: Iterable[bytes | memoryview], size: int = 0) -> Stamp:
    """Write a file from its pieces and return its stamp; `size` is that of the file, if known."""
    digest, written = xxhash.xxh3_128(), 0
    with atomic_write(path) as temporary, temporary.open("xb") as file:
        if size:
            reserve(file, size)
        for data in pieces:
            digest.update(data)
            written += file.write(data)
    return {"bytes": written, "xxh3_128": digest.hexdigest()}
