"""What a file format is to the rest of cellprep: how it is read, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ..arrays import Images, Masks
from ..errors import require as require
from ..plan.rows import Rows
from ..plan.source import Shape, Source

Block = tuple[Images, Masks | None]
"""Some images, in order, and their masks where these are written too."""

Files = dict[str, dict[str, Any]]
"""What a file must be: its `bytes` and its `xxh3_128`, by its name in the folder."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What will be written, as far as it is known before a pixel is made."""

    rows: Rows
    class_names: tuple[str, ...]
    shape: Shape
    rows_per_part: int
    masks: bool

    @property
    def parts(self) -> int:
        return -(-len(self.rows) // self.rows_per_part)

    def part(self, number: int) -> Rows:
        """The rows of one part."""
        start = number * self.rows_per_part
        return self.rows.take(slice(start, start + self.rows_per_part))


@dataclass(frozen=True)
class WrittenPart:
    """One part, under its final names.

    Attributes
    ----------
    files : Files
    columns : dict
        Columns of the index that say where each row lies.
    """

    files: Files
    columns: Mapping[str, NDArray[Any]]


class PartWriter(Protocol):
    """What a format of many files writes with. It travels to the workers by pickle."""

    def begin(self, folder: Path) -> Files:
        """Write what stands beside the parts, before any of them; again, when a run goes on."""

    def write_part(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenPart:
        """Write the images of part `number`, each file under its final name once it is complete."""


class FileWriter(Protocol):
    """What a format of one file writes with."""

    def __call__(
        self,
        path: Path,
        contents: Contents,
        blocks: Iterable[Block],
        finish: Callable[[], tuple[dict[str, Any], bytes]],
    ) -> None:
        """Write everything; `finish` gives manifest and index when all blocks are taken."""


@dataclass(frozen=True)
class Format:
    """One file format; the table of them is `formats.FORMATS`.

    Attributes
    ----------
    read : callable
        `read(path, **options)` gives a Source.
    options : tuple of str
        What else `read` takes.
    looks_like : callable
        Whether a folder without our manifest, or a file, is of this format.
    writer : callable, optional
        `writer(contents)` gives a PartWriter: the format is a folder of parts.
    files : callable, optional
        What a writer, finished or not, may have left in a folder.
    write_file : callable, optional
        A FileWriter: the format is one file.
    members : tuple of str
        The arrays of images and labels in that file.
    digests : mapping
        For files of single rows: the columns of the index with their digests, and before which of
        the names in its column `file` which folder stands.
    digest : callable, optional
        `digest(images)` gives that of the one file of a part which holds these images.
    needs : tuple of str
        Modules that it is written with; the extra that installs them has the format's name.
    encoded : bool
        Whether images are compressed: what they show tells how large they are.
    describe : callable, optional
        `describe(contents)` gives what else `dataset.json` says, under keys of the format's own.
    """

    read: Callable[..., Source]
    options: tuple[str, ...] = ()
    looks_like: Callable[[Path], bool] = lambda path: False
    writer: Callable[[Contents], PartWriter] | None = None
    files: Callable[[Path], list[Path]] = lambda folder: []
    write_file: FileWriter | None = None
    members: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    digest: Callable[[Images], str] | None = None
    needs: tuple[str, ...] = ()
    encoded: bool = False
    describe: Callable[[Contents], Mapping[str, Any]] = lambda contents: {}

    @cached_property
    def is_file(self) -> bool:
        """Whether a data set is one file, and no folder."""
        return self.write_file is not None
