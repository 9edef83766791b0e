"""Arrays in files of which little is held, however much of them is read."""

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

_HELD = 128 << 20
_WINDOW = 2 << 20  # what the system may map around a page that is touched


class Pages:
    """The pages of some maps, which count as memory of the process once they are touched.

    After every 256 MB that are read in order all of them are given back. They stay in the system's
    cache, and arrays stay valid: a page is mapped again when it is next looked at. Images read here
    and there do not count: they are had quicker from pages that stay.
    """

    def __init__(self) -> None:
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._read = 0

    def of(self, mapped: NDArray[Any]) -> NDArray[Any]:
        """A map as a plain array, which is quicker to cut, and from now on under this care."""
        held = getattr(mapped, "_mmap", None)
        if held is not None and platform.can_release(held):
            with self._lock:
                self._maps.add(held)
        return np.asarray(mapped)

    def read(self, at: Positions, size: int) -> None:
        """Note that pieces of `size` bytes are about to be read at these places."""
        reach = abs(int(at[-1]) - int(at[0])) + 1 if len(at) > 1 else 0
        if not 0 < reach <= 4 * len(at):
            return
        self._read += reach * size  # threads may lose a count: it need not be exact
        if self._read > _HELD:
            self._read = 0
            with self._lock:
                for held in self._maps:
                    platform.release(held)

    def __reduce__(self) -> tuple[type[Pages], tuple[()]]:
        return Pages, ()  # another process has maps of its own


@dataclass(frozen=True, eq=False)
class OnDisk:
    """An array that lies bare in a file: long runs are views of its map, other places are read."""

    array: NDArray[Any]
    file: IO[bytes]
    offset: int
    pages: Pages

    def take(self, at: Positions) -> NDArray[Any]:
        """The elements at these places: a read-only view or a new array."""
        size = self.array[:1].nbytes
        run = as_slice(at)
        if run is not None and len(at) * size >= _WINDOW:
            self.pages.read(at, size)
            return self.array[run]
        out = np.empty((len(at), *self.array.shape[1:]), self.array.dtype)
        for element, place in zip(out.view(np.uint8), at.tolist(), strict=True):
            if os.preadv(self.file.fileno(), [element], self.offset + place * size) < size:
                raise CellprepError(f"{str(self.file.name)!r} was cut short while it was read")
        return out


def on_disk(mapped: NDArray[Any], file: IO[bytes] | None) -> OnDisk | None:
    """A map over a file so; None for what lies in memory, or otherwise than image by image."""
    if not isinstance(mapped, np.memmap) or file is None:
        return None
    if not mapped.flags.c_contiguous or not platform.CAN_READ_INTO:
        return None
    pages = Pages()
    return OnDisk(pages.of(mapped), file, mapped.offset, pages)
