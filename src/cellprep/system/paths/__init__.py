"""Local files and URLs: one set of functions that works on both.

A local path is a `pathlib.Path`. A URL that fsspec knows is a `upath.UPath`, which has the same
methods. Those that match patterns, make folders or delete are not used on URLs: they read file
names as patterns and create buckets.
"""

from .atomic import atomic_write, copy, move
from .deleting import leftovers, remove_folder, remove_tree, unlink
from .fence import fenced
from .listing import (
    digest_of_versions,
    entries,
    file_version,
    file_versions,
    linked_folders,
    list_url,
    names,
    sizes,
    without_times,
)
from .reading import (
    Prefetched,
    local_copy,
    open_binary,
    pieces,
    prefetch,
    read_bytes,
    read_ranges,
)
from .temporary import LOCK, TEMPORARY, WORK
from .urls import (
    anchored,
    as_os_errors,
    as_path,
    canonical,
    check_shared,
    has_folders,
    is_remote,
    make_folder,
    map_files,
    shown,
)

__all__ = [
    "LOCK",
    "TEMPORARY",
    "WORK",
    "Prefetched",
    "anchored",
    "as_os_errors",
    "as_path",
    "atomic_write",
    "canonical",
    "check_shared",
    "copy",
    "digest_of_versions",
    "entries",
    "fenced",
    "file_version",
    "file_versions",
    "has_folders",
    "is_remote",
    "leftovers",
    "linked_folders",
    "list_url",
    "local_copy",
    "make_folder",
    "map_files",
    "move",
    "names",
    "open_binary",
    "pieces",
    "prefetch",
    "read_bytes",
    "read_ranges",
    "remove_folder",
    "remove_tree",
    "shown",
    "sizes",
    "unlink",
    "without_times",
]
