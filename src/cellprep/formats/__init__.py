"""File formats, one file each: how a data set lies on disk, there and back."""

from __future__ import annotations

from . import folder, medmnist, npz, parquet, shards, tfrecord, webdataset, zarr
from .format import Format

FORMATS: dict[str, Format] = {
    "shards": shards.FORMAT,
    "medmnist": medmnist.FORMAT,  # before npz, of which it is a kind
    "npz": npz.FORMAT,
    "folder": folder.FORMAT,
    "zarr": zarr.FORMAT,
    "tfrecord": tfrecord.FORMAT,
    "webdataset": webdataset.FORMAT,
    "parquet": parquet.FORMAT,
}
