"""Where pixels come from: the interface of every source, and the source of arrays in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol, cast

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
from ..system.paths import shown
from .rows import Rows
from .table import Stored, Table

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class History:
    """How the images of a written data set were made.

    Attributes
    ----------
    steps : tuple of dict
        The saved form of every step, in order.
    multiplied_by : str or None
        The step that balanced or augmented the data set, which must then not be split.
    stages : tuple of dict
        The steps that change pixels, with the names under which the index records them.
    path : Path or None
        The data set whose index records what was done to each image.
    profile : dict or None
        The saved form of its profile.
    opened : Opened or None
        The data set as it was when it was opened.
    about : dict
        What its writer stated about it: licence, source and so on.
    """

    steps: tuple[Mapping[str, Any], ...] = ()
    multiplied_by: str | None = None
    stages: tuple[Mapping[str, Any], ...] = ()
    path: Path | None = None
    profile: Mapping[str, Any] | None = None
    opened: Opened | None = None
    about: Mapping[str, str] = field(default_factory=dict)


class Opened(Protocol):
    """A data set that was opened, and may have been replaced since."""

    def check(self) -> None:
        """Raise if the path contains another data set now."""

    def was_checked_lately(self) -> bool:
        """Whether the last check was less than a millisecond ago."""


NO_HISTORY = History()


Size = tuple[int, int]
"""(height, width)."""


Unread = tuple[tuple[str, str], ...]
"""Name and cause of everything in an input that is not read."""


class Source(Protocol):
    """Images that can be read in any order, with their rows.

    Implementations inherit from `BaseSource`, which answers the questions that few answer
    differently.
    """

    @property
    def rows(self) -> Rows: ...
    @property
    def table(self) -> Table:
        """The same rows, for a source whose rows are computed when they are needed."""

    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> Shape:
        """(height, width, 3) of every image."""

    @property
    def path(self) -> Path | None:
        """The file or folder it was read from, if any."""

    @property
    def history(self) -> History: ...
    @property
    def trusted(self) -> bool:
        """False where an image may turn out to be unreadable."""

    @property
    def has_masks(self) -> bool:
        """Whether masks of the cells come with the images: annotated, or from an earlier write."""

    def identity(self) -> str:
        """A text that changes when the images change."""

    def images(self, at: Positions) -> Images:
        """The images at these positions, or a BadImagesError that names all bad ones.

        A new array, or a read-only view.
        """

    def image_at(self, row: int) -> Images:
        """One image, (height, width, 3), as `images_of` reads it, for loops over rows."""

    def masks(self, at: Positions) -> Masks:
        """A new array of the masks at these positions; an empty mask means that none is known."""

    def location(self) -> str:
        """Where the images are, for people: "in memory", "from PATH"."""

    def row_name(self, row: int) -> str:
        """File and position of a row, for people; empty for arrays in memory."""

    def image_sizes(self) -> list[Size | None]:
        """Size of every stored image, by its header alone; None where that is unreadable."""

    def resizes(self) -> bool:
        """Whether images are resized to `shape` when they are read."""

    def holds_files(self) -> bool:
        """Whether each image is a file of its own below `path`, which can be copied."""

    @property
    def unread(self) -> Unread:
        """What the input contains besides, and why it is not read."""

    def includes(self, place: PurePath) -> bool:
        """Whether a place below `path` belongs to the input, so that nothing is written there."""

    def sizes_text(self) -> str:
        """The sizes of the images, for people, as far as they are known."""

    def middle(self, side: int) -> Source | None:
        """The source of the middle square of each image, which may have any size, if it can."""

    def corners(self, at: Positions) -> dict[str, NDArray[np.int32]]:
        """`top` and `left` of these squares, once they were read; else nothing."""

    def digested(self) -> DigestedSource | None:
        """The source, if digests of consecutive images identify it; else None.

        Such images are not digested before they are written: their files are digested anyway.
        """


class DigestedSource(Protocol):
    """A source whose identity follows from the digests of all its images, span by span."""

    def digests(
        self, spans: Sequence[executors.Span], digest: Callable[[NDArray[Any]], str]
    ) -> list[str]:
        """The digest of the images of each span."""

    def identity_of(self, digests: Iterable[str]) -> str:
        """The identity, from the digests of all spans."""


@dataclass(frozen=True, eq=False)
class BaseSource:
    """What most sources answer; see `Source`."""

    unread: Unread = field(default=(), kw_only=True)

    @property
    def table(self: Source) -> Table:
        return Stored(self.rows)

    def image_at(self: Source, row: int) -> Images:
        return cast(Images, images_of(self, np.array([row]))[0])

    def masks(self: Source, at: Positions) -> Masks:
        raise NotImplementedError("the images came without masks")

    def location(self: Source) -> str:
        return "from another library" if self.path is None else f"from {shown(self.path)}"

    def row_name(self: Source, row: int) -> str:
        return "" if self.path is None else f"{self.path.name}: row {row}"

    def image_sizes(self: Source) -> list[Size | None]:
        return [self.shape[:2]] * len(self.table)

    def resizes(self) -> bool:
        return False

    def holds_files(self) -> bool:
        return False

    def includes(self, place: PurePath) -> bool:
        return True

    def sizes_text(self: Source) -> str:
        return size_text(self.shape[:2])

    def middle(self, side: int) -> Source | None:
        return None

    def corners(self, at: Positions) -> dict[str, NDArray[np.int32]]:
        return {}

    def digested(self) -> DigestedSource | None:
        return None


def middle_from(length: Any, side: int) -> Any:
    """Where the middle `side` pixels of a row or column begin.

    >>> middle_from(363, 200)
    81
    """
    return length // 2 - side // 2


def corners_of(
    stored: Mapping[int, Size], at: Positions, side: int
) -> dict[str, NDArray[np.int32]]:
    """`top` and `left` of the middle squares of images whose stored sizes are known."""
    sizes = np.array([stored[row] for row in at.tolist()], np.int32).reshape(-1, 2)
    return {name: middle_from(sizes[:, axis], side) for axis, name in enumerate(("top", "left"))}


def size_text(size: Size) -> str:
    """
    >>> size_text((360, 363))
    '360x363'
    """
    height, width = size
    return f"{height}x{width}"


def images_of(source: Source, at: Positions) -> Images:
    """The images of a source at these positions, if it still is the data set that was opened.

    Raises
    ------
    CellprepError
        If its path contains another data set now, even if that is why nothing could be read.
    """
    try:
        return source.images(at)
    finally:
        check_unchanged(source)


def check_unchanged(source: Source) -> None:
    """Raise if the path of a source contains another data set than when it was opened."""
    opened = source.history.opened
    if opened is not None:
        opened.check()


def frequencies(sizes: Iterable[Size | None]) -> dict[Size, int]:
    """How many images have each size, the most frequent first; unreadable ones are left out."""
    return dict(Counter(filter(None, sizes)).most_common())


@dataclass(frozen=True, eq=False)
class ArraySource(BaseSource):
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

    def location(self) -> str:
        return super().location() if self.path else "in memory"

    def digested(self) -> DigestedSource | None:
        return self if self.path is None and not self.has_masks else None

    def identity(self) -> str:
        return self.identity_of(self.digests(executors.cut(len(self.array), 256), _digest))

    def digests(
        self, spans: Sequence[executors.Span], digest: Callable[[NDArray[Any]], str]
    ) -> list[str]:
        """The digest of the images of each span, and of their masks."""
        arrays = [array for array in (self.array, self.mask_array) if array is not None]

        def of(span: executors.Span) -> str:
            return " ".join(digest(np.ascontiguousarray(array[slice(*span)])) for array in arrays)

        with ThreadPoolExecutor(executors.usable_cores()) as pool:
            return list(pool.map(of, spans))

    def identity_of(self, digests: Iterable[str]) -> str:
        """The identity, from the digests of all spans."""
        digest = xxhash.xxh3_128()
        for number, of_span in enumerate(digests):
            digest.update((f" {of_span}" if number else of_span).encode())
        found = digest.hexdigest()
        return f"array {self.array.shape} {found}{' masks' if self.has_masks else ''}"

    def masks(self, at: Positions) -> Masks:
        assert self.mask_array is not None
        return np.asarray(self.mask_array[at], bool)

    def images(self, at: Positions) -> Images:
        images = np.ascontiguousarray(take(self.array, at))
        images.flags.writeable = not np.may_share_memory(images, self.array)
        return images


def _digest(array: NDArray[Any]) -> str:
    return xxhash.xxh3_128_hexdigest(array.data)
