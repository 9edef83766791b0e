"""Writing a data set from memory, and reading images at random.

The files stay in the page cache: the cost of the library is measured, not that of the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cellprep as cp

from ..measure.job import Call, Images, Job, Peer
from ..measure.timing import undoable

BATCH = 256


def _fresh(folder: Path, write: Callable[[Path], Any]) -> Call:
    """Each call writes to a new path, which is deleted afterwards."""
    path = folder / "set"

    def clear() -> None:
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return undoable(lambda: write(path), clear)


# -- writing -----------------------------------------------------------------------------------


def write_ours(images: Images, labels: np.ndarray[Any, Any], path: Path) -> None:
    cp.write(cp.Dataset.from_arrays(images, labels), path, progress=False)


def _labels(images: Images) -> np.ndarray[Any, Any]:
    return np.arange(len(images)) % 8


def ours(images: Images, folder: Path) -> Call:
    return _fresh(folder, partial(write_ours, images, _labels(images)))


def tofile(images: Images, folder: Path) -> Call:
    return _fresh(folder, images.tofile)


def np_savez_compressed(images: Images, folder: Path) -> Call:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, images=images)

    return _fresh(folder, write)


def write_zarr(chunk: int, images: Images, path: Path) -> None:
    import zarr

    array = zarr.create_array(
        path,
        shape=images.shape,
        chunks=(chunk, *images.shape[1:]),
        shards=(max(chunk, 1024 // chunk * chunk), *images.shape[1:]) if chunk < 256 else None,
        dtype=images.dtype,
        compressors=None,
    )
    array[:] = images


def zarr(images: Images, folder: Path) -> Call:
    import zarr  # noqa: F401

    return _fresh(folder, partial(write_zarr, 1024, images))


def tfrecord(images: Images, folder: Path) -> Call:
    import tensorflow as tf

    def write(path: Path) -> None:
        with tf.io.TFRecordWriter(str(path)) as file:
            for image in images:
                file.write(image.tobytes())

    return _fresh(folder, write)


def write_array_record(images: Images, path: Path) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    for image in images:
        writer.write(image.tobytes())
    writer.close()


def array_record(images: Images, folder: Path) -> Call:
    import array_record  # noqa: F401

    return _fresh(folder, partial(write_array_record, images))


def check_write(images: Images, folder: Path) -> None:
    path = folder / "checked"
    few = images[:3000]
    write_ours(few, _labels(few), path)
    back = cp.read(path)
    assert np.array_equal(back.images[:], few)
    assert np.array_equal(back.images[len(few) - 1], few[-1])


# -- reading at random -------------------------------------------------------------------------


def _order(n: int) -> list[int]:
    return np.random.default_rng(0).permutation(n).tolist()


def _batches(n: int) -> list[np.ndarray[Any, Any]]:
    order = np.random.default_rng(0).permutation(n)
    return [order[start : start + BATCH] for start in range(0, n, BATCH)]


def _each(read: Callable[[Any], Images], positions: list[Any]) -> None:
    """Read everything, keep nothing: allocating memory for all would take longer than reading."""
    for position in positions:
        read(position)


def read_ours(images: Images, folder: Path) -> Call:
    write_ours(images, _labels(images), folder / "set")
    view, order = cp.read(folder / "set").images, _order(len(images))
    return lambda: _each(view.__getitem__, order)


def read_batches_ours(images: Images, folder: Path) -> Call:
    write_ours(images, _labels(images), folder / "set")
    view, batches = cp.read(folder / "set").images, _batches(len(images))
    return lambda: _each(view.__getitem__, batches)


def _mapped(images: Images, folder: Path) -> Any:
    np.save(folder / "set.npy", images)
    return np.load(folder / "set.npy", mmap_mode="r")


def read_mapped(images: Images, folder: Path) -> Call:
    mapped, order = _mapped(images, folder), _order(len(images))
    return lambda: _each(lambda i: np.array(mapped[i]), order)


def read_batches_mapped(images: Images, folder: Path) -> Call:
    mapped, batches = _mapped(images, folder), _batches(len(images))
    return lambda: _each(lambda batch: np.asarray(mapped[batch]), batches)


def read_zarr(chunk: int, images: Images, folder: Path) -> Call:
    """one by one from chunks of {}"""
    import zarr

    write_zarr(chunk, images, folder / "set")
    array, order = zarr.open_array(folder / "set", mode="r"), _order(len(images))
    return lambda: _each(array.__getitem__, order)


def read_batches_zarr(chunk: int, images: Images, folder: Path) -> Call:
    """batches from chunks of {}"""
    import zarr

    write_zarr(chunk, images, folder / "set")
    array, batches = zarr.open_array(folder / "set", mode="r"), _batches(len(images))
    return lambda: _each(array.oindex.__getitem__, batches)


def _source(images: Images, folder: Path) -> Any:
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    write_array_record(images, folder / "set")
    return ArrayRecordDataSource(str(folder / "set"))


def _image(record: bytes, shape: tuple[int, ...]) -> Images:
    return np.frombuffer(record, np.uint8).reshape(shape)


def read_array_record(images: Images, folder: Path) -> Call:
    source, order, shape = _source(images, folder), _order(len(images)), images.shape[1:]
    return lambda: _each(lambda i: _image(source[i], shape), order)


def read_batches_array_record(images: Images, folder: Path) -> Call:
    source, shape = _source(images, folder), images.shape[1:]
    batches = [batch.tolist() for batch in _batches(len(images))]
    return lambda: _each(
        lambda batch: np.stack([_image(record, shape) for record in source.__getitems__(batch)]),
        batches,
    )


JOBS = (
    Job(
        "write",
        "`write` of a data set in memory",
        ours,
        (
            Peer("one ndarray.tofile of the same bytes", tofile, target=0.7),
            Peer("zarr 3, no compression", zarr),
            Peer("TFRecord, raw", tfrecord),
            Peer("array_record, raw", array_record, images=4096),
            Peer("np.savez_compressed", np_savez_compressed, images=512),
        ),
        check_write,
        rounds=9,
    ),
    Job(
        "read",
        "single images of a written set at random",
        read_ours,
        (
            Peer("a mapped .npy file", read_mapped),
            Peer("array_record", read_array_record),
            Peer("zarr 3", [partial(read_zarr, chunk) for chunk in (1, 32)], images=512),
        ),
        at_least=100_000,
    ),
    Job(
        "read-batches",
        f"{BATCH} images at once of a written set at random",
        read_batches_ours,
        (
            Peer("a mapped .npy file", read_batches_mapped),
            Peer("array_record", read_batches_array_record),
            Peer("zarr 3", (partial(read_zarr, 32), partial(read_batches_zarr, 32)), images=512),
        ),
    ),
)
