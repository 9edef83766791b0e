"""What a search needs of each image instead of its pixels: digests, hashes and a thumbnail."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Positions
from ..dataset.dataset import Dataset
from ..kernels import SIDE
from ..plan.digests import digest
from ..plan.plan import Plan
from ..plan.readable import Measures
from ..plan.rows import SAME
from ..system import platform
from .settings import Search

_IN_MEMORY = 256 << 20  # bytes of thumbnails; more are kept in a temporary file
_TOGETHER = 256  # thumbnails read from a file before their memory is returned
_FLAT = 0.5  # grey levels of detail below which there is nothing to compare


@dataclass(frozen=True, eq=False)
class Signatures:
    """Signatures of n images; arrays that the search does not need are empty.

    Attributes
    ----------
    digests : (n, 2) uint64
    invariants : (n,) uint64
        Equal for images that are equal under a symmetry.
    hashes : (n,) uint64
        The perceptual hash.
    windows : (n, 9) uint64
        Hashes of the centre, and of windows around it.
    flat : (n,) bool
        Whether there is too little detail to compare.
    thumbnails : (m, 48, 48) uint8
        Mean luminance; possibly memory-mapped.
    indices : (n,) int
        The index of each image's thumbnail.
    """

    digests: NDArray[np.uint64]
    invariants: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    windows: NDArray[np.uint64]
    flat: NDArray[np.bool_]
    thumbnails: NDArray[np.uint8]
    indices: Positions

    @classmethod
    def empty(cls, n: int, search: Search) -> Signatures:
        """Uninitialised signatures; many thumbnails go to a temporary file."""
        near = n if search.near is not None else 0
        shape = (near, SIDE, SIDE)
        thumbnails: NDArray[np.uint8]
        if near * SIDE * SIDE > _IN_MEMORY:
            with tempfile.TemporaryFile() as file:
                thumbnails = np.memmap(file, np.uint8, "w+", shape=shape)
        else:
            thumbnails = np.empty(shape, np.uint8)
        return cls(
            np.empty((n, 2), np.uint64),
            np.empty(n if search.symmetries else 0, np.uint64),
            np.empty(near, np.uint64),
            np.empty((near, 9), np.uint64),
            np.empty(near, bool),
            thumbnails,
            np.arange(near),
        )

    def __len__(self) -> int:
        return len(self.digests)

    def take(self, at: Positions) -> Signatures:
        """The signatures at these positions; thumbnails are not copied."""
        arrays = {
            field.name: getattr(self, field.name)[at]
            for field in fields(self)
            if field.name != "thumbnails" and len(getattr(self, field.name))
        }
        return replace(self, **arrays)

    def joined(self, other: Signatures) -> Signatures:
        """These signatures followed by others."""
        both = {
            field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
            for field in fields(self)
        }
        both["indices"][len(self.indices) :] += len(self.thumbnails)
        return Signatures(**both)

    def packed(self) -> NDArray[np.void]:
        """One record per image with the arrays that the search needs, to be a column of a plan."""
        arrays = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "indices" and len(getattr(self, field.name))
        }
        kinds = [(name, array.dtype, array.shape[1:]) for name, array in arrays.items()]
        records = np.empty(len(self), np.dtype(kinds))
        for name, array in arrays.items():
            records[name] = array
        return records

    @classmethod
    def unpacked(cls, records: NDArray[np.void], search: Search) -> Signatures:
        """The inverse of `packed`."""
        arrays = {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}
        indices = np.arange(len(arrays.get("thumbnails", ())))
        return replace(cls.empty(0, search), **arrays, indices=indices)

    def details(self, at: Positions) -> NDArray[np.float32]:
        """Thumbnails of the images at these positions, reduced to the detail that is compared."""
        from ..kernels.hashing.differences import details

        thumbnails = np.empty((len(at), SIDE, SIDE), np.uint8)
        for start in range(0, len(at), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            thumbnails[some] = self.thumbnails[self.indices[at[some]]]
            self.release()
        return details(thumbnails)

    def release(self) -> None:
        """Return the memory of thumbnails that are in a file; they are read again when needed."""
        if isinstance(self.thumbnails, np.memmap):
            mapped = self.thumbnails._mmap  # type: ignore[attr-defined]
            if platform.can_release(mapped):
                platform.release(mapped)


def measures(dataset: Dataset, search: Search) -> Measures:
    """What to measure while images are read for another reason, so that `measure` need not.

    Nothing if so many signatures are too large to be kept.
    """
    small = bool(search) and len(dataset.source.rows) * SIDE * SIDE <= _IN_MEMORY
    return {_column(search): Packing(search)} if small else {}


def _column(search: Search) -> str:
    return f"signatures of {search}"


def is_measured(plan: Plan, search: Search) -> bool:
    """Whether all rows have what the search needs, because they were measured before."""
    return (_column(search) if search else SAME) in plan.table.take(slice(0)).columns


def measure(plan: Plan, search: Search) -> Signatures:
    """The signatures of all rows, in one pass over the pixels unless they were measured before."""
    known = plan.rows.columns.get(_column(search))
    if known is not None:
        return Signatures.unpacked(known, search)
    signatures = Signatures.empty(len(plan), search)
    for (start, stop), block in plan.each(Measuring(search), "looking for duplicates"):
        for field in fields(Signatures):
            values = getattr(block, field.name)
            if len(values) and field.name != "indices":
                getattr(signatures, field.name)[start:stop] = values
        signatures.release()
    return signatures


@dataclass(frozen=True)
class Measuring:
    """Computes the signatures of a batch."""

    search: Search

    def __call__(self, images: Images) -> Signatures:
        from ..kernels.hashing import perceptual, symmetry, windows
        from ..kernels.hashing.scale import Scale

        images = np.ascontiguousarray(images)
        found = Signatures.empty(len(images), self.search)
        found.digests[:] = digest(images)
        if self.search.symmetries:
            found.invariants[:] = symmetry.invariants(images)
        if self.search.near is not None:
            scale = Scale.of(*images.shape[1:3])
            found.hashes[:] = perceptual.perceptual_hashes(images, self.search.hash)
            found.thumbnails[:] = windows.thumbnails(images)
            found.windows[:] = windows.window_hashes(found.thumbnails, scale.step)
            found.flat[:] = found.details(found.indices).std(axis=(1, 2)) < _FLAT
        return found


@dataclass(frozen=True)
class Packing:
    """Computes the signatures of a batch as a column."""

    search: Search

    def __call__(self, images: Images) -> NDArray[np.void]:
        return Measuring(self.search)(images).packed()
