"""All cores for a library that uses one, and silence for one that prints."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .job import Call, Images

Batch = Callable[[Images], Images]


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def in_threads(batch: Batch, images: Images) -> Call:
    """`batch` over chunks of the images, with one thread per core."""
    pool = ThreadPoolExecutor(cores())
    chunks = np.array_split(images, 4 * cores())
    return lambda: list(pool.map(batch, chunks))


def in_tf_data(function: Callable[[Any], Any], batches: Any) -> Any:
    """`function` over a `tf.data.Dataset`, with one thread per core, prefetched.

    Without TensorFlow's tuning, whose thread keeps a finished pipeline waiting for up to as long
    as it ran: its pauses double.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.map(function, num_parallel_calls=cores()).prefetch(2).with_options(options)


def in_processes(batch: Batch, images: Images, folder: Path) -> Call:
    """`batch`, a function of a module, with one process per core.

    Images are memory-mapped by both sides and written in place, so no transport is timed.
    """
    source, out = folder / "in.npy", folder / "out.npy"
    np.save(source, images)
    np.save(out, images)
    pool = multiprocessing.get_context("spawn").Pool(cores())
    bounds = np.linspace(0, len(images), 4 * cores() + 1).astype(int).tolist()
    jobs = [(batch, source, out, *span) for span in itertools.pairwise(bounds)]
    return lambda: pool.map(_process_chunk, jobs, chunksize=1)


def _process_chunk(job: tuple[Batch, Path, Path, int, int]) -> int:
    batch, source, out, start, stop = job
    made = batch(np.load(source, mmap_mode="r")[start:stop])
    np.load(out, mmap_mode="r+")[start:stop] = made[: stop - start]
    return len(made)


@contextlib.contextmanager
def quiet() -> Any:
    """Suppress a library's progress bars and messages, which take time."""
    with (
        open(os.devnull, "w") as sink,
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
    ):
        yield
