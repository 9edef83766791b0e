"""Reading files: whole, as a stream, or in ranges; ranges of URLs are requested concurrently."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import CellprepError
from .temporary import temporary_file
from .urls import as_os_errors, is_remote, message

Prefetched = Path | bytes | OSError
"""A local file, unread; of a URL, its bytes, or the reason why there are none."""

_CONCURRENT_RANGES = 256


def open_binary(path: Path) -> BinaryIO:
    """The file as a stream with random access."""
    url: Any = path
    if not is_remote(path):
        return path.open("rb")
    with as_os_errors(path):
        if url.protocol == "memory":  # fsspec shares one stream between all threads
            return io.BytesIO(url.fs.cat_file(url.path))
        stream: BinaryIO = url.fs.open(url.path, "rb")
        return stream


def read_bytes(path: Path) -> bytes:
    """The content of the file."""
    if not is_remote(path):
        return path.read_bytes()
    url: Any = path
    with as_os_errors(path):
        data: bytes = url.fs.cat_file(url.path)
        return data


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """The file as a local one: itself, or a copy that is deleted after the block.

    A memory map of the copy remains valid.
    """
    if not is_remote(path):
        yield path
        return
    url: Any = path
    with temporary_file() as local:
        with as_os_errors(path):
            if url.protocol == "memory":
                local.write_bytes(url.fs.cat_file(url.path))
            else:
                url.fs.get_file(url.path, str(local))
        yield local


def prefetch(paths: Sequence[Path]) -> list[Prefetched]:
    """Local files unchanged; the bytes of URLs, requested concurrently.

    A file that does not exist or may not be read yields its error. Any other error, such as a lost
    connection, is not about the file, and is raised.
    """
    if not paths or not is_remote(paths[0]):
        return list(paths)
    urls: list[Any] = list(paths)
    with as_os_errors(paths[0]):
        got = urls[0].fs.cat_ranges([url.path for url in urls], None, None, on_error="return")
    return [_checked(data, path) for data, path in zip(got, paths, strict=True)]


def read_ranges(path: Path, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes start to stop of a URL, for each span, requested concurrently."""
    url: Any = path
    starts, stops = zip(*spans, strict=True)
    with as_os_errors(path):
        got = url.fs.cat_ranges([url.path] * len(spans), list(starts), list(stops))
    ranges = []
    for data, (start, stop) in zip(got, spans, strict=True):
        checked = _checked(data, path)
        if isinstance(checked, OSError):
            raise checked
        if not isinstance(checked, bytes) or len(checked) != stop - start:
            raise OSError(f"it ends before byte {stop}")
        ranges.append(checked)
    return ranges


def pieces(files: Sequence[Path], ranges: NDArray[np.int64]) -> Iterator[bytes]:
    """The bytes of each (file, offset, length), in order; shorter where the file ends early.

    Of URLs, up to 256 ranges are requested concurrently.
    """
    if files and is_remote(files[0]):
        for start in range(0, len(ranges), _CONCURRENT_RANGES):
            yield from _remote_pieces(files, ranges[start : start + _CONCURRENT_RANGES])
        return
    current, stream = -1, None
    try:
        for number, offset, length in ranges.tolist():
            if number != current or stream is None:
                if stream is not None:
                    stream.close()
                stream, current = files[number].open("rb"), number
            stream.seek(offset)
            yield stream.read(length)
    except OSError as error:
        raise _unreadable(files[current], error) from error
    finally:
        if stream is not None:
            stream.close()


def _remote_pieces(files: Sequence[Any], ranges: NDArray[np.int64]) -> Iterator[bytes]:
    not_empty = ranges[:, 2] > 0
    numbers, starts, lengths = ranges[not_empty].T
    paths = [files[number].path for number in numbers]
    got: Iterator[Any] = iter(())
    if paths:
        with as_os_errors(files[0]):
            stops = (starts + lengths).tolist()
            got = iter(files[0].fs.cat_ranges(paths, starts.tolist(), stops, on_error="return"))
    for (number, _, _), requested in zip(ranges.tolist(), not_empty.tolist(), strict=True):
        data = _checked(next(got), files[number]) if requested else b""
        if isinstance(data, OSError):
            raise _unreadable(files[number], data)
        yield data


def _unreadable(path: Path, error: OSError) -> CellprepError:
    return CellprepError(
        f"cannot read {str(path)!r}: {error.strerror or error}; was it moved or deleted?"
    )


def _checked(data: Any, path: Path) -> bytes | OSError:
    if isinstance(data, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if isinstance(data, PermissionError):
        return PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if isinstance(data, BaseException):
        raise CellprepError(f"cannot read {str(path)!r}: {message(data)}") from data
    return bytes(data)
