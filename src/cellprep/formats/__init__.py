"""File formats, one file each: how a data set lies on disk, there and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..dataset import Dataset
from ..errors import CellprepError, nearest, one_of
from ..source import Source
from . import folder, npz, shards
from .manifest import written_format

READERS: dict[str, Callable[..., Source]] = {
    "npz": npz.read,
    "folder": folder.read,
    "shards": shards.read,
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
        An `.npz` file with `images` and `labels`; a folder with one folder of images a class; or a
        folder that `write` made.
    format : "npz", "folder" or "shards", optional
        Default: what the path looks like.
    size : int or (height, width), optional
        For image folders: what every image is resized to (stretched, by a triangle filter). Without
        it all images must have the same size.
    masks : str or Path, optional
        Drawn masks, which `KMeansMask` and `Crop` take in place of their own. For image folders: a
        folder of PNG files with the same stems, in class folders or all in one; not 0 on the cell;
        resized with the images. For npz: the name of the array. What `write(masks=True)` wrote is
        found without it.
    **options
        npz: `images="images"`, `labels="labels"`: the names of the two arrays.

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
        one_of("format", format, READERS)
    kind = format or _guess(path)
    if size is not None:
        if kind != "folder":
            raise CellprepError(
                f"`size` is for image folders, {str(path)!r} is read as {kind}; "
                "resize with Crop(..., resize_to=)"
            )
        options["size"] = size
    if masks is not None:
        if kind == "shards":
            raise CellprepError(
                f"`masks` are for image folders and npz files, {str(path)!r} is read as shards; "
                "write its masks with write(..., masks=True)"
            )
        options["masks"] = str(masks) if kind == "npz" else masks
    known: tuple[str, ...] = {
        "npz": ("images", "labels", "masks"),
        "folder": ("size", "masks"),
        "shards": (),
    }[kind]
    for name in options:
        if name not in known:
            raise CellprepError(f"format {kind} has no option {name!r}; {nearest(name, known)}")
    try:
        return Dataset(READERS[kind](path, **options))
    except OSError as error:
        raise CellprepError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def _guess(path: Path) -> str:
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return "npz"
        raise CellprepError(
            f"{str(path)!r} is no data set that can be read; pass an .npz file or a "
            "folder, or say format="
        )
    written = written_format(path) or "folder"
    if written not in READERS:
        raise CellprepError(f"{str(path)!r} was written as {written!r}, which is not known here")
    return written
