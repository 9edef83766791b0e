"""A written data set against the digests in its own record: which files are damaged."""

from __future__ import annotations

import itertools
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import CellprepError
from ..formats import FORMATS, manifest
from ..formats.manifest import INDEX, MANIFEST, stamp
from ..system import executors
from ..system.paths import as_path, is_remote, open_binary

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

WHOLE = "whole"
_ALONE = -1
"""The part of a file that stands beside the parts."""


@dataclass(frozen=True)
class Damaged:
    """A file that is not what was written.

    Attributes
    ----------
    file : str
        Its name in the data set.
    rows : int
        The images that are in it.
    state : str
        "missing", "cut short", "too long", "wrong bytes", or "unreadable" with the reason.
    part : int
        The part that it belongs to, -1 for what stands beside the parts.
    """

    file: str
    rows: int
    state: str
    part: int = _ALONE


@dataclass(frozen=True)
class Checked:
    """What was looked at, and what of it is damaged."""

    rows: int
    files: int
    damaged: list[Damaged] = field(default_factory=list)

    @property
    def parts(self) -> set[int]:
        """The parts with a file that is damaged."""
        return {found.part for found in self.damaged} - {_ALONE}

    @property
    def index(self) -> bool:
        """Whether the index is damaged."""
        return any(found.file == INDEX for found in self.damaged)


def verify(
    path: str | Path,
    *,
    executor: str = "threads",
    workers: int | None = None,
    progress: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Check every file of a written data set against the size and digest in its record.

    Nothing is changed. The `write` that made the data set makes what is damaged again.

    Parameters
    ----------
    path : str or Path
        What `write` has finished.
    executor : "threads" or "processes"
    workers : int, optional
        Default: the cores that may be used.
    progress : bool
        Show a bar where the output is a terminal.
    storage_options : dict, optional
        What fsspec is to open a URL with. Default: its configuration and the environment.

    Returns
    -------
    pandas.DataFrame
        One row a damaged file, none where all is whole: `file`, its name in the data set; `rows`,
        the images in it; `state`, "missing", "cut short", "too long", "wrong bytes" or
        "unreadable" with the reason. Files that cellprep did not write are not looked at.

    Raises
    ------
    CellprepError
        When the path holds no data set that `write` has finished.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import cellprep as cp
    >>> cells = cp.Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = cp.write(cells, f"{folder}/out")
    ...     (written.path / "shard-00000.npy").unlink()
    ...     print(cp.verify(written.path))
                  file  rows    state
    0  shard-00000.npy     4  missing
    """
    import pandas as pd

    with executors.using(executor, workers, progress):
        found = check(as_path(path, storage_options))
    rows = [(damaged.file, damaged.rows, damaged.state) for damaged in found.damaged]
    return pd.DataFrame(rows, columns=["file", "rows", "state"])


def check(path: Path, *, deep: bool = True) -> Checked:
    """Look at every file of a finished data set, in the way that is set; `deep` reads them all."""
    if not path.exists():
        raise CellprepError(f"there is no file or folder {str(path)!r}")
    if path.is_file():
        return _check_archive(path)
    saved = manifest.load_manifest(path)
    kind = saved["format"]
    if kind not in FORMATS:
        raise CellprepError(f"{str(path)!r} was written as {kind!r}, which is not known here")
    beside, shards = saved.get("files", {}), saved["shards"]
    if not all(isinstance(shard.get("files"), dict) and "rows" in shard for shard in shards):
        raise CellprepError(
            f"{str(path / MANIFEST)!r} does not name the files of its parts; it is damaged"
        )
    damaged = []
    for name, wanted in beside.items():
        found = state(path, name, wanted, deep)
        if found != WHOLE:
            damaged.append(Damaged(name, saved["rows"] if name == INDEX else 0, found))
    index = None
    if FORMATS[kind].digests and not any(found.file == INDEX for found in damaged):
        index = manifest.load_index(path)
    look = _Look(path, Parts(shards, index, FORMATS[kind].digests), deep)
    files = len(beside)
    for seen, found_here in executors.run(look, list(look.parts.numbers), "verifying"):
        files += seen
        damaged += found_here
    return Checked(saved["rows"], files, damaged)


@dataclass(frozen=True)
class Parts:
    """What the parts of a data set must be: their entries in the manifest, and the index."""

    entries: Sequence[Mapping[str, Any]]
    index: pa.Table | None
    digests: Mapping[str, str]

    @cached_property
    def numbers(self) -> dict[executors.Span, int]:
        """The rows of each part, and its number."""
        ends = list(itertools.accumulate(entry["rows"] for entry in self.entries))
        return {span: n for n, span in enumerate(zip([0, *ends], ends, strict=False))}

    def files(self, span: executors.Span) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
        """Name, rows and stamp of every file of a part."""
        table = None if self.index is None else self.index.slice(span[0], span[1] - span[0])
        return files_of(self.entries[self.numbers[span]], table, self.digests)


def files_of(
    entry: Mapping[str, Any], table: pa.Table | None, digests: Mapping[str, str]
) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Name, rows and stamp of every file of a part: those that it has, and those of its rows."""
    for name, wanted in entry["files"].items():
        yield name, entry["rows"], wanted
    for column, folder in digests.items():
        if table is not None and column in table.column_names:
            names, values = table["file"].to_pylist(), table[column].to_pylist()
            for name, digest in zip(names, values, strict=True):
                yield f"{folder}{name}", 1, {"xxh3_128": digest}


@dataclass(frozen=True)
class _Look:
    """Looks at one part: the task of a worker."""

    folder: Path
    parts: Parts
    deep: bool

    def __call__(self, span: executors.Span) -> tuple[int, list[Damaged]]:
        seen, damaged = 0, []
        for name, rows, wanted in self.parts.files(span):
            seen += 1
            found = state(self.folder, name, wanted, self.deep)
            if found != WHOLE:
                damaged.append(Damaged(name, rows, found, self.parts.numbers[span]))
        return seen, damaged


def state(folder: Path, name: str, wanted: Mapping[str, Any], deep: bool = True) -> str:
    """What a file is, beside what it was: "whole", or what is wrong with it."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise CellprepError(
            f"{str(folder / MANIFEST)!r} names a file outside its folder: {name!r}; it is damaged "
            "or not from cellprep"
        )
    try:
        size = (folder / name).stat().st_size
        if size != wanted.get("bytes", size):
            return "cut short" if size < wanted["bytes"] else "too long"
        if deep and stamp(folder / name)["xxh3_128"] != wanted["xxh3_128"]:
            return "wrong bytes"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError as error:
        return f"unreadable: {error.strerror or error}"
    return WHOLE


def reads_quickly(path: Path) -> bool:
    """Whether files lie on this machine, and not behind a network that bills for reading."""
    return not is_remote(path)


def _check_archive(path: Path) -> Checked:
    """A zip archive holds a checksum of every member."""
    try:
        with open_binary(path) as stream, zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        with open_binary(path) as file:
            if file.read(4) != b"PK\x03\x04":
                raise CellprepError(f"{str(path)!r} is not a data set: {error}") from None
        return Checked(0, 1, [Damaged(path.name, 0, "cut short")])
    if MANIFEST not in names:
        raise CellprepError(f"{str(path)!r} was not written by cellprep: it holds no {MANIFEST}")
    look = _LookInside(path, tuple(names))
    spans = executors.cut(len(names), 1)
    states = list(executors.run(look, spans, "verifying"))
    if states[names.index(MANIFEST)] != WHOLE:
        return Checked(0, len(names), [Damaged(MANIFEST, 0, states[names.index(MANIFEST)])])
    saved = manifest.load_manifest(path)
    held = FORMATS[saved["format"]].members if saved["format"] in FORMATS else ()
    arrays = (*held, "ids", "copies", "class_names", *(["masks"] if saved.get("masks") else []))
    wanted = {INDEX, *(f"{name}.npy" for name in arrays)}
    found = dict.fromkeys(sorted(wanted - set(names)), "missing")
    found |= {n: s for n, s in zip(names, states, strict=True) if s != WHOLE}
    damaged = [Damaged(name, saved["rows"], what) for name, what in found.items()]
    return Checked(saved["rows"], len(wanted | set(names)), damaged)


@dataclass(frozen=True)
class _LookInside:
    """Reads one member of an archive to its end, where its checksum is compared."""

    path: Path
    names: tuple[str, ...]

    def __call__(self, span: executors.Span) -> str:
        try:
            with (
                open_binary(self.path) as stream,
                zipfile.ZipFile(stream) as archive,
                archive.open(self.names[span[0]]) as file,
            ):
                while file.read(1 << 20):
                    pass
        except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError):
            return "wrong bytes"
        except OSError as error:
            return f"unreadable: {error.strerror or error}"
        return WHOLE
