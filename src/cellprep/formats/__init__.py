"""File formats, one file each: how a data set is stored on disk.

Another package adds a format by an entry point of the group `cellprep.formats`; see
`cellprep.formats.format`.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import CellprepError
from ..plan.rows import Rows
from ..plan.source import BaseSource, History, Source
from ..system.plugins import Registry
from . import folder, medmnist, npz, parquet, shards, tfrecord, webdataset, zarr
from .format import Block, Contents, FileWriter, Format, ShardWriter, WrittenShard, images_of
from .index import load_rows, locations_of
from .opened import history_of
from .pieces import Shards
from .stamps import Files, save, stamp
from .written import manifest_of_format

__all__ = [
    "FORMATS",
    "BaseSource",
    "Block",
    "Contents",
    "FileWriter",
    "Files",
    "Format",
    "History",
    "Rows",
    "ShardWriter",
    "Shards",
    "Source",
    "WrittenShard",
    "format_of",
    "history_of",
    "images_of",
    "load_rows",
    "locations_of",
    "manifest_of_format",
    "save",
    "stamp",
]

FORMATS: Registry[Format] = Registry(
    "cellprep.formats",
    {
        "shards": shards.FORMAT,
        "medmnist": medmnist.FORMAT,  # before npz, of which it is a special case
        "npz": npz.FORMAT,
        "folder": folder.FORMAT,
        "zarr": zarr.FORMAT,
        "tfrecord": tfrecord.FORMAT,
        "webdataset": webdataset.FORMAT,
        "parquet": parquet.FORMAT,
    },
)
"""Every format by its name, those of installed packages included."""


def format_of(name: object, path: Path) -> Format:
    """The format of this name, as which the data set at `path` was written."""
    if not isinstance(name, str) or name not in FORMATS:
        raise CellprepError(
            f"{str(path)!r} was written as {name!r}, which is not installed; the formats are "
            f"{', '.join(FORMATS)}"
        )
    return FORMATS[name]
