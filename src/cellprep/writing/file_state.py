"""The state of a written file: intact, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CellprepError
from ..formats.manifest import MANIFEST
from ..formats.stamps import stamp
from ..system.paths import is_remote
from ..system.platform import is_below

if TYPE_CHECKING:
    import pyarrow as pa

INTACT = "intact"


def file_state(folder: Path, name: str, expected: Mapping[str, Any], deep: bool = True) -> str:
    """INTACT if a file has its stamp, else what is wrong; without `deep` its size is compared."""
    if not is_below(name):
        raise CellprepError(
            f"{str(folder / MANIFEST)!r} names a file outside its folder: {name!r}; it is damaged "
            "or not from cellprep"
        )
    try:
        size = (folder / name).stat().st_size
        if size != expected.get("bytes", size):
            return "cut short" if size < expected["bytes"] else "too long"
        if deep and stamp(folder / name)["xxh3_128"] != expected["xxh3_128"]:
            return "wrong bytes"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError as error:
        return f"unreadable: {error.strerror or error}"
    return INTACT


def files_of_shard(
    entry: Mapping[str, Any], table: pa.Table | None, digests: Mapping[str, str]
) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Name, rows and stamp of every file of a shard: its own files, and those of its rows.

    Parameters
    ----------
    entry : dict
        Of the shard in the manifest.
    table : pyarrow.Table, optional
        Its rows of the index.
    digests : mapping of str to str
        See `Format.digests`.
    """
    for name, expected in entry["files"].items():
        yield name, entry["rows"], expected
    for column, prefix in digests.items():
        if table is not None and column in table.column_names:
            names, values = table["file"].to_pylist(), table[column].to_pylist()
            for name, digest in zip(names, values, strict=True):
                yield f"{prefix}{name}", 1, {"xxh3_128": digest}


def reads_fast(path: Path) -> bool:
    """Whether files are local, so that reading them is fast and free of charge."""
    return not is_remote(path)
