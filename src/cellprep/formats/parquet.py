"""Parquet as the Hugging Face `datasets` library writes and opens it: PNG files in a column."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions, check_ids, encode_labels, read_labels
from ..errors import CellprepError, nearest, one_of
from ..plan.rows import Rows
from ..system.paths import as_os_errors, atomic_write, is_remote, make_folder, names, open_binary
from .encoded import (
    MOST_BYTES,
    BadFileError,
    Encoded,
    EncodedSource,
    check_size,
    encode,
    encode_mask,
    file_states,
)
from .format import Block, Contents, Files, Format, WrittenPart
from .manifest import (
    INDEX,
    check_files,
    digests_of,
    history_of,
    load_written,
    places_of,
    stamp,
    written_format,
)

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 16
"""A row group is what is read for one image: more rows cost time, fewer room in the footer."""
_MOST_IN_GROUP = 1 << 30
_DAMAGE = (
    *(OSError, ValueError, IndexError, KeyError, TypeError),
    *(NotImplementedError, MemoryError, OverflowError),
)
"""What Arrow raises on damaged files."""
_PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}


@dataclass(frozen=True, eq=False)
class ParquetStore:
    """Where each image lies in some Parquet files: a row of a row group."""

    files: tuple[Path, ...]
    places: NDArray[np.int64]
    """(n, 3): file, row group, row in the group."""
    image: str
    mask: str | None
    state: str
    known: bool = False

    @property
    def has_masks(self) -> bool:
        return self.mask is not None

    def identity(self) -> str:
        return f"parquet {self.state}"

    def name(self, row: int) -> str:
        number, group, place = self.places[row].tolist()
        return f"{self.files[number].name}: row {place} of group {group}"

    @cached_property
    def _footers(self) -> Callable[[int], Any]:
        # a footer may be shared by threads, an open file may not
        return lru_cache(maxsize=128)(lambda number: _open(self.files[number]).metadata)

    def encoded(self, at: Positions, *, masks: bool = False) -> Iterator[Encoded]:
        column = self.mask if masks else self.image
        assert column is not None
        places = self.places[at]
        changes = np.flatnonzero((places[1:, :2] != places[:-1, :2]).any(axis=1)) + 1
        opened, file = -1, None
        for run in np.split(places, changes) if len(places) else ():
            number, group = run[0, :2].tolist()
            if number != opened:
                file, opened = _open(self.files[number], self._footers(number)), number
            try:
                with as_os_errors(self.files[number]):
                    held = _column(file, group, column)
                values = [held[place] for place in run[:, 2].tolist()]
            except _DAMAGE as error:
                remedy = "write the data set" if self.known else "copy it"
                raise CellprepError(
                    f"{str(self.files[number])!r} is damaged: {_said(error)}; {remedy} again"
                ) from error
            for value in values:
                data = value.as_buffer() if value.is_valid else b""
                if len(data) > MOST_BYTES:
                    yield BadFileError(
                        f"takes {len(data):,} bytes, more than any image that is read"
                    )
                else:
                    yield bytes(data)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_footers"}


def read(
    path: Path,
    size: int | tuple[int, int] | None = None,
    image: str | None = None,
    label: str | None = None,
    part: str | None = None,
) -> EncodedSource:
    """The source of a Parquet file, of a folder of them, or of what `write` made."""
    sides = check_size(size)
    if path.is_dir() and written_format(path) is not None:
        return _read_written(path, sides)
    files = _of_part(path, part)
    try:
        return _read_files(path, files, sides, image, label)
    except CellprepError:
        raise
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CellprepError(f"{str(path)!r} is damaged: {_said(error)}; copy it again") from error


def _read_files(
    path: Path,
    files: list[Path],
    sides: tuple[int, int] | None,
    image: str | None,
    label: str | None,
) -> EncodedSource:
    found = [_open(file) for file in files]
    schema = found[0].schema_arrow
    for file, held in zip(files, found, strict=True):
        if not held.schema_arrow.equals(schema):
            raise CellprepError(
                f"{str(file)!r} has other columns than {str(files[0])!r}; read one file at a time"
            )
    features = features_of(schema)
    image = image_column(schema, features, image, path)
    label = label_column(schema, features, label, path)
    mask = mask_column(schema)
    columns = {name: _bytes_of(schema, name) for name in (image, mask) if name is not None}
    _check_groups(files, found, columns[image])
    groups = [_counts(file.metadata) for file in found]
    places = _places(groups)
    n = len(places)
    if not n:
        raise CellprepError(f"{str(path)!r} holds no images")
    values = _read_column(files, label).to_numpy()
    names = features.get(label, {}).get("names")
    names = names if isinstance(names, list) else None
    codes, class_names = encode_labels(read_labels(values, n, empty=names is not None), names)
    rows = Rows.of(check_ids(_ids(files, schema, image), n), codes)
    store = ParquetStore(
        *(tuple(files), places, columns[image], columns.get("mask"), file_states(files))
    )
    return EncodedSource(store, path, rows, class_names, sides)


def _read_written(path: Path, size: tuple[int, int] | None) -> EncodedSource:
    manifest, index, rows = load_written(path, "parquet")
    check_files(path, manifest)
    shards = len(manifest["shards"])
    files = tuple(path / shard_name(number, shards) for number in range(shards))
    places = places_of(path, manifest, index, "row_group", "row", least=None)
    mask = "mask.bytes" if manifest.get("masks") else None
    store = ParquetStore(files, places, "image.bytes", mask, digests_of(manifest), True)
    height, width, _ = manifest["shape"]
    return EncodedSource(
        *(store, path, rows, tuple(manifest["class_names"]), size),
        *((height, width), history_of(manifest, path)),
    )


def _open(file: Path, footer: Any = None) -> Any:
    """A Parquet file; its footer alone is read."""
    import pyarrow.parquet as pq

    try:
        if is_remote(file):  # one request a row group
            return pq.ParquetFile(open_binary(file), metadata=footer, pre_buffer=True)
        return pq.ParquetFile(file, metadata=footer)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CellprepError(
            f"{str(file)!r} is not a Parquet file, or a damaged one: {_said(error)}; copy it again"
        ) from error


def _column(file: Any, group: int, name: str) -> Any:
    """The images of a row group, encoded."""
    import pyarrow as pa

    held = file.read_row_group(group, columns=[name]).column(0).combine_chunks()
    if isinstance(held, pa.ChunkedArray):  # more than 2 GiB
        held = held.chunk(0)
    return held.flatten()[0] if pa.types.is_struct(held.type) else held


def _said(error: Exception) -> str:
    return " ".join(str(error).split())


def _counts(footer: Any) -> NDArray[np.int64]:
    groups = range(footer.num_row_groups)
    return np.array([footer.row_group(group).num_rows for group in groups], np.int64)


def _places(groups: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(n, 3): file, row group and row of every image, from the rows of each group of each file."""
    tables = [np.zeros((0, 3), np.int64)]
    for number, counts in enumerate(groups):
        group = np.repeat(np.arange(len(counts)), counts)
        row = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
        tables.append(np.stack([np.full(len(group), number), group, row], axis=1))
    return np.concatenate(tables)


# -- what files by others hold ----------------------------------------------------------------


def _of_part(path: Path, part: str | None) -> list[Path]:
    """The files of a part; of all there is, if that is one part."""
    if path.is_file() and part is None:
        return [path]
    if path.is_file():
        raise CellprepError(
            f"{str(path)!r} is one file, `part` is for a folder of them; leave it out"
        )
    parts: dict[str, list[Path]] = {}
    for name in names(path):
        inside = Path(name)
        if inside.suffix == ".parquet" and not inside.name.startswith(".") and name != INDEX:
            parts.setdefault(_part_of(inside), []).append(path / name)
    if not parts:
        raise CellprepError(f"{str(path)!r} holds no .parquet files")
    named = [name for name in (*_PARTS, "other") if name in parts]
    if part is not None:
        one_of("part", part, named)
        return parts[part]
    if len(named) > 1:
        held = ", ".join(named)
        raise CellprepError(f"{str(path)!r} holds the parts {held}; choose one with part= (--part)")
    return parts[named[0]]


def _part_of(file: Path) -> str:
    """The part that a file's folder or name names.

    >>> _part_of(Path("data/validation-00000-of-00001.parquet"))
    'val'
    """
    for name in (*file.parts[-2::-1], file.stem):
        words = set(re.split(r"[-._ 0-9]+", name.lower()))
        for part, known in _PARTS.items():
            if words & set(known):
                return part
    return "other"


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """What `datasets` notes of each column, where it wrote the file."""
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return {name: kind for name, kind in said.items() if isinstance(kind, dict)}


def _is_image(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        inside = kind.get_field_index("bytes")
        return inside >= 0 and _is_image(kind.field(inside).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def image_column(
    schema: pa.Schema, features: Mapping[str, Any], wanted: str | None, path: Path | str
) -> str:
    """The column of images: the one that is wanted, noted, or called so."""
    images = [field.name for field in schema if _is_image(field.type)]
    if wanted is not None:
        if wanted not in images:
            raise CellprepError(
                f"{str(path)!r} has no column of images {wanted!r}; {nearest(wanted, images)}"
            )
        return wanted
    noted = [name for name in images if features.get(name, {}).get("_type") == "Image"]
    for some in (noted, images):
        some = [name for name in some if name != "mask"]
        for name in ("image", "img", *(some if len(some) == 1 else ())):
            if name in some:
                return str(name)
    which = f"columns {', '.join(images)} hold images" if images else "no column holds images"
    raise CellprepError(
        f"in {str(path)!r} {which}: PNG or JPEG bytes, alone or as struct(bytes, path); name one "
        "with image="
    )


def mask_column(schema: pa.Schema) -> str | None:
    """The column of masks, if there is one."""
    return "mask" if "mask" in schema.names and _is_image(schema.field("mask").type) else None


def label_column(
    schema: pa.Schema, features: Mapping[str, Any], wanted: str | None, path: Path | str
) -> str:
    """The column of labels: the one that is wanted, noted, or called so."""
    if wanted is not None:
        if wanted not in schema.names:
            raise CellprepError(
                f"{str(path)!r} has no column {wanted!r}; {nearest(wanted, schema.names)}"
            )
        return wanted
    noted = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    found = noted if len(noted) == 1 else [n for n in ("label", "labels") if n in schema.names]
    if not found:
        raise CellprepError(
            f"{str(path)!r} has no column 'label'; name one of {', '.join(schema.names)} with "
            "label="
        )
    return str(found[0])


def _bytes_of(schema: pa.Schema, name: str) -> str:
    """The column of the file that holds the bytes."""
    import pyarrow as pa

    return f"{name}.bytes" if pa.types.is_struct(schema.field(name).type) else name


def _check_groups(files: list[Path], found: list[Any], column: str) -> None:
    """Refuse row groups that are too large to be read for one image."""
    for file, held in zip(files, found, strict=True):
        footer = held.metadata
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = [group.column(place) for place in range(group.num_columns)]
            sizes = (c.total_uncompressed_size for c in chunks if c.path_in_schema == column)
            size = max(sizes, default=0)
            if size > _MOST_IN_GROUP:
                raise CellprepError(
                    f"{str(file)!r} has row groups of {size:,} bytes, all of which are read for "
                    "one image; write it anew with fewer rows each: "
                    "pyarrow.parquet.write_table(table, file, row_group_size=100)"
                )


def _read_column(files: list[Path], name: str) -> pa.ChunkedArray:
    """A column of all files, that holds no pixels."""
    import pyarrow as pa

    chunks = []
    for file in files:
        column = _open(file).read(columns=[name]).column(0)
        chunks += column.chunks
    column = pa.chunked_array(chunks, chunks[0].type)
    if column.null_count:
        raise CellprepError(
            f"column {name!r} of {str(files[0])!r} has {column.null_count} empty values; fill them "
            "or take the rows out"
        )
    return column


def _ids(files: list[Path], schema: pa.Schema, image: str) -> NDArray[Any] | None:
    """The column `id`, or the names beside the images, where they differ from row to row."""
    import pyarrow as pa

    candidates = ["id"] if "id" in schema.names else []
    kind = schema.field(image).type
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
        candidates.append(f"{image}.path")
    for name in candidates:
        try:
            column = _read_column(files, name)
        except CellprepError:
            continue  # some are empty
        while pa.types.is_struct(column.type):
            column = pa.chunked_array([c.field("path") for c in column.chunks])
        whole = pa.types.is_integer(column.type)
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if (whole or text) and not column.null_count and len(column.unique()) == len(column):
            return np.asarray(column.to_numpy())
    return None


# -- writing ----------------------------------------------------------------------------------


def shard_name(number: int, parts: int) -> str:
    """
    >>> shard_name(0, 13)
    'data/train-00000-of-00013.parquet'
    """
    return f"data/train-{number:05d}-of-{parts:05d}.parquet"


def schema_of(rows: Rows, class_names: Sequence[str], *, masks: bool = False) -> pa.Schema:
    """The columns, and what `datasets` is told of them."""
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields: list[tuple[str, Any, Any]] = [("image", image, {"_type": "Image"})]
    fields.append(("label", pa.int64(), {"names": list(class_names), "_type": "ClassLabel"}))
    for name, column in (("id", rows.ids), ("copy", rows.copies), ("group", rows.groups)):
        if column is not None:
            whole = column.dtype.kind == "i"
            noted = {"dtype": "int64" if whole else "string", "_type": "Value"}
            fields.append((name, pa.int64() if whole else pa.string(), noted))
    if masks:
        fields.append(("mask", image, {"_type": "Image"}))
    features = {name: noted for name, _, noted in fields}
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([(name, kind) for name, kind, _ in fields], said)


@dataclass(frozen=True, eq=False)
class ParquetWriter:
    """Writes a part as one Parquet file."""

    contents: Contents

    def begin(self, folder: Path) -> Files:
        return {}

    def write_part(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenPart:
        """The file, and where its rows lie."""
        rows = self.contents.part(number)
        name = shard_name(number, self.contents.parts)
        make_folder(folder / "data")
        with (
            atomic_write(folder / name) as temporary,
            temporary.open("xb") as stream,
            self._writer(stream) as out,
        ):
            waiting: list[tuple[bytes, bytes | None]] = []
            start = 0
            for images, masks in blocks:
                for place, image in enumerate(images):
                    drawn = None if masks is None else encode_mask(masks[place])
                    waiting.append((encode(image), drawn))
                    if len(waiting) == ROWS_PER_GROUP:
                        self._write_group(out, rows, start, waiting)
                        start += len(waiting)
                        waiting.clear()
            if waiting:
                self._write_group(out, rows, start, waiting)
        row = np.arange(len(rows), dtype=np.int32)
        columns = {
            "shard": np.full(len(rows), number, np.int32),
            "row_group": row // ROWS_PER_GROUP,
            "row": row % ROWS_PER_GROUP,
        }
        return WrittenPart({name: stamp(folder / name)}, columns)

    def _writer(self, stream: Any) -> Any:
        import pyarrow.parquet as pq

        held = self.contents
        schema = schema_of(held.rows, held.class_names, masks=held.masks)
        plain = [name for name in schema.names if not _is_image(schema.field(name).type)]
        return pq.ParquetWriter(
            *(stream, schema),
            compression="none",  # PNG is compressed already
            use_dictionary=False,
            write_statistics=plain,
        )

    def _write_group(
        self, out: Any, rows: Rows, start: int, files: list[tuple[bytes, bytes | None]]
    ) -> None:
        """A row group of these images and masks."""
        import pyarrow as pa

        some = rows.take(np.arange(start, start + len(files)))
        images, masks = zip(*files, strict=True)
        columns = {"image": images, "mask": masks}
        known = {"label": some.labels, "id": some.ids, "copy": some.copies, "group": some.groups}
        arrays = [
            pa.array([{"bytes": data, "path": None} for data in columns[field.name]], field.type)
            if field.name in columns
            else pa.array(known[field.name], field.type)
            for field in out.schema
        ]
        out.write_table(pa.Table.from_arrays(arrays, schema=out.schema))


def shard_files(folder: Path) -> list[Path]:
    """The shards in a folder."""
    data = folder / "data"
    files = sorted(data.iterdir(), key=str) if data.is_dir() else []
    return [f for f in files if re.fullmatch(r"train-\d{5,}-of-\d{5,}\.parquet", f.name)]


def _looks_like(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".parquet"
    if not path.is_dir():
        return False
    deep = [path / "data"] if is_remote(path) else [f for f in path.iterdir() if f.is_dir()]
    held = (file for folder in (path, *deep) if folder.is_dir() for file in folder.iterdir())
    files = (file for file in held if file.suffix == ".parquet" and file.name != INDEX)
    file = min((file for file in files if file.is_file()), key=str, default=None)
    try:  # a table beside class folders holds no images
        return file is not None and any(_is_image(f.type) for f in _open(file).schema_arrow)
    except _DAMAGE:
        return False


FORMAT = Format(
    read,
    options=("size", "image", "label", "part"),
    looks_like=_looks_like,
    writer=ParquetWriter,
    files=shard_files,
    encoded=True,
)
