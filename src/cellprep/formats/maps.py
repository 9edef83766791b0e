"""Memory-mapped arrays with a bounded resident size."""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions, as_slice
from ..errors import CellprepError
from ..system import platform

_MOST_RESIDENT = 128 << 20
_WINDOW = 2 << 20  # what the system may map around a page that is read


class Pages:
    """The pages of some maps, which count as memory of the process once they are read.

    After every 128 MB that are read in order, all of them are released. They stay in the system's
    cache, and arrays stay valid: a page is mapped again when it is next read. Images read in random
    order do not count, as they are faster from pages that stay mapped.
    """

    def __init__(self) -> None:
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._read = 0

    def track(self, mapped: NDArray[Any]) -> NDArray[Any]:
        """Release the pages of this map from now on; returned as a plain, faster array."""
        memory = getattr(mapped, "_mmap", None)
        if memory is not None and platform.can_release(memory):
            with self._lock:
                self._maps.add(memory)
        return np.asarray(mapped)

    def read(self, at: Positions, size: int) -> None:
        """Note that elements of `size` bytes are about to be read at these positions."""
        reach = int(at.max()) - int(at.min()) + 1 if len(at) > 1 else 0
        if not 0 < reach <= 4 * len(at):
            return
        self._read += reach * size  # threads may lose a count: it need not be exact
        if self._read > _MOST_RESIDENT:
            self._read = 0
            with self._lock:
                for memory in self._maps:
                    platform.release(memory)

    def __reduce__(self) -> tuple[type[Pages], tuple[()]]:
        return Pages, ()  # another process has its own maps


@dataclass(frozen=True, eq=False)
class FileArray:
    """An array stored uncompressed in a file: long runs are views of its map, others are read."""

    array: NDArray[Any]
    file: IO[bytes]
    offset: int
    pages: Pages

    def take(self, at: Positions) -> NDArray[Any]:
        """The elements at these positions: a read-only view or a new array."""
        size = self.array[:1].nbytes
        run = as_slice(at)
        if run is not None and len(at) * size >= _WINDOW:
            self.pages.read(at, size)
            return self.array[run]
        out = np.empty((len(at), *self.array.shape[1:]), self.array.dtype)
        for element, row in zip(out.view(np.uint8), at.tolist(), strict=True):
            if os.preadv(self.file.fileno(), [element], self.offset + row * size) < size:
                raise CellprepError(f"{str(self.file.name)!r} was truncated while it was read")
        return out


def file_array(mapped: NDArray[Any], file: IO[bytes] | None) -> FileArray | None:
    """A map as a FileArray; None for arrays in memory, or not stored image by image."""
    if not isinstance(mapped, np.memmap) or file is None:
        return None
    if not mapped.flags.c_contiguous or not platform.CAN_READ_INTO:
        return None
    pages = Pages()
    return FileArray(pages.track(mapped), file, mapped.offset, pages)
