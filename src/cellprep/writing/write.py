"""`write`: compute a data set and write it to disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..dataset.dataset import Dataset
from ..system import executors
from ..system.paths import as_path
from .job import Written, plan_write

__all__ = ["Written", "write"]


def write(
    dataset: Dataset,
    path: str | Path,
    *,
    format: str | None = None,
    rows_per_shard: int = 1024,
    executor: str = "threads",
    workers: int | None = None,
    address: str | None = None,
    resume: bool = True,
    overwrite: bool = False,
    on_error: str = "raise",
    masks: bool = False,
    about: Mapping[str, str] | None = None,
    progress: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> Written:
    """Compute every image of a data set once and write it, with a record of how it was made.

    The same data set gives the same bytes, whatever the executor, the number of workers and
    interruptions. Each shard gets its final name once it is complete; the index and `dataset.json`
    are written last. A second writer of the same path is refused. If the data set is complete
    already, its files are checked as by `verify`, and what is damaged is rewritten.

    A folder has a row for each image in `index.parquet`, or in files below `index/` if it has more
    than 4,096 shards. It also gets `README.md`, a data card for people, and `croissant.json`, a
    description that search engines and loaders know.

    Parameters
    ----------
    dataset : Dataset
    path : str or Path
        A folder that does not exist, is empty, or contains an unfinished write of the same data
        set; or a new `.npz` file. URLs that fsspec knows, such as `s3://bucket/train`, work too.
    format : str, optional
        "shards"; "npz"; "folder", PNG files; "webdataset", tar files; "parquet", for Hugging Face's
        `datasets`; "medmnist", an npz file with the images as its split "train"; "zarr", a zarr 3
        group of arrays `images`, `labels`, `ids`, `copies`; "tfrecord", files of
        `tf.train.Example`, whose features `dataset.json` describes, with raw bytes in `image`:
        `tf.reshape(tf.io.decode_raw(x["image"], tf.uint8), (height, width, 3))`. The last two need
        the extras of the same name. Formats of installed packages work too (see
        `cellprep.formats`). Default: npz for a path that ends in .npz, else shards.
    rows_per_shard : int
        Images per shard; an interruption loses at most the shards being written.
    executor : "threads", "processes" or "ray"
        Each process receives the data set by pickle: fast for files, a copy for arrays in memory.
        Ray (`pip install 'cellprep[ray]'`) uses the cluster that this process is connected to, the
        one at `address`, or a temporary one on this machine.
    workers : int, optional
        Default: all cores available to this process. On a cluster: tasks at a time, by default two
        per core.
    address : str, optional
        Address of a running Ray cluster: "host:6379", or "auto" on one of its machines. Every
        machine must see input and output under the same paths.
    resume : bool
        Continue an unfinished write of the same data set. A single npz file starts again.
    overwrite : bool
        Replace another data set that cellprep wrote at this path; nothing else is ever replaced.
    on_error : "raise", "skip" or "quarantine"
        For source images that cannot be read: stop before anything is written, and name them all;
        leave them out; or leave them out and copy the files to `quarantine/` in the output. The
        rest is the same as without them. They are listed in `dataset.json`.
    masks : bool
        Write `dataset.masks` too: `masks-00000.npy` (n, height, width) bool beside each shard, PNG
        files of the same names in `masks/` for a folder, the array `masks` in an npz file or zarr
        group, the feature `mask` in TFRecords, `KEY.mask.png` in a tar file, the column `mask` in
        Parquet. `read` gives them back.
    about : dict of str, optional
        What you state about the data set for others: `name`, `description`, `license`, `source`,
        `citation`, `url`. It is part of the data set, and of those made from it unless they state
        something else.
    progress : bool
        Show a bar for each stage if the output is a terminal.
    storage_options : dict, optional
        Options for fsspec to open a URL. Default: its configuration and the environment.

    Returns
    -------
    Written

    Raises
    ------
    CellprepError
        If the path contains anything else, is inside the source or cannot be written.
    BadImagesError
        Naming every image that cannot be read.
    """
    began = time.perf_counter()
    with executors.using(executor, workers, progress, address):
        job = plan_write(
            dataset,
            as_path(path, storage_options),
            format=format,
            rows_per_shard=rows_per_shard,
            resume=resume,
            overwrite=overwrite,
            on_error=on_error,
            masks=masks,
            about=about,
        )
        return replace(job.run(), seconds=time.perf_counter() - began)
