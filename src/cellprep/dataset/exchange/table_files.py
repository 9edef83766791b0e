"""Tables of image files: CSV or Parquet with a column of paths and a column of labels."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import ClassNames, one_form
from ...errors import CellprepError, nearest, one_of
from ...formats.codec import check_size
from ...formats.folder import FolderSource
from ...formats.format import UNLABELLED
from ...formats.parquet_columns import is_image
from ...formats.splits import ALL, OTHER, chosen, split_of
from ...plan.source import Size
from ...system.paths import is_remote, open_binary
from .tables import relative, rows_of

if TYPE_CHECKING:
    import pandas as pd

_TEXT = (".csv", ".tsv", ".txt")
_USUAL = {
    "image": (
        *("image", "file", "path", "filename", "file_name", "filepath", "file_path", "image_path"),
        *("image_file", "image_filename", "image_name", "img", "img_path", "imagepath", "fname"),
    ),
    "label": (
        *("label", "labels", "class", "class_name", "category", "target", "cell_type", "celltype"),
        *("diagnosis", "dx", "type", "y"),
    ),
    "group": ("group", "patient", "patient_id", "slide", "slide_id", "subject", "subject_id"),
    "mask": ("mask", "mask_path", "mask_file", "maskpath"),
    "part": ("part", "split", "partition", "subset"),
}
OPTIONS = ("size", "class_names", "labels", "image", "label", "id", "group", "mask", "part")


def is_table_of_files(path: Path) -> bool:
    """Whether a file is a table; a Parquet file without a column of image bytes is one of paths."""
    suffix = path.suffix.lower()
    if suffix not in (*_TEXT[:2], ".parquet", ".pq") or not path.is_file():
        return False
    if suffix in _TEXT:
        return True
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_binary(path) as stream:
            table = pq.ParquetFile(stream)
            schema = table.schema_arrow
            images = [field for field in schema if is_image(field.type)]
            if not images:
                return _usual("image", schema.names) is not None
            structs = [field.name for field in images if pa.types.is_struct(field.type)]
            if len(structs) < len(images):
                return False
            columns = [f"{name}.bytes" for name in structs]
            return not any(
                len(column.drop_null())
                for group in range(table.num_row_groups)
                for column in _bytes_of(table, group, columns)
            )
    except (OSError, ValueError, pa.ArrowException):
        return False  # the format that reads it says what is wrong


def _bytes_of(table: Any, group: int, columns: list[str]) -> Iterable[Any]:
    found = table.read_row_group(group, columns=columns)
    return [column.combine_chunks().flatten()[0] for column in found.columns]


def load_table(path: Path) -> pd.DataFrame:
    """A CSV or Parquet file; all values of a CSV are text, and empty ones are missing."""
    import pandas as pd

    try:
        with open_binary(path) as stream:
            if path.suffix.lower() in (".parquet", ".pq"):
                return _of_parquet(stream)
            head = stream.read(1 << 16).decode("utf-8-sig", "replace").splitlines()
            stream.seek(0)
            with warnings.catch_warnings():  # of rows with more values than the header has names
                warnings.simplefilter("error", pd.errors.ParserWarning)
                table: pd.DataFrame = pd.read_csv(
                    stream,
                    sep=_separator(head[0] if head else ""),
                    dtype=str,
                    keep_default_na=False,
                    na_values=[""],
                    encoding="utf-8-sig",
                    skipinitialspace=True,
                    index_col=False,
                )
    except pd.errors.ParserWarning:
        raise CellprepError(
            f"{str(path)!r} has rows with more values than the header has names; put text that "
            "contains the separator in quotes"
        ) from None
    except Exception as error:  # pandas and Arrow raise anything on damage
        reason = " ".join(str(error).split())
        raise CellprepError(f"{str(path)!r} cannot be read as a table: {reason}") from error
    return table.rename(columns=lambda name: str(name).strip())


def _separator(line: str) -> str:
    """The separator of a CSV file, by its first line.

    >>> _separator("file;label"), _separator("file")
    (';', ',')
    """
    fields = {
        separator: len(next(csv.reader([line], delimiter=separator), [])) for separator in ",;\t"
    }
    return max(fields, key=lambda separator: fields[separator])


def _of_parquet(stream: Any) -> pd.DataFrame:
    """The columns without pixels; of a struct(bytes, path), the path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(stream)
    table = file.read()
    for number, field in enumerate(table.schema):
        column = table.column(number)
        if pa.types.is_struct(field.type) and field.type.get_field_index("path") >= 0:
            paths = pa.chunked_array([chunk.field("path") for chunk in column.chunks])
            table = table.set_column(number, field.name, paths)
        elif pa.types.is_dictionary(field.type):
            table = table.set_column(number, field.name, column.cast(field.type.value_type))
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame


def read_table(
    path: Path,
    *,
    size: int | Size | None = None,
    class_names: ClassNames | None = None,
    labels: str | None = "column",
    image: str | None = None,
    label: str | None = None,
    id: str | None = None,
    group: str | None = None,
    mask: str | None = None,
    part: str | None = None,
) -> FolderSource:
    """The images that a table lists; paths are relative to the folder of the table."""
    table = load_table(path)
    if not len(table):
        raise CellprepError(f"{str(path)!r} has no rows")
    table = table.reset_index(drop=True)
    columns = [str(name) for name in table.columns]
    given = {"image": image, "label": label, "group": group, "mask": mask, "part": None}
    found = {what: _column(path, columns, what, name) for what, name in given.items()}
    for needed in ("image", "label") if labels is not None else ("image",):
        if found[needed] is None:
            raise CellprepError(
                f"{str(path)!r} has the columns {', '.join(columns)}; name that of the "
                f"{'paths' if needed == 'image' else 'labels'} with {needed}= (--{needed})"
            )
    if id is not None:
        _column(path, columns, "id", id)
    values, splits = _splits(path, table, found["part"], part)
    table = table[values].reset_index(drop=True)
    names, stored = _labels_of(table, found["label"] if labels is not None else None, class_names)
    paths = _paths(table, str(found["image"]), path)
    rows, known = rows_of(table.assign(_label=names), "_label", id, found["group"], stored, paths)
    root = path.parent if is_remote(path) else path.parent.absolute()
    folder, files = _below(root, paths.tolist())
    _check_some_exist(folder, files, path)
    source = FolderSource(folder, tuple(files), rows, known, check_size(size), listed=True)
    if splits is not None:
        source = replace(source, rows=replace(rows, parts=splits[values]))
    return source if found["mask"] is None else _with_masks(source, table[found["mask"]], root)


def _usual(what: str, columns: Iterable[str]) -> str | None:
    """The column with a usual name for this."""
    known = {name.strip().casefold(): name for name in columns}
    return next((known[name] for name in _USUAL[what] if name in known), None)


def _column(path: Path, columns: list[str], what: str, requested: str | None) -> str | None:
    if requested is None:
        return _usual(what, columns)
    if requested not in columns:
        raise CellprepError(
            f"{str(path)!r} has no column {requested!r} ({what}=); {nearest(requested, columns)}"
        )
    return requested


def _splits(
    path: Path, table: pd.DataFrame, column: str | None, part: str | None
) -> tuple[NDArray[np.bool_], NDArray[Any] | None]:
    """Which rows are read, and the split of each row of the table if all are."""
    every = np.ones(len(table), bool)
    if column is None:
        chosen(path, part, ())
        return every, None
    values = table[column].fillna(OTHER).astype(str)
    splits = np.array([split_of(value) or value for value in values])
    name = chosen(path, part, set(splits.tolist()))
    return (every, splits) if name == ALL else (splits == name, None)


def _labels_of(
    table: pd.DataFrame, column: str | None, class_names: ClassNames | None
) -> tuple[Any, ClassNames | None]:
    """The labels as text, and the order of the classes: by number, if all are numbers."""
    if column is None:
        return UNLABELLED, None
    values = table[column]
    if values.isna().any() or values.dtype.kind in "iub":
        return values, class_names
    texts = [value for value in values.tolist() if isinstance(value, str)]
    numbers = len(texts) == len(values) and all(
        text.isascii() and text.isdecimal() and len(text) < 19 and str(int(text)) == text
        for text in {*texts}
    )
    if not numbers:
        return values, class_names
    if class_names is None:
        return values, sorted({*texts}, key=int)
    if isinstance(class_names, Mapping) or {*texts} <= {*map(str, class_names)}:
        return values.astype(int) if isinstance(class_names, Mapping) else values, class_names
    return values.astype(int), class_names


def _paths(table: pd.DataFrame, column: str, path: Path) -> NDArray[Any]:
    values = table[column]
    if values.isna().any():
        row = int(values.isna().to_numpy().argmax())
        raise CellprepError(f"{str(path)!r} has no path in row {row} (column {column!r})")
    return np.array([str(value).replace("\\", "/") for value in values])


def _below(root: Path, files: list[str]) -> tuple[Path, list[str]]:
    """A folder that all files are in, that of the table if possible, and their names in it."""
    if is_remote(root):
        return root, files
    paths = [os.path.normpath(root / os.path.expanduser(file)) for file in files]
    start = os.path.normpath(root) + os.sep
    if root.is_absolute() and all(path.startswith(start) for path in paths):
        return root, [PurePath(path).relative_to(start).as_posix() for path in paths]
    return relative(paths)


def _check_some_exist(folder: Path, files: list[str], table: Path) -> None:
    """Refuse a table of which no file exists: its paths are relative to something else."""
    if is_remote(folder) or any((folder / file).exists() for file in files[:50]):
        return
    raise CellprepError(
        f"{str(table)!r} lists files that do not exist, such as {str(folder / files[0])!r}; paths "
        "are relative to the folder of the table"
    )


def _with_masks(source: FolderSource, column: pd.Series[Any], root: Path) -> FolderSource:
    names = [
        None if missing else str(name).replace("\\", "/")
        for name, missing in zip(column, column.isna(), strict=True)
    ]
    if not any(names):
        return source
    folder, files = _below(root, [name for name in names if name])
    left = iter(files)
    masks = tuple(None if name is None else next(left) for name in names)
    return replace(source, masks_at=folder, mask_files=masks)


def ids_in(path: Path) -> list[str]:
    """The ids in the column `id` of a table, or in its first; or one on each line of a file."""
    if path.suffix.lower() == ".txt":
        with open_binary(path) as stream:
            lines = stream.read().decode("utf-8-sig", "replace").splitlines()
        return [line.strip() for line in lines if line.strip() and line.strip() != "id"]
    table = load_table(path)
    column = table["id"] if "id" in table else table.iloc[:, 0]
    return [str(value) for value in column.dropna()]


def column_by_id(path: Path, column: str, ids: NDArray[Any]) -> NDArray[Any]:
    """The values of a column as text, one for each of these ids.

    The ids are the column `id`, or the first one.
    """
    table = load_table(path)
    columns = [str(name) for name in table.columns]
    one_of("column", column, columns)
    others = [name for name in columns if name != column]
    key = "id" if "id" in others else next(iter(others), None)
    if key is None:
        raise CellprepError(f"{str(path)!r} has one column only; it needs ids and {column!r}")
    known: dict[str, str] = {}
    for name, value in zip(table[key], table[column], strict=True):
        text = one_form(str(name))
        if text in known:
            raise CellprepError(f"{str(path)!r} has id {text!r} more than once (column {key!r})")
        known[text] = "" if value is None or value != value else str(value)
    found = [known.get(one_form(str(name)), "") for name in ids.tolist()]
    if "" in found:
        missing = str(ids[found.index("")])
        raise CellprepError(
            f"{str(path)!r} has no value of {column!r} for id {missing!r} (ids are the column "
            f"{key!r}, such as {next(iter(known), '')!r})"
        )
    return np.array(found)
