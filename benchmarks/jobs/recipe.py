"""The whole recipe: Dedupe, Balance, KMeansMask, three RandAugment copies, writing to disk.

13,759 images with planted outliers and uneven classes become 8 equal classes of masked images and
three augmented copies of each, in files.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cellprep as cp

from ..measure.job import Call, Images, Job, Peer
from ..measure.parallel import cores
from ..measure.timing import undoable
from . import jitter, masks, rand_augment

Labels = NDArray[np.int64]
COPIES = rand_augment.COPIES
RECIPE = cp.Recipe(
    [
        cp.Dedupe(),
        cp.Balance(),
        cp.KMeansMask(n_clusters=2, color_space="rgb", foreground="darkest"),
        cp.RandAugment(copies=COPIES),
    ],
    seed=0,
)


def _labels(folder: Path) -> Labels:
    return np.load(folder.parent / "labels.npy")


def _written(route: Callable[[Path], Any], folder: Path) -> Call:
    out = folder / "out"

    def write() -> None:
        out.mkdir()
        route(out)

    return undoable(write, lambda: shutil.rmtree(out))


def ours(images: Images, folder: Path) -> Call:
    cells = cp.Dataset.from_arrays(images, _labels(folder), class_names=[*"abcdefgh"])
    return _written(lambda out: cp.write(RECIPE(cells), out / "set", progress=False), folder)


# -- other ways --------------------------------------------------------------------------------


def _kept(digest: Callable[[Any], Any], images: Images, labels: Labels) -> NDArray[np.intp]:
    """One of each image, none of those that occur more than ten times or under two labels."""
    groups = defaultdict(list)
    for position, image in enumerate(images):
        groups[digest(image.data)].append(position)
    kept = [
        group[0] for group in groups.values() if len(group) <= 10 and len(set(labels[group])) == 1
    ]
    return np.array(sorted(kept))


def _added(labels: Labels) -> NDArray[np.intp]:
    """The images to repeat for equal classes."""
    rng = np.random.default_rng(0)
    counts = Counter(labels.tolist())
    most = max(counts.values())
    return np.concatenate(
        [rng.choice(np.flatnonzero(labels == name), most - n) for name, n in counts.items()]
    )


def notebook(images: Images, folder: Path) -> Call:
    """md5, ImageDataGenerator, sklearn KMeans, keras-cv eager, savez_compressed"""
    labels = _labels(folder)

    def route(out: Path) -> None:
        kept = _kept(lambda data: hashlib.md5(data).hexdigest(), images, labels)
        x, y = images[kept], labels[kept]
        added = _added(y)
        more = jitter.image_data_generator(x[added], out)()
        x, y = np.concatenate([x, np.stack(more).astype(np.uint8)]), np.r_[y, y[added]]
        x = x * masks.sklearn_masks(2, False, x)[..., None]
        layer = rand_augment.keras_cv_layer()
        sets = [x]
        for _ in range(COPIES):
            sets.append(np.asarray(layer(x)).astype(np.uint8))
        np.savez_compressed(out / "set.npz", images=np.concatenate(sets), labels=np.tile(y, 4))

    return _written(route, folder)


def careful_keras(images: Images, folder: Path) -> Call:
    """md5, Keras layers in tf.data, sklearn KMeans, keras-cv in tf.function, np.save"""
    import tensorflow as tf
    from threadpoolctl import threadpool_limits

    labels = _labels(folder)
    layer = rand_augment.keras_cv_layer()
    step = tf.function(lambda x: tf.cast(layer(x), tf.uint8), reduce_retracing=True)

    def route(out: Path) -> None:
        kept = _kept(lambda data: hashlib.md5(data).digest(), images, labels)
        x, y = images[kept], labels[kept]
        added = _added(y)
        more = jitter.keras_layers(x[added], out)()
        x, y = np.concatenate([x, *more]), np.r_[y, y[added]]
        with threadpool_limits(1):  # on images this small faster than its own threads
            x *= masks.sklearn_masks(2, False, x)[..., None]
        images_out = np.lib.format.open_memmap(
            out / "images.npy", "w+", np.uint8, ((COPIES + 1) * len(x), *x.shape[1:])
        )
        images_out[: len(x)] = x
        for copy in range(1, COPIES + 1):
            for start in range(0, len(x), 64):
                made = step(x[start : start + 64]).numpy()
                images_out[copy * len(x) + start :][: len(made)] = made
        np.save(out / "labels.npy", np.tile(y, COPIES + 1))

    return _written(route, folder)


def fastest_libraries(images: Images, folder: Path) -> Call:
    """xxh3, cv2.warpAffine and cv2.kmeans on two threads, torchvision in two processes, np.save"""
    from concurrent.futures import ThreadPoolExecutor

    import cv2
    from xxhash import xxh3_128_digest

    labels = _labels(folder)
    rand_augment.torchvision()
    threads = ThreadPoolExecutor(cores())
    processes = multiprocessing.get_context("spawn").Pool(cores())
    cv2.setNumThreads(1)  # one thread per image is faster

    def spread(batch: Callable[[Images], Any], x: Images) -> Images:
        return np.concatenate(list(threads.map(batch, np.array_split(x, 4 * cores()))))

    def route(out: Path) -> None:
        kept = _kept(xxh3_128_digest, images, labels)
        x, y = images[kept], labels[kept]
        added = _added(y)
        x = np.concatenate([x, spread(jitter.warp_affine, x[added])])
        y = np.r_[y, y[added]]
        x *= spread(partial(masks.cv2_masks, 2), x)[..., None]
        # The workers read and write the file itself, so no images are sent between processes.
        file = out / "images.npy"
        shape = ((COPIES + 1) * len(x), *x.shape[1:])
        np.lib.format.open_memmap(file, "w+", np.uint8, shape)[: len(x)] = x
        bounds = np.linspace(0, len(x), 4 * cores() + 1).astype(int).tolist()
        spans = itertools.pairwise(bounds)
        processes.map(_augment_chunk, [(file, len(x), *span) for span in spans], chunksize=1)
        np.save(out / "labels.npy", np.tile(y, COPIES + 1))

    return _written(route, folder)


def _augment_chunk(job: tuple[Path, int, int, int]) -> None:
    file, n, start, stop = job
    out = np.load(file, mmap_mode="r+")
    for copy in range(1, COPIES + 1):
        out[copy * n + start : copy * n + stop] = rand_augment.torchvision_batch(out[start:stop])


def check(images: Images, folder: Path) -> str:
    """All images but the planted faults remain, in equal classes."""
    cells = cp.Dataset.from_arrays(images, np.load(folder / "labels.npy"), [*"abcdefgh"])
    made = RECIPE(cells)
    counts = set(made.counts().values())
    kept = _kept(lambda data: bytes(data), images, cells.labels)
    most = max(Counter(cells.labels[kept].tolist()).values())
    assert counts == {(COPIES + 1) * most}
    return f"{len(made):,} images written"


JOBS = (
    Job(
        "recipe",
        "the whole recipe",
        ours,
        (
            Peer("the notebook route", notebook, target=300, images=400),
            Peer("the careful Keras route", careful_keras, target=40, images=1000),
            Peer("the fastest libraries together", fastest_libraries, target=5, images=4096),
        ),
        check,
        rounds=3,
        messy=True,
        seconds=True,
    ),
)
