"""`write`: what is refused, what stands at the path, and what is to be done about it."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from ..arrays import check_texts
from ..dataset.dataset import Dataset, check_dataset
from ..errors import BadImagesError, CellprepError, counted, in_range, one_of
from ..formats import FORMATS
from ..formats.encoded import EncodedSource
from ..formats.format import Files, require
from ..formats.manifest import MANIFEST, stamp
from ..plan.fingerprint import made_of
from ..plan.plan import Plan
from ..system import executors
from ..system.locks import check_free, only_writer
from ..system.paths import (
    as_os_errors,
    as_path,
    canonical,
    check_shared,
    copy,
    is_remote,
    make_folder,
)
from .repair import repair
from .shards import write_file, write_parts
from .target import (
    QUARANTINE,
    check_apart,
    identity_of,
    littered,
    make_way,
    standing,
    sweep,
    telling,
)
from .verify import check, reads_quickly

Result = TypeVar("Result")


@dataclass(frozen=True)
class Written:
    """What a `write` did.

    Attributes
    ----------
    path : Path
    rows : int
        Images in the data set.
    resumed : int
        Of these, images that an earlier run had written.
    bad : dict
        File and cause of every image left out.
    seconds : float
    repaired : int
        Images made again, since a file of theirs, or the index, was damaged.
    quarantined : int
        Bad files that were copied to `quarantine/`.
    """

    path: Path
    rows: int
    resumed: int
    bad: Mapping[str, str]
    seconds: float
    repaired: int = 0
    quarantined: int = 0

    def __str__(self) -> str:
        told = [f"{self.resumed:,} of them by an earlier run"] * (self.resumed > 0)
        told += [f"{self.repaired:,} damaged and made again"] * (self.repaired > 0)
        before = f" ({', '.join(told)})" if told else ""
        skipped = len(self.bad) - self.quarantined
        return (
            f"{counted(self.rows, 'image')} written{before}, {skipped:,} skipped, "
            f"{self.quarantined:,} quarantined, {self.seconds:.1f} s: {self.path}"
        )


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
    progress: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> Written:
    """Make every image of a data set and write it, once, with a record of how it was made.

    The same data set gives the same bytes, whatever the executor, the number of workers and the
    interruptions on the way. Each part appears under its final name when it is complete, the index
    and `dataset.json` come last. A second writer of the same path is refused. Where the data set is
    finished already, its files are checked as by `verify`, and what is damaged is made again.

    Parameters
    ----------
    dataset : Dataset
    path : str or Path
        A folder that does not exist, is empty, or holds an unfinished write of the same data set;
        or a new `.npz` file. Also as a URL that fsspec knows, such as `s3://bucket/train`.
    format : str, optional
        "shards"; "npz"; "folder", PNG files; "webdataset", tar files; "parquet", as Hugging Face's
        `datasets` opens it; "medmnist", an npz file with the images as its part "train"; "zarr", a
        zarr 3 group of arrays `images`, `labels`, `ids`, `copies`, a shard a part; "tfrecord",
        files of `tf.train.Example`, whose features `dataset.json` describes, with raw bytes in
        `image`: `tf.reshape(tf.io.decode_raw(x["image"], tf.uint8), (height, width, 3))`. The last
        two need the extras of their names. Default: npz for a path that ends so, else shards.
    rows_per_shard : int
        Images a shard; what an interruption can cost.
    executor : "threads", "processes" or "ray"
        Each process gets the data set by pickle: quick for files, a copy for arrays in memory.
        Ray (`pip install 'cellprep[ray]'`) works on the cluster that this process is connected to,
        on the one at `address`, or on one of this machine that it starts and ends.
    workers : int, optional
        Default: the cores that may be used. On a cluster the most tasks at a time, by default two
        a core.
    address : str, optional
        Of a running Ray cluster: "host:6379", or "auto" on one of its machines. Every machine must
        see input and output under the same paths.
    resume : bool
        Go on with an unfinished write of the same data set. A single npz file starts anew.
    overwrite : bool
        Replace another data set that cellprep wrote at this path; nothing else is ever replaced.
    on_error : "raise", "skip" or "quarantine"
        For source images that cannot be read: stop before anything is written, naming all of them;
        leave them out; or leave them out and copy the files to `quarantine/` in the output. Either
        way the rest is as if they had never been there. They are listed in `dataset.json`.
    masks : bool
        Write `dataset.masks` too: `masks-00000.npy` (n, height, width) bool beside each shard, PNG
        files of the same names in `masks/` for a folder, the array `masks` in an npz file or zarr
        group, the feature `mask` in TFRecords, `KEY.mask.png` in a tar file, the column `mask` in
        Parquet. `read` gives them back.
    progress : bool
        Show a bar for each stage where the output is a terminal.
    storage_options : dict, optional
        What fsspec is to open a URL with. Default: its configuration and the environment.

    Returns
    -------
    Written

    Raises
    ------
    CellprepError
        When the path holds anything else, lies inside the source or cannot be written.
    BadImagesError
        Naming every image that cannot be read.
    """
    began = time.monotonic()
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
        )
        return replace(job.run(), seconds=time.monotonic() - began)


@dataclass(frozen=True)
class Job:
    """A write that nothing speaks against, and of which nothing is done yet."""

    plan: Plan
    path: Path
    made_of: Mapping[str, Any]
    identity: Callable[[], str]
    stands: str
    look: Callable[[], str]
    quarantined: Files

    def run(self) -> Written:
        """Do it."""
        began = time.monotonic()
        try:
            with as_os_errors(self.path):
                resumed, repaired = self._write()
                copied = _quarantine(self.plan, self.path) if self.quarantined else 0
        except OSError as error:
            raise CellprepError(_cannot_write(self.path, error)) from error
        seconds = time.monotonic() - began
        return Written(
            *(self.path, len(self.plan), resumed, self.plan.bad, seconds, repaired, copied)
        )

    def _write(self) -> tuple[int, int]:
        """How many rows an earlier run had written, and how many of these were damaged."""
        is_file, checked = FORMATS[self.made_of["format"]].is_file, None
        if self.stands == "finished":
            checked = check(self.path, deep=reads_quickly(self.path))
            if not checked.damaged and not littered(self.path):
                return len(self.plan), 0
        with only_writer(self.path, is_file=is_file) as still_alone:
            stands = self.look()  # again: another may have been here
            told_later = stands != "unfinished" and telling(self.plan, self.made_of["format"])
            origin = {**self.made_of, "source": None if told_later else self.identity()}
            if stands == "finished":
                checked = checked or check(self.path, deep=reads_quickly(self.path))
                repaired = 0
                if checked.damaged and is_file:
                    write_file(self.plan, self.path, origin)
                    repaired = len(self.plan)
                elif checked.damaged:
                    repaired = repair(self.plan, self.path, origin, checked, still_alone)
                sweep(self.path)
                return len(self.plan) - repaired, repaired
            make_way(self.path, origin, stands)
            if is_file:
                write_file(self.plan, self.path, origin)
                return 0, 0
            return write_parts(self.plan, self.path, origin, self.quarantined, still_alone)


def plan_write(
    dataset: Dataset,
    path: str | Path,
    *,
    format: str | None = None,
    rows_per_shard: int = 1024,
    resume: bool = True,
    overwrite: bool = False,
    on_error: str = "raise",
    masks: bool = False,
    dry: bool = False,
) -> Job:
    """The job of a `write` with these settings: all that can be refused is refused here.

    A URL is tried out by writing something small to it, unless the job is never to be run (`dry`).
    """
    check_dataset(dataset)
    path = as_path(path)
    kind = format or ("npz" if path.suffix.lower() == ".npz" else "shards")
    one_of("format", kind, FORMATS)
    for module in FORMATS[kind].needs:
        require(module, f"cellprep[{kind}]")
    one_of("on_error", on_error, ("raise", "skip", "quarantine"))
    in_range("rows_per_shard", rows_per_shard, 1, 2**31, whole=True)
    if on_error == "quarantine" and FORMATS[kind].is_file:
        raise CellprepError(
            'on_error="quarantine" needs a folder to put the files in; choose '
            'another format, or "skip"'
        )
    check_texts([str(path)], "the output path")
    check_apart(path, dataset.source.path)
    if not executors.share_memory():
        check_shared(path, dataset.source.path)
    _answered(path, lambda: check_free(path))
    if is_remote(path) and not dry and _answered(path, lambda: not (path / MANIFEST).is_file()):
        _answered(path, lambda: _try_out(path, kind))  # before what may take hours
    plan = dataset.readable().plan
    if plan.bad and on_error == "raise":
        raise BadImagesError(plan.bad, 'Mend them, or choose on_error="skip" or "quarantine"')
    if plan.bad and on_error == "quarantine" and isinstance(plan.source, EncodedSource):
        raise CellprepError(
            'on_error="quarantine" copies files, and these images lie within larger ones; choose '
            f'"skip". {BadImagesError(plan.bad)}'
        )
    if not len(plan):
        raise CellprepError(
            "no image is left to write; look at .removed() for what each step took out"
        )
    if masks and not plan.pixels.masked:
        raise CellprepError(
            "there are no masks to write: read drawn ones, as in read(..., masks=), or add a "
            "KMeansMask"
        )
    origin = made_of(plan, kind, rows_per_shard) | ({"masks": True} if masks else {})
    identity = cache(partial(identity_of, plan, kind, rows_per_shard))
    stand = partial(standing, path, origin, plan, identity)
    look = partial(stand, resume=resume, overwrite=overwrite)
    stands = _answered(path, look)
    quarantined = _stamps_of_bad(plan) if on_error == "quarantine" else {}
    return Job(plan, path, origin, identity, stands, look, quarantined)


def _try_out(path: Path, kind: str) -> None:
    """Write something small, so that a missing bucket or permission is told now."""
    with only_writer(path, is_file=FORMATS[kind].is_file):
        pass


def _answered(path: Path, look: Callable[[], Result]) -> Result:
    """What a look at the path gives; no answer is said in one line."""
    try:
        with as_os_errors(path):
            return look()
    except OSError as error:
        raise CellprepError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def _cannot_write(path: Path, error: OSError) -> str:
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    what = "; free some space" if error.errno in full else ""
    return (
        f"cannot write {str(path)!r}: {error.strerror or error}{what}; nothing half-written is "
        "left under a final name, the same write goes on from here"
    )


def _stamps_of_bad(plan: Plan) -> Files:
    """What the copies of the bad files will be: an overwrite takes these away, and no others."""
    source, files = plan.source.path, {}
    for name in plan.bad:
        assert source is not None  # only files can be bad
        with suppress(OSError):  # it cannot be read at all; dataset.json names it
            if (source / name).is_file():
                files[f"{QUARANTINE}/{name}"] = stamp(source / name)
    return files


def _quarantine(plan: Plan, path: Path) -> int:
    """Copy the bad files, as far as they can be read; how many. The files stay where they are."""
    source, copied = plan.source.path, 0
    assert source is not None
    for name in plan.bad:
        file = path / QUARANTINE / name
        if canonical(source) not in canonical(source / name).parents:
            continue  # a link that leads elsewhere: what lies there was not given to us
        make_folder(file.parent)
        copied += copy(source / name, file)
    return copied
