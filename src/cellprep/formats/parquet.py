"""Parquet as the Hugging Face `datasets` library writes and reads it: PNG files in a column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import ClassNames, Positions, check_ids, encode_labels, read_labels
from ..errors import CellprepError
from ..plan.rows import Rows
from ..plan.source import Size
from ..system.paths import as_os_errors, is_remote, open_binary
from .codec import MOST_BYTES, BadFileError, Encoded, check_size
from .encoded import EncodedSource, file_states
from .format import Format
from .index import load_rows, locations_of
from .listing import data_files, data_splits
from .manifest import INDEX
from .opened import history_of
from .parquet_columns import (
    bytes_column,
    features_of,
    image_column,
    is_image,
    label_column,
    mask_column,
)
from .parquet_writer import ParquetWriter, shard_files, shard_name
from .pieces import Shards, check_files
from .written import manifest_of_format, written_format

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_IN_GROUP = 1 << 30
_DAMAGE = (
    *(OSError, ValueError, IndexError, KeyError, TypeError),
    *(NotImplementedError, MemoryError, OverflowError),
)
"""Errors of Arrow for damaged files."""


@dataclass(frozen=True, eq=False)
class ParquetStore:
    """The images in some Parquet files, by row group and row."""

    files: tuple[Path, ...]
    locations: NDArray[np.int64]
    """(n, 3): file, row group, row in the group."""
    image: str
    mask: str | None
    state: str
    is_ours: bool = False
    """Whether cellprep wrote the files."""

    @property
    def has_masks(self) -> bool:
        return self.mask is not None

    def identity(self) -> str:
        return f"parquet {self.state}"

    def name(self, row: int) -> str:
        number, group, in_group = self.locations[row].tolist()
        return f"{self.files[number].name}: row {in_group} of group {group}"

    @cached_property
    def _footers(self) -> Callable[[int], Any]:
        # threads may share a footer, but not an open file
        files = self.files  # a reference to this source would be a cycle
        return lru_cache(maxsize=128)(lambda number: _open(files[number]).metadata)

    def encoded(self, at: Positions, *, masks: bool = False) -> Iterator[Encoded]:
        column = self.mask if masks else self.image
        assert column is not None
        locations = self.locations[at]
        changes = np.flatnonzero((locations[1:, :2] != locations[:-1, :2]).any(axis=1)) + 1
        opened, file = -1, None
        for run in np.split(locations, changes) if len(locations) else ():
            number, group = run[0, :2].tolist()
            if number != opened:
                file, opened = _open(self.files[number], self._footers(number)), number
            try:
                with as_os_errors(self.files[number]):
                    images = _column(file, group, column)
                values = [images[row] for row in run[:, 2].tolist()]
            except _DAMAGE as error:
                remedy = "write the data set" if self.is_ours else "copy it"
                raise CellprepError(
                    f"{str(self.files[number])!r} is damaged: {_one_line(error)}; {remedy} again"
                ) from error
            for value in values:
                data = value.as_buffer() if value.is_valid else b""
                if len(data) > MOST_BYTES:
                    yield BadFileError(
                        f"has {len(data):,} bytes, more than any image that can be read"
                    )
                else:
                    yield bytes(data)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_footers"}


def read(
    path: Path,
    size: int | Size | None = None,
    image: str | None = None,
    label: str | None = None,
    part: str | None = None,
    class_names: ClassNames | None = None,
) -> EncodedSource:
    """The source of a Parquet file, of a folder of them, or of what `write` wrote."""
    resize_to = check_size(size)
    if path.is_dir() and written_format(path) is not None:
        return _read_written(path, resize_to)
    files, unread = data_files(path, _is_table, part)
    if not files:
        raise CellprepError(f"{str(path)!r} has no .parquet files")
    try:
        source = _read_files(path, files, resize_to, image, label, class_names)
        return replace(source, unread=unread)
    except CellprepError:
        raise
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CellprepError(
            f"{str(path)!r} is damaged: {_one_line(error)}; copy it again"
        ) from error


def _read_files(
    path: Path,
    files: list[Path],
    size: Size | None,
    image: str | None,
    label: str | None,
    class_names: ClassNames | None,
) -> EncodedSource:
    found = [_open(file) for file in files]
    schema = found[0].schema_arrow
    for file, opened_file in zip(files, found, strict=True):
        if not opened_file.schema_arrow.equals(schema):
            raise CellprepError(
                f"{str(file)!r} has other columns than {str(files[0])!r}; read one file at a time"
            )
    features = features_of(schema)
    image = image_column(schema, features, image, path)
    label = label_column(schema, features, label, path)
    mask = mask_column(schema)
    columns = {name: bytes_column(schema, name) for name in (image, mask) if name is not None}
    _check_groups(files, found, columns[image])
    groups = [_counts(file.metadata) for file in found]
    locations = _locations(groups)
    n = len(locations)
    if not n:
        raise CellprepError(f"{str(path)!r} contains no images")
    values = _read_column(files, label).to_numpy()
    names = features.get(label, {}).get("names")
    names = names if isinstance(names, list) else None
    codes, known = encode_labels(read_labels(values, n, empty=True), class_names, names)
    rows = Rows.of(check_ids(_ids(files, schema, image), n), codes)
    store = ParquetStore(
        *(tuple(files), locations, columns[image], columns.get("mask"), file_states(files))
    )
    return EncodedSource(store, path, rows, known, size)


def _read_written(path: Path, size: Size | None) -> EncodedSource:
    manifest = manifest_of_format(path, "parquet")
    index, rows = load_rows(path, manifest)
    check_files(path, manifest)
    shards = Shards(path, manifest)
    files = tuple(path / shard_name(number, len(shards)) for number in range(len(shards)))
    locations = locations_of(path, manifest, index, "row_group", "row", least=None)
    mask = "mask.bytes" if manifest.get("masks") else None
    store = ParquetStore(files, locations, "image.bytes", mask, shards.identity(), True)
    height, width, _ = manifest["shape"]
    return EncodedSource(
        *(store, path, rows, tuple(manifest["class_names"]), size),
        *((height, width), history_of(manifest, path)),
    )


def _open(file: Path, footer: Any = None) -> Any:
    """Open a Parquet file; only its footer is read."""
    import pyarrow.parquet as pq

    try:
        if is_remote(file):  # one request per row group
            return pq.ParquetFile(open_binary(file), metadata=footer, pre_buffer=True)
        return pq.ParquetFile(file, metadata=footer)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CellprepError(
            f"{str(file)!r} is not a Parquet file, or a damaged one: {_one_line(error)}; copy it "
            "again"
        ) from error


def _column(file: Any, group: int, name: str) -> Any:
    """The images of a row group, encoded."""
    import pyarrow as pa

    images = file.read_row_group(group, columns=[name]).column(0).combine_chunks()
    if isinstance(images, pa.ChunkedArray):  # more than 2 GiB
        images = images.chunk(0)
    return images.flatten()[0] if pa.types.is_struct(images.type) else images


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _counts(footer: Any) -> NDArray[np.int64]:
    groups = range(footer.num_row_groups)
    return np.array([footer.row_group(group).num_rows for group in groups], np.int64)


def _locations(groups: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(n, 3): file, row group and row of every image, from the rows of each group of each file."""
    tables = [np.zeros((0, 3), np.int64)]
    for number, counts in enumerate(groups):
        group = np.repeat(np.arange(len(counts)), counts)
        row = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
        tables.append(np.stack([np.full(len(group), number), group, row], axis=1))
    return np.concatenate(tables)


# -- files that cellprep did not write --------------------------------------------------------


def _is_table(name: str) -> bool:
    return name.lower().endswith(".parquet") and name != INDEX


def splits(path: Path) -> dict[str, list[str]]:
    """The files of each split."""
    return data_splits(path, _is_table)


def _check_groups(files: list[Path], found: list[Any], column: str) -> None:
    """Refuse row groups that are too large to be read for one image."""
    for file, opened_file in zip(files, found, strict=True):
        footer = opened_file.metadata
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = [group.column(number) for number in range(group.num_columns)]
            sizes = (c.total_uncompressed_size for c in chunks if c.path_in_schema == column)
            size = max(sizes, default=0)
            if size > _MOST_IN_GROUP:
                raise CellprepError(
                    f"{str(file)!r} has row groups of {size:,} bytes, all of which are read for "
                    "one image; rewrite it with fewer rows per group: "
                    "pyarrow.parquet.write_table(table, file, row_group_size=100)"
                )


def _read_column(files: list[Path], name: str) -> pa.ChunkedArray:
    """A column of all files, without pixels."""
    import pyarrow as pa

    chunks = []
    for file in files:
        column = _open(file).read(columns=[name]).column(0)
        chunks += column.chunks
    column = pa.chunked_array(chunks, chunks[0].type)
    if column.null_count:
        raise CellprepError(
            f"column {name!r} of {str(files[0])!r} has {column.null_count} empty values; fill them "
            "or remove the rows"
        )
    return column


def _ids(files: list[Path], schema: pa.Schema, image: str) -> NDArray[Any] | None:
    """The column `id`, or the file names stored with the images, if these are unique."""
    import pyarrow as pa

    candidates = ["id"] if "id" in schema.names else []
    kind = schema.field(image).type
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
        candidates.append(f"{image}.path")
    for name in candidates:
        try:
            column = _read_column(files, name)
        except CellprepError:
            continue  # some values are empty
        while pa.types.is_struct(column.type):
            column = pa.chunked_array([c.field("path") for c in column.chunks])
        whole = pa.types.is_integer(column.type)
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if (whole or text) and not column.null_count and len(column.unique()) == len(column):
            return np.asarray(column.to_numpy())
    return None


def _looks_like(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".parquet"
    if not path.is_dir():
        return False
    deep = [path / "data"] if is_remote(path) else [f for f in path.iterdir() if f.is_dir()]
    found = (file for folder in (path, *deep) if folder.is_dir() for file in folder.iterdir())
    files = (file for file in found if file.suffix == ".parquet" and file.name != INDEX)
    file = min((file for file in files if file.is_file()), key=str, default=None)
    try:  # a table beside class folders has no images
        return file is not None and any(is_image(f.type) for f in _open(file).schema_arrow)
    except _DAMAGE:
        return False


FORMAT = Format(
    read,
    options=("size", "class_names", "image", "label", "part"),
    looks_like=_looks_like,
    splits=splits,
    writer=ParquetWriter,
    files=shard_files,
    encoded=True,
)
