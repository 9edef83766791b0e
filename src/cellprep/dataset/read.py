"""`read`: a data set from a path."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..arrays import ClassNames, encode_labels
from ..errors import CellprepError, nearest, one_of
from ..formats import FORMATS, format_of
from ..formats.listing import is_of_the_system
from ..formats.splits import ALL, OTHER, chosen, in_order, split_of
from ..formats.written import finished_manifest, unknown_files, written_format
from ..plan.joined import joined
from ..plan.source import Source, Unread
from ..system.paths import anchored, as_os_errors, as_path, is_remote, shown
from .dataset import Dataset
from .exchange.table_files import OPTIONS, is_table_of_files, read_table
from .split_column import of_split


def read(
    path: str | Path,
    *,
    format: str | None = None,
    size: int | tuple[int, int] | None = None,
    masks: str | Path | None = None,
    class_names: ClassNames | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Dataset:
    """A data set from a file, folder or URL; pixels are read on demand.

    Parameters
    ----------
    path : str or Path
        A data set written by `write`; an `.npz` file or zarr group with `images` and `labels`; an
        `.npz` file of MedMNIST, with `train_images` and so on; a folder with one folder of images
        per class; TFRecord files, WebDataset `.tar` files, or Parquet files with encoded images as
        written by Hugging Face's `datasets`, a single file or a folder; a table of image files, as
        CSV or Parquet. Any of these may be a URL that fsspec supports, such as `s3://bucket/set`.
    format : str, optional
        "shards", "medmnist", "npz", "zarr", "tfrecord", "folder", "webdataset", "parquet" or
        "table".
        Default: detected from the path.
    size : int or (height, width), optional
        For encoded images (folders, TFRecord, WebDataset, Parquet): the size to which every image
        is resized (stretched, with a triangle filter). Default: all images must have one size.
    masks : str or Path, optional
        Your own masks, which `KMeansMask` and `Crop` use instead of computing masks. For image
        folders: a folder of PNG files with the same stems, in class folders or all together,
        nonzero on the cell; they are resized with the images. For npz and zarr: the name of the
        array. Masks written by `write(masks=True)` are found without this setting.
    class_names : sequence of str, or mapping of label values to str, optional
        The names of the classes in order, also of those without images; or the name of each label
        value, `{1: "baso", 2: "mono"}`, for numbers that do not begin at 0. Default: as stored,
        otherwise the sorted values.
    storage_options : dict, optional
        Passed to fsspec for a URL. Default: its configuration and environment variables, such as
        `AWS_ENDPOINT_URL`.
    **options
        npz, zarr: `images="images"`, `labels="labels"`: the names of the two arrays.
        folder, npz, zarr: `labels=None`: images without labels, all of the class "?". A folder may
        then contain images directly, and the path may be a single image. Sets that cellprep wrote
        and formats that store a label with each image keep theirs.
        tfrecord: `image="image"`, `label="label"`: the names of the two features.
        all: `part="train"`, `"val"`, `"test"` or another split on disk, found by the names of
        folders, files or arrays; required if there are several. "all": all of them, with the split
        as a column (`Dataset.parts`), which `split` keeps.
        parquet: `image=`, `label=`: the two columns. Default: as recorded by `datasets`, otherwise
        `image` or `img`, and `label` or `labels`. Ids are the column `id`, or the file names stored
        with the images, if unique; otherwise the row numbers.
        table: `image=`, `label=`: the columns of paths and labels; `id=`, `group=`, `mask=`: those
        of unique names, of what must stay together, and of mask files. Default: columns with a
        usual name, such as `path` and `label`. Paths are relative to the table. Values of a CSV
        are text: `007` and `NA` stay what they are.
        webdataset: `label=`: an entry of each sample's json. Default: KEY.cls; otherwise `label`,
        `cls`, `class` or `class_name` in KEY.json; otherwise the folder in KEY. Ids are the keys.

    Returns
    -------
    Dataset

    Raises
    ------
    CellprepError
        If the path is not a data set, or for wrong shapes, types or labels; the message says what
        to do. Images that cannot be decoded are found when they are read: see `Dataset.readable`.
    """
    path = as_path(path, storage_options)
    try:
        with as_os_errors(path):
            shared = {"size": size, "masks": masks, "class_names": class_names}
            return _read(anchored(path), format, shared, options)
    except OSError as error:
        raise CellprepError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def _read(
    path: Path, format: str | None, shared: Mapping[str, Any], options: dict[str, Any]
) -> Dataset:
    if not path.exists():
        raise CellprepError(f"there is no file or folder {shown(path)!r}{_hint(path)}")
    if format is not None:
        one_of("format", format, [*FORMATS, "table"])
    if format == "table" or (format is None and is_table_of_files(path)):
        return _read_table(path, shared, options)
    part = options.pop("part", None)
    manifest = finished_manifest(path) if path.is_dir() else None
    written = str(manifest["format"]) if manifest else None
    sets = sets_inside(path) if format is None and written is None else {}
    if sets:
        return _read_sets(path, sets, part, shared, options)
    unlabelled = options.get("labels", "") is None
    if unlabelled:
        del options["labels"]
    kind = format or written or _detect(path, {**options, **({"part": part} if part else {})})
    known = format_of(kind, path).options  # refuses one that is not installed
    if unlabelled and "labels" in known:
        options["labels"] = None
    advice = {
        "size": "resize with Crop(..., resize_to=)",
        "masks": "write its masks with write(..., masks=True)",
        "class_names": "rename its classes with .relabel(...)",
    }
    for name, value in shared.items():
        if value is None:
            continue
        if name not in known:
            takes = " and ".join(n for n, format in FORMATS.items() if name in format.options)
            raise CellprepError(
                f"`{name}` is for {takes}, but {str(path)!r} is read as {kind}; {advice[name]}"
            )
        options[name] = value
    for name in options:
        if name not in known:
            raise CellprepError(f"format {kind} has no option {name!r}; {nearest(name, known)}")
    if manifest is not None:
        names = options.pop("class_names", None)
        source = FORMATS[kind].read(path, **options)
        if names is not None:
            source = _with_class_names(source, names)
        left = unknown_files(path, manifest, FORMATS[kind].files(path))
        return of_split(Dataset(_with_unread(source, left)), part)
    splits = FORMATS[kind].splits
    if part is not None and splits is None:
        raise CellprepError(
            f"`part` is for inputs with splits, but {str(path)!r} is read as {kind}; leave it out"
        )
    if part == ALL and splits is not None:
        found = splits(path)
        chosen(path, ALL, found)
        parts = {
            n: FORMATS[kind].read(path, part=n, **options) for n in in_order(found) if n != OTHER
        }
        left = tuple((name, "is in no split") for name in found.get(OTHER, ()))
        return Dataset(joined(path, parts, left))
    return Dataset(FORMATS[kind].read(path, **options, **({} if part is None else {"part": part})))


def _hint(path: Path) -> str:
    """The nearest name beside a local path that does not exist."""
    if is_remote(path) or not path.parent.is_dir():
        return ""
    names = [entry.name for entry in path.parent.iterdir()]
    found = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {str(path.with_name(found[0]))!r}?" if found else ""


def _read_table(path: Path, shared: Mapping[str, Any], options: Mapping[str, Any]) -> Dataset:
    if shared["masks"] is not None:
        raise CellprepError("`masks` is a column of a table of files; name it with mask= (--mask)")
    for name in options:
        if name not in OPTIONS:
            raise CellprepError(
                f"a table of files has no option {name!r}; {nearest(name, OPTIONS)}"
            )
    given = {name: shared[name] for name in ("size", "class_names")}
    return Dataset(read_table(path, **given, **options))


def _detect(path: Path, options: Mapping[str, Any]) -> str:
    """The format of a path that cellprep did not write, from its appearance."""
    alike = [name for name, format in FORMATS.items() if format.looks_like(path)]
    if alike:
        return next(
            (name for name in alike if options.keys() <= {*FORMATS[name].options}), alike[0]
        )
    if not path.is_file():
        return "folder"
    raise CellprepError(
        f"{str(path)!r} is not a data set that can be read; pass an .npz file or a folder, or set "
        "format="
    )


def _with_class_names(source: Any, class_names: ClassNames) -> Any:
    """A written set with its classes in another order, or with further ones."""
    labels = source.rows.labels
    if "class_names" not in {field.name for field in fields(source)}:
        raise CellprepError(
            f"{str(source.path)!r} has class names already; leave `class_names` out, or rename its "
            "classes with .relabel(...)"
        )
    codes, names = encode_labels(labels, class_names, source.class_names)
    return replace(source, rows=replace(source.rows, labels=codes), class_names=names)


def _with_unread(source: Any, left: Unread) -> Source:
    """The source with what is not read; sources of other packages need not know of it."""
    if left and is_dataclass(source) and not isinstance(source, type):
        known: Any = replace(source, unread=left)
        return cast(Source, known)
    return cast(Source, source)


# -- folders of data sets, one per split ------------------------------------------------------


def sets_inside(path: Path) -> dict[str, Path]:
    """The data sets that are directly in a folder, by name: npz files, written sets, zarr groups.

    What `cellprep split` writes is such a folder.
    """
    if not path.is_dir() or FORMATS["zarr"].looks_like(path):
        return {}
    found = {}
    for entry in sorted(path.iterdir(), key=str):
        if is_of_the_system(entry.name):
            continue
        is_set = any(FORMATS[name].looks_like(entry) for name in ("npz", "zarr"))
        if is_set or (entry.is_dir() and written_format(entry) is not None):
            found[entry.name] = entry
    return found


def _read_sets(
    path: Path,
    sets: Mapping[str, Path],
    part: str | None,
    shared: Mapping[str, Any],
    options: dict[str, Any],
) -> Dataset:
    """One of the data sets in a folder, or all of them as the splits of one."""
    splits: dict[str, Path] = {}
    for name, file in sets.items():
        split = split_of(name) or OTHER
        if split in splits or (split == OTHER and len(sets) > 1):
            raise CellprepError(
                f"{str(path)!r} contains the data sets {', '.join(sets)}; read one of them, such "
                f"as {str(file)!r}"
            )
        splits[split] = file
    left = tuple(
        (entry.name, "is not a data set")
        for entry in sorted(path.iterdir(), key=str)
        if entry.name not in sets
    )
    if part == ALL:
        chosen(path, ALL, splits)
        parts = {
            name: _read(splits[name], None, shared, {**options}).source for name in in_order(splits)
        }
        return Dataset(joined(path, parts, left))
    only = part is None and {*splits} == {OTHER}
    name = OTHER if only else str(chosen(path, part, splits))
    source = _read(splits[name], None, shared, options).source
    return Dataset(_with_unread(source, (*left, *source.unread)))
