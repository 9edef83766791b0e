"""Sources of encoded images (PNG, JPEG, ...) that are stored many to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Masks, Positions
from ..errors import BadImagesError, CellprepError
from ..plan.rows import Rows
from ..plan.source import (
    NO_HISTORY,
    BaseSource,
    History,
    Shape,
    Size,
    corners_of,
    frequencies,
    size_text,
)
from ..system.paths import digest_of_versions, file_version, map_files
from .codec import (
    BadFileError,
    Encoded,
    decode,
    decode_mask,
    decode_to_shape,
    size_by_header,
)


class Store(Protocol):
    """Files that contain many encoded images, any of which can be read."""

    @property
    def has_masks(self) -> bool:
        """Whether there are masks."""

    def encoded(self, at: Positions, *, masks: bool = False) -> Iterator[Path | Encoded]:
        """The file of each image, or mask, in order; no bytes where there is no mask."""

    def name(self, row: int) -> str:
        """File and position of a row, for people."""

    def identity(self) -> str:
        """A text that changes when the files change."""


_SAMPLED = 256
"""Headers that are read to learn the usual size."""


@dataclass(frozen=True)
class UsualSize:
    """The size of most of n images, judged by the headers of 256 of them, evenly spaced.

    Attributes
    ----------
    shape : Shape
    sizes : int
        How many sizes these 256 have.
    is_sample : bool
        Whether there are more images.
    """

    shape: Shape
    sizes: int
    is_sample: bool

    @classmethod
    def of(
        cls, n: int, files: Callable[[Positions], Iterable[tuple[str, Path | Encoded]]]
    ) -> UsualSize:
        """That of the images whose names and files `files` gives by position."""
        at = np.unique(np.linspace(0, n - 1, min(n, _SAMPLED)).astype(np.int64))
        sizes = frequencies(size_by_header(file) for _, file in files(at))
        if not sizes:
            every = (item for row in range(n) for item in files(np.array([row])))
            return cls(_first_shape(every), 1, len(at) < n)
        (usual, count), *_ = sizes.items()
        if 2 * count <= sum(sizes.values()):
            raise CellprepError(
                f"the images have several sizes, such as {size_text(usual)} and "
                f"{size_text([*sizes][-1])}, none of them that of most; pass size= (--size) to "
                "bring all to one size, or begin with a Crop around the image centre"
            )
        return cls((*usual, 3), len(sizes), len(at) < n)

    def __str__(self) -> str:
        """
        >>> str(UsualSize((96, 96, 3), 1, False)), str(UsualSize((96, 96, 3), 2, True))
        ('96x96', '96x96 and other sizes')
        >>> str(UsualSize((96, 96, 3), 1, True))
        '96x96 (judged by 256)'
        """
        usual = size_text(self.shape[:2])
        if self.sizes > 1:
            return f"{usual} and other sizes"
        return f"{usual} (judged by {_SAMPLED})" if self.is_sample else usual


def _first_shape(files: Iterable[tuple[str, Path | Encoded]]) -> Shape:
    """The shape of the first image that can be decoded."""
    causes = {}
    for name, file in files:
        try:
            height, width, channels = decode(file, None).shape
        except BadFileError as error:
            causes[name] = str(error)
        else:
            return height, width, channels
    raise BadImagesError(causes, "No image is left")


@dataclass(frozen=True, eq=False)
class EncodedSource(BaseSource):
    """Images of a Store, decoded when they are read.

    Those that cellprep wrote have a known shape, and are trusted.
    """

    store: Store
    path: Path | None
    rows: Rows
    class_names: tuple[str, ...]
    size: Size | None
    known: Size | None = None
    history: History = NO_HISTORY
    window: int | None = None
    """The side of the middle square that alone is read of each image."""

    @property
    def trusted(self) -> bool:
        return self.known is not None

    @property
    def has_masks(self) -> bool:
        return self.store.has_masks

    @property
    def shape(self) -> Shape:
        """As requested, as written, or that of most images."""
        if self.window is not None:
            return self.window, self.window, 3
        size = self.size or self.known
        return self._usual.shape if size is None else (*size, 3)

    @cached_property
    def _usual(self) -> UsualSize:
        return UsualSize.of(len(self.rows), self._named)

    @cached_property
    def _stored(self) -> dict[int, Size]:
        """The stored size of each image of which the middle was read in this process."""
        return {}

    def sizes_text(self) -> str:
        fixed = self.size or self.known or self.window
        return super().sizes_text() if fixed else str(self._usual)

    def _named(self, at: Positions) -> Iterator[tuple[str, Path | Encoded]]:
        names = (self.store.name(row) for row in at.tolist())
        return zip(names, self.store.encoded(at), strict=True)

    def row_name(self, row: int) -> str:
        return self.store.name(row)

    def image_sizes(self) -> list[Size | None]:
        return [size_by_header(file) for file in self.store.encoded(np.arange(len(self.rows)))]

    def resizes(self) -> bool:
        return self.size is not None

    def middle(self, side: int) -> EncodedSource | None:
        fixed = self.size is not None or self.window is not None or self.has_masks or self.trusted
        return None if fixed else replace(self, window=side)

    def corners(self, at: Positions) -> dict[str, NDArray[np.int32]]:
        return {} if self.window is None else corners_of(self._stored, at, self.window)

    def identity(self) -> str:
        return f"{self.store.identity()} {self.size}"

    def images(self, at: Positions) -> Images:
        out = np.empty((len(at), *self.shape), np.uint8)
        bad: dict[int, str] = {}
        files = self.store.encoded(at)
        for position, (row, file) in enumerate(zip(at.tolist(), files, strict=True)):
            try:
                out[position], stored = decode_to_shape(file, self.size, self.shape, self.window)
                if self.window is not None:
                    self._stored[row] = stored
            except BadFileError as error:
                bad[row] = str(error)
        if self.has_masks and not self.trusted:  # an image whose mask cannot be used is a bad one
            bad_masks: dict[int, str] = {}
            for _ in self._masks(at, bad_masks):
                pass
            bad |= {row: cause for row, cause in bad_masks.items() if row not in bad}
        if bad:
            raise self._error(bad)
        return out

    def masks(self, at: Positions) -> Masks:
        bad: dict[int, str] = {}
        found = list(self._masks(at, bad))
        if bad:
            raise self._error(bad)
        return np.stack(found) if found else np.zeros((0, *self.shape[:2]), bool)

    def _masks(self, at: Positions, bad: dict[int, str]) -> Iterator[Masks]:
        """The mask of each row; the causes of unusable ones are added to `bad`."""
        shape = self.shape[:2]
        for row, file in zip(at.tolist(), self.store.encoded(at, masks=True), strict=True):
            mask = np.zeros(shape, bool)
            try:
                if file:
                    mask = decode_mask(file, shape, resize=self.size is not None)
            except BadFileError as error:
                bad[row] = str(error)
            yield mask

    def _error(self, bad: dict[int, str]) -> CellprepError:
        causes = {self.store.name(row): cause for row, cause in bad.items()}
        if not self.trusted:
            return BadImagesError(causes, places=[*bad])
        name, cause = next(iter(causes.items()))
        return CellprepError(f"{name} in {str(self.path)!r} {cause}; write the data set again")


def file_states(files: Iterable[Path]) -> str:
    """A text that changes when the files' names, sizes or times do (`digest_of_versions`)."""
    paths = list(files)
    versions = map_files(file_version, paths)
    return digest_of_versions(zip([file.name for file in paths], versions, strict=True))
