"""`read`: a data set from a path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CellprepError, nearest, one_of
from ..formats import FORMATS, format_of
from ..formats.written import written_format
from ..system.paths import answering, as_path
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
    """A data set from disk; no pixel is read yet.

    Parameters
    ----------
    path : str or Path
        An `.npz` file or a zarr group with `images` and `labels`, or an `.npz` file with the
        `train_images` ... of MedMNIST; a folder with one folder of images a class; TFRecords,
        WebDataset `.tar` files, Parquet files with encoded images, as Hugging Face's `datasets`
        writes them, one or a folder of them; or what `write` made. Also as a URL that fsspec knows,
        such as `s3://bucket/set`.
    format : str, optional
        "shards", "medmnist", "npz", "zarr", "tfrecord", "folder", "webdataset" or "parquet".
        Default: what the path looks like.
    size : int or (height, width), optional
        For encoded images (folders, TFRecord, WebDataset, Parquet): what every image is resized to
        (stretched, by a triangle filter). Without it all images must have the same size.
    masks : str or Path, optional
        Drawn masks, which `KMeansMask` and `Crop` take in place of their own. For image folders: a
        folder of PNG files with the same stems, in class folders or all in one; not 0 on the cell;
        resized with the images. For npz and zarr: the name of the array. What
        `write(masks=True)` wrote is found without it.
    storage_options : dict, optional
        What fsspec is to open a URL with. Default: what it finds in its configuration and in the
        environment (such as `AWS_ENDPOINT_URL`).
    **options
        npz, zarr: `images="images"`, `labels="labels"`: the names of the two arrays.
        tfrecord: `image="image"`, `label="label"`: the names of the two features.
        medmnist and parquet: `part="train"`, `"val"` or `"test"`, which must be said where there
        are several.
        parquet: `image=` and `label=`: the two columns. Default: by the notes of `datasets`, else
        `image` or `img`, and `label` or `labels`. Ids are the column `id`, or the names beside the
        images, where these differ from row to row; else the row numbers.
        webdataset: `label=`: an entry of each sample's json. Default: KEY.cls, else `label`,
        `cls`, `class` or `class_name` in KEY.json, else the folder in KEY. Ids are the keys.

    Returns
    -------
    Dataset

    Raises
    ------
    CellprepError
        For a path that holds no data set, wrong shapes, types, labels; the message says what to do.
        Images that cannot be decoded are found when they are read: see `Dataset.readable`.
    """
    path = as_path(path, storage_options)
    try:
        with answering(path):
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
    kind = format or _guess(path, options)
    known = FORMATS[kind].options
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
                f"`{name}` is for {takes}, {str(path)!r} is read as {kind}; {advice[name]}"
            )
        options[name] = value
    for name in options:
        if name not in known:
            raise CellprepError(f"format {kind} has no option {name!r}; {nearest(name, known)}")
    return Dataset(FORMATS[kind].read(path, **options))


def _guess(path: Path, options: Mapping[str, Any]) -> str:
    """The format that a path holds, by its manifest or by what it looks like."""
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
        f"{str(path)!r} is no data set that can be read; pass an .npz file or a "
        "folder, or say format="
    )
