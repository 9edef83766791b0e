"""`read`: a data set from a path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CellprepError, nearest, one_of
from ..formats import FORMATS, format_of
from ..formats.written import written_format
from ..system.paths import as_os_errors, as_path
from .dataset import Dataset


def read(
    path: str | Path,
    *,
    format: str | None = None,
    size: int | tuple[int, int] | None = None,
    masks: str | Path | None = None,
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
        written by Hugging Face's `datasets`, a single file or a folder. Any of these may be a URL
        that fsspec supports, such as `s3://bucket/set`.
    format : str, optional
        "shards", "medmnist", "npz", "zarr", "tfrecord", "folder", "webdataset" or "parquet".
        Default: detected from the path.
    size : int or (height, width), optional
        For encoded images (folders, TFRecord, WebDataset, Parquet): the size to which every image
        is resized (stretched, with a triangle filter). Default: all images must have one size.
    masks : str or Path, optional
        Your own masks, which `KMeansMask` and `Crop` use instead of computing masks. For image
        folders: a folder of PNG files with the same stems, in class folders or all together,
        nonzero on the cell; they are resized with the images. For npz and zarr: the name of the
        array. Masks written by `write(masks=True)` are found without this setting.
    storage_options : dict, optional
        Passed to fsspec for a URL. Default: its configuration and environment variables, such as
        `AWS_ENDPOINT_URL`.
    **options
        npz, zarr: `images="images"`, `labels="labels"`: the names of the two arrays.
        folder, npz, zarr: `labels=None`: images without labels, all of the class "?". A folder may
        then contain images directly, and the path may be a single image. Sets that cellprep wrote
        and formats that store a label with each image keep theirs.
        tfrecord: `image="image"`, `label="label"`: the names of the two features.
        medmnist, parquet: `part="train"`, `"val"` or `"test"`: the split; required if there are
        several.
        parquet: `image=`, `label=`: the two columns. Default: as recorded by `datasets`, otherwise
        `image` or `img`, and `label` or `labels`. Ids are the column `id`, or the file names stored
        with the images, if unique; otherwise the row numbers.
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
            return _read(path, format, {"size": size, "masks": masks}, options)
    except OSError as error:
        raise CellprepError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def _read(
    path: Path, format: str | None, shared: Mapping[str, Any], options: dict[str, Any]
) -> Dataset:
    if not path.exists():
        raise CellprepError(f"there is no file or folder {str(path)!r}")
    if format is not None:
        one_of("format", format, FORMATS)
    unlabelled = options.get("labels", "") is None
    if unlabelled:
        del options["labels"]
    kind = format or _detect(path, options)
    known = FORMATS[kind].options
    if unlabelled and "labels" in known:
        options["labels"] = None
    advice = {
        "size": "resize with Crop(..., resize_to=)",
        "masks": "write its masks with write(..., masks=True)",
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
    return Dataset(FORMATS[kind].read(path, **options))


def _detect(path: Path, options: Mapping[str, Any]) -> str:
    """The format of a path, from its manifest or its appearance."""
    written = written_format(path) if path.is_dir() else None
    if written is not None:
        format_of(written, path)  # refuses one that is not installed
        return written
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
