"""The interface of a file format: how it is recognised, read and written.

A format is one `Format` object. It either writes one file (`write_file`), or a folder of shards
(`writer`), each of which is complete or absent: the writer cuts the rows into shards, has workers
write them in any order, and resumes, verifies and repairs shard by shard. The manifest
`dataset.json` and the index `index.parquet`, or the pieces of a large set, are written for it; its
shards add columns to the index that locate each row. `Shards(path, manifest)` has the entry of each
shard, and `load_rows(path, manifest)` the index, however they are stored.

Another package adds a format by an entry point of the group `cellprep.formats`, in its
`pyproject.toml`:

    [project.entry-points."cellprep.formats"]
    raw = "my_package:FORMAT"

`read`, `write`, `verify` and the command line then know "raw". Everything that such a package needs
can be imported from `cellprep.formats`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ..arrays import Images, Masks
from ..plan.rows import Rows
from ..plan.source import Shape, Source
from ..plan.table import Table
from .stamps import Files

UNLABELLED = "?"
"""The class of images that are read without labels."""

Block = tuple[Images, Masks | None]
"""Consecutive images, and their masks where these are written too."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What will be written, as far as it is known before an image is computed.

    Attributes
    ----------
    table : Table
        Ids, copy numbers, labels and groups of all images, in order.
    class_names : tuple of str
    shape : (height, width, 3)
    rows_per_shard : int
        Rows of every shard but the last.
    masks : bool
        Whether masks are written too.
    """

    table: Table
    class_names: tuple[str, ...]
    shape: Shape
    rows_per_shard: int
    masks: bool

    @property
    def rows(self) -> Rows:
        """All rows in memory; of many millions, `shard_rows` computes those of one shard."""
        return self.table.rows

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-len(self.table) // self.rows_per_shard)

    def shard_rows(self, number: int) -> Rows:
        """The rows of one shard."""
        start = number * self.rows_per_shard
        return self.table.take(slice(start, start + self.rows_per_shard))


@dataclass(frozen=True)
class WrittenShard:
    """One shard whose files have their final names.

    Attributes
    ----------
    files : dict
        The stamp (size and digest) of each file, by its name in the folder.
    columns : dict of array
        Columns of the index that locate each row of the shard.
    """

    files: Files
    columns: Mapping[str, NDArray[Any]]


class ShardWriter(Protocol):
    """Writes a folder of shards; it is sent to the workers by pickle."""

    def begin(self, folder: Path) -> Files:
        """Write the files that belong to no shard, and return their stamps.

        Called before any shard is written, and again when a write is resumed.
        """

    def write_shard(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenShard:
        """Write a shard from its images; each file gets its final name when it is complete."""


class FileWriter(Protocol):
    """Writes a data set that is one file."""

    def __call__(
        self,
        path: Path,
        contents: Contents,
        blocks: Iterable[Block],
        finish: Callable[[], tuple[dict[str, Any], bytes]],
    ) -> None:
        """Write everything; `finish` returns manifest and index once all blocks are consumed."""


@dataclass(frozen=True)
class Format:
    """One file format. Only `read`, and `writer` or `write_file`, are needed.

    Attributes
    ----------
    read : callable
        `read(path, **options)` returns a Source.
    options : tuple of str
        Names of the options of `read`; `size` and `masks` are those of `cellprep.read`.
    looks_like : callable
        Whether a file, or a folder without a manifest, has this format.
    writer : callable, optional
        `writer(contents)` returns a ShardWriter, for a format that is a folder.
    files : callable, optional
        All files that a writer, finished or not, may have left in a folder. `overwrite=True`
        deletes these and no others.
    write_file : callable, optional
        A FileWriter, for a format that is one zip file with the entries `dataset.json` and
        `index.parquet`.
    splits : callable, optional
        The files or arrays of each split in a path that cellprep did not write; `read` then has an
        option `part`, the name of one of them. See `formats.splits` for the names.
    members : tuple of str
        The arrays of images and labels in that file.
    digests : mapping of str to str
        For formats with one file per row: columns of the index with the digests of files, and the
        prefix of their names, which are in the column `file`.
    digest : callable, optional
        `digest(images)` returns the digest of the file of a shard of these images, for a format
        whose shards are one file each.
    needs : tuple of str
        Modules needed for writing. An extra of cellprep with the name of the format installs them.
    encoded : bool
        Whether images are compressed, so that their size depends on what they show.
    describe : callable, optional
        `describe(contents)` returns further entries of the manifest.
    """

    read: Callable[..., Source]
    options: tuple[str, ...] = ()
    looks_like: Callable[[Path], bool] = lambda path: False
    splits: Callable[[Path], Mapping[str, Sequence[str]]] | None = None
    writer: Callable[[Contents], ShardWriter] | None = None
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
        """Whether a data set is one file, not a folder."""
        return self.write_file is not None


def images_of(blocks: Iterable[Block], masks: list[Masks]) -> Iterator[Images]:
    """The images of each block; its masks, if any, are appended to `masks`."""
    for images, found in blocks:
        yield images
        if found is not None:
            masks.append(found)
