"""Sources of encoded images (PNG, JPEG, ...) that are stored many to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from ..arrays import Images, Masks, Positions
from ..errors import BadImagesError, CellprepError
from ..plan.rows import Rows
from ..plan.source import NO_HISTORY, BaseSource, History, Shape, Size, frequencies, size_text
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


def usual_shape(
    n: int, files: Callable[[Positions], Iterable[tuple[str, Path | Encoded]]]
) -> Shape:
    """The shape of most of n images, judged by the headers of 256 of them, evenly spaced.

    Parameters
    ----------
    n : int
    files : callable
        The name and file of the images at some positions.
    """
    at = np.unique(np.linspace(0, n - 1, min(n, _SAMPLED)).astype(np.int64))
    sizes = frequencies(size_by_header(file) for _, file in files(at))
    if not sizes:
        return _first_shape(item for row in range(n) for item in files(np.array([row])))
    (usual, count), *_ = sizes.items()
    if 2 * count <= sum(sizes.values()):
        raise CellprepError(
            f"the images have several sizes, such as {size_text(usual)} and "
            f"{size_text([*sizes][-1])}, none of them that of most; pass size= (--size) to bring "
            "all to one size"
        )
    return *usual, 3


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

    @property
    def trusted(self) -> bool:
        return self.known is not None

    @property
    def has_masks(self) -> bool:
        return self.store.has_masks

    @cached_property
    def shape(self) -> Shape:
        """As requested, as written, or that of most images."""
        size = self.size or self.known
        return usual_shape(len(self.rows), self._named) if size is None else (*size, 3)

    def _named(self, at: Positions) -> Iterator[tuple[str, Path | Encoded]]:
        names = (self.store.name(row) for row in at.tolist())
        return zip(names, self.store.encoded(at), strict=True)

    def row_name(self, row: int) -> str:
        return self.store.name(row)

    def image_sizes(self) -> list[Size | None]:
        return [size_by_header(file) for file in self.store.encoded(np.arange(len(self.rows)))]

    def resizes(self) -> bool:
        return self.size is not None

    def identity(self) -> str:
        return f"{self.store.identity()} {self.size}"

    def images(self, at: Positions) -> Images:
        out = np.empty((len(at), *self.shape), np.uint8)
        bad: dict[int, str] = {}
        files = self.store.encoded(at)
        for position, (row, file) in enumerate(zip(at.tolist(), files, strict=True)):
            try:
                out[position], _ = decode_to_shape(file, self.size, self.shape)
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
