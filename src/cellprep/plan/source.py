"""Where pixels come from: the interface that every format gives, and the arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xxhash
from numpy.typing import ArrayLike, NDArray

from ..arrays import (
    Images,
    Masks,
    Positions,
    check_ids,
    check_images,
    check_masks,
    encode_labels,
    read_labels,
    take,
)
from ..system import executors
from .rows import Rows

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class History:
    """What was done to the images before they were written.

    Attributes
    ----------
    steps : tuple of dict
        The saved form of every step, in order.
    multiplied_by : str or None
        The step that balanced or augmented: a data set that has one is not to be split.
    stages : tuple of dict
        Those of the steps that change pixels, by the names that their records have.
    path : Path or None
        Where the record of the images lies.
    """

    steps: tuple[Mapping[str, Any], ...] = ()
    multiplied_by: str | None = None
    stages: tuple[Mapping[str, Any], ...] = ()
    path: Path | None = None


NO_HISTORY = History()


class Source(Protocol):
    """Images that can be read in any order, with their rows."""

    @property
    def rows(self) -> Rows: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> Shape:
        """(height, width, 3) of every image."""

    @property
    def path(self) -> Path | None:
        """Where it was read from, if it was."""

    @property
    def history(self) -> History: ...
    @property
    def trusted(self) -> bool:
        """False where an image may turn out unreadable when it is read."""

    @property
    def has_masks(self) -> bool:
        """Whether there are masks of the cells, drawn or of an earlier write."""

    def identity(self) -> str:
        """A text that changes when the images change."""

    def images(self, at: Positions) -> Images:
        """The images at these places, or a BadImagesError that names all bad ones.

        A new array, or a read-only view of what the source holds.
        """

    def masks(self, at: Positions) -> Masks:
        """A new array of the masks at these places, where there are any; empty: none is known."""


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Images in one array, in memory or memory-mapped."""

    array: Images
    rows: Rows
    class_names: tuple[str, ...]
    path: Path | None = None
    history: History = NO_HISTORY
    trusted: bool = True
    mask_array: Masks | None = None

    @classmethod
    def of(
        cls,
        images: ArrayLike,
        labels: ArrayLike,
        class_names: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        masks: ArrayLike | None = None,
    ) -> ArraySource:
        """The checked arrays as a source; see `Dataset.from_arrays`."""
        checked = check_images(images)
        n = len(checked)
        codes, names = encode_labels(
            read_labels(labels, n, empty=class_names is not None), class_names
        )
        together = None if groups is None else check_ids(groups, n, "groups")
        rows = Rows.of(check_ids(ids, n), codes, groups=together)
        given = None if masks is None else check_masks(masks, checked)
        return cls(checked, rows, names, mask_array=given)

    @property
    def shape(self) -> Shape:
        _, height, width, channels = self.array.shape
        return height, width, channels

    @property
    def has_masks(self) -> bool:
        return self.mask_array is not None

    def identity(self) -> str:
        return self.identity_of(self.digests(executors.cut(len(self.array), 256), _digest))

    def digests(
        self, spans: Sequence[executors.Span], digest: Callable[[NDArray[Any]], str]
    ) -> list[str]:
        """The digest of each span of images, and of their masks."""
        held = [array for array in (self.array, self.mask_array) if array is not None]

        def of(span: executors.Span) -> str:
            return " ".join(digest(np.ascontiguousarray(array[slice(*span)])) for array in held)

        with ThreadPoolExecutor(executors.usable_cores()) as pool:
            return list(pool.map(of, spans))

    def identity_of(self, digests: Iterable[str]) -> str:
        """An identity, from the digests of all spans."""
        known = xxhash.xxh3_128_hexdigest(" ".join(digests).encode())
        return f"array {self.array.shape} {known}{' masks' if self.has_masks else ''}"

    def masks(self, at: Positions) -> Masks:
        assert self.mask_array is not None
        return np.asarray(self.mask_array[at], bool)

    def images(self, at: Positions) -> Images:
        images = np.ascontiguousarray(take(self.array, at))
        images.flags.writeable = not np.may_share_memory(images, self.array)
        return images


def _digest(array: NDArray[Any]) -> str:
    return xxhash.xxh3_128_hexdigest(array.data)
