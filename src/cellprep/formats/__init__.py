"""File formats, one file each: how a data set lies on disk, there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..dataset import Dataset
from ..errors import CellprepError, nearest, one_of
from . import folder, npz, shards, tfrecord, zarr
from .format import Format
from .manifest import written_format

FORMATS: dict[str, Format] = {
    "shards": shards.FORMAT,
    "npz": npz.FORMAT,
    "folder": folder.FORMAT,
    "zarr": zarr.FORMAT,
    "tfrecord": tfrecord.FORMAT,
}


def read(
    path: str | Path,
    *,
    format: str | None = None,
    size: int | tuple[int, int] | None = None,
    masks: str | Path | None = None,
    **options: Any,
) -> Dataset:
    """A data set from disk; no pixel is read yet.

    Parameters
    ----------
    path : str or Path
        An `.npz` file or a zarr group with `images` and `labels`; a folder with one folder of
        images a class; TFRecords, a file or a folder of them; or a folder that `write` made.
    format : "npz", "folder", "shards", "zarr" or "tfrecord", optional
        Default: what the path looks like.
    size : int or (height, width), optional
        For image folders, and PNG or JPEG images in TFRecords: what every image is resized to
        (stretched, by a triangle filter). Without it all images must have the same size.
    masks : str or Path, optional
        Drawn masks, which `KMeansMask` and `Crop` take in place of their own. For image folders: a
        folder of PNG files with the same stems, in class folders or all in one; not 0 on the cell;
        resized with the images. For npz and zarr: the name of the array. What
        `write(masks=True)` wrote is found without it.
    **options
        npz, zarr: `images="images"`, `labels="labels"`: the names of the two arrays. TFRecord:
        `image="image"`, `label="label"`: the names of the two features.

    Returns
    -------
    Dataset

    Raises
    ------
    CellprepError
        For a path that holds no data set, wrong shapes, types, labels; the message says what to do.
        Images that cannot be decoded are found when they are read: see `Dataset.readable`.
    """
    path = Path(path)
    if not path.exists():
        raise CellprepError(f"there is no file or folder {str(path)!r}")
    if format is not None:
        one_of("format", format, FORMATS)
    kind = format or _guess(path)
    known = FORMATS[kind].options
    advice = {
        "size": "resize with Crop(..., resize_to=)",
        "masks": "write its masks with write(..., masks=True)",
    }
    for name, value in (("size", size), ("masks", masks)):
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
    try:
        return Dataset(FORMATS[kind].read(path, **options))
    except OSError as error:
        raise CellprepError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def _guess(path: Path) -> str:
    """The format that a path holds, by its manifest or by what it looks like."""
    written = written_format(path) if path.is_dir() else None
    if written is not None:
        if written not in FORMATS:
            raise CellprepError(
                f"{str(path)!r} was written as {written!r}, which is not known here"
            )
        return written
    for name, format in FORMATS.items():
        if format.looks_like(path):
            return name
    if not path.is_file():
        return "folder"
    raise CellprepError(
        f"{str(path)!r} is no data set that can be read; pass an .npz file or a "
        "folder, or say format="
    )
