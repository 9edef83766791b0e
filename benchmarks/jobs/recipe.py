"""The whole recipe: dedupe, balance, mask, three RandAugment copies, disk.

13,759 images with planted outliers and uneven classes become 8 equal classes of masked images,
each beside its three augmented copies, in files.
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
from benchmarks.measure import Call, Images, Job, Peer, cores, undone

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
    place = folder / "out"

    def go() -> None:
        place.mkdir()
        route(place)

    return undone(go, lambda: shutil.rmtree(place))


def ours(images: Images, folder: Path) -> Call:
    cells = cp.Dataset.from_arrays(images, _labels(folder), class_names=[*"abcdefgh"])
    return _written(lambda place: cp.write(RECIPE(cells), place / "set", progress=False), folder)


# -- by hand -----------------------------------------------------------------------------------


def _kept(digest: Callable[[Any], Any], images: Images, labels: Labels) -> NDArray[np.intp]:
    """One of each picture, none of those that stand more than ten times or under two labels."""
    groups = defaultdict(list)
    for place, image in enumerate(images):
        groups[digest(image.data)].append(place)
    kept = [
        group[0] for group in groups.values() if len(group) <= 10 and len(set(labels[group])) == 1
    ]
    return np.array(sorted(kept))


def _added(labels: Labels) -> NDArray[np.intp]:
    """Which images to repeat, and how often, for equal classes."""
    rng = np.random.default_rng(0)
    counts = Counter(labels.tolist())
    most = max(counts.values())
    return np.concatenate(
        [rng.choice(np.flatnonzero(labels == name), most - n) for name, n in counts.items()]
    )


def notebook(images: Images, folder: Path) -> Call:
    """md5, ImageDataGenerator, sklearn KMeans, keras-cv eager, savez_compressed"""
    labels = _labels(folder)

    def route(place: Path) -> None:
        kept = _kept(lambda data: hashlib.md5(data).hexdigest(), images, labels)
        x, y = images[kept], labels[kept]
        added = _added(y)
        more = jitter.image_data_generator(x[added], place)()
        x, y = np.concatenate([x, np.stack(more).astype(np.uint8)]), np.r_[y, y[added]]
        x = x * masks.sklearn_masks(2, False, x)[..., None]
        layer = rand_augment.keras_cv_layer()
        sets = [x]
        for _ in range(COPIES):
            sets.append(np.asarray(layer(x)).astype(np.uint8))
        np.savez_compressed(place / "set.npz", images=np.concatenate(sets), labels=np.tile(y, 4))

    return _written(route, folder)


def careful_keras(images: Images, folder: Path) -> Call:
    """md5, Keras layers in tf.data, sklearn KMeans, keras-cv in tf.function, np.save"""
    import tensorflow as tf
    from threadpoolctl import threadpool_limits

    labels = _labels(folder)
    layer = rand_augment.keras_cv_layer()
    step = tf.function(lambda x: tf.cast(layer(x), tf.uint8), reduce_retracing=True)

    def route(place: Path) -> None:
        kept = _kept(lambda data: hashlib.md5(data).digest(), images, labels)
        x, y = images[kept], labels[kept]
        added = _added(y)
        more = jitter.keras_layers(x[added], place)()
        x, y = np.concatenate([x, *more]), np.r_[y, y[added]]
        with threadpool_limits(1):  # faster than its own threads on images this small
            x *= masks.sklearn_masks(2, False, x)[..., None]
        out = np.lib.format.open_memmap(
            place / "images.npy", "w+", np.uint8, ((COPIES + 1) * len(x), *x.shape[1:])
        )
        out[: len(x)] = x
        for copy in range(1, COPIES + 1):
            for at in range(0, len(x), 64):
                made = step(x[at : at + 64]).numpy()
                out[copy * len(x) + at :][: len(made)] = made
        np.save(place / "labels.npy", np.tile(y, COPIES + 1))

    return _written(route, folder)


def fastest_peers(images: Images, folder: Path) -> Call:
    """xxh3, cv2.warpAffine and cv2.kmeans on two threads, torchvision in two processes, np.save"""
    from concurrent.futures import ThreadPoolExecutor

    import cv2
    from xxhash import xxh3_128_digest

    labels = _labels(folder)
    rand_augment.torchvision()
    threads = ThreadPoolExecutor(cores())
    processes = multiprocessing.get_context("spawn").Pool(cores())
    cv2.setNumThreads(1)  # the threads go over the images, which is faster

    def spread(batch: Callable[[Images], Any], x: Images) -> Images:
        return np.concatenate(list(threads.map(batch, np.array_split(x, 4 * cores()))))

    def route(place: Path) -> None:
        kept = _kept(xxh3_128_digest, images, labels)
        x, y = images[kept], labels[kept]
        added = _added(y)
        x = np.concatenate([x, spread(jitter.warp_affine, x[added])])
        y = np.r_[y, y[added]]
        x *= spread(partial(masks.cv2_masks, 2), x)[..., None]
        # The workers read and write the file itself: nothing is sent back and forth.
        file = place / "images.npy"
        shape = ((COPIES + 1) * len(x), *x.shape[1:])
        np.lib.format.open_memmap(file, "w+", np.uint8, shape)[: len(x)] = x
        bounds = np.linspace(0, len(x), 4 * cores() + 1).astype(int).tolist()
        spans = itertools.pairwise(bounds)
        processes.map(_augment_part, [(file, len(x), *span) for span in spans], chunksize=1)
        np.save(place / "labels.npy", np.tile(y, COPIES + 1))

    return _written(route, folder)


def _augment_part(job: tuple[Path, int, int, int]) -> None:
    file, n, start, stop = job
    out = np.load(file, mmap_mode="r+")
    for copy in range(1, COPIES + 1):
        out[copy * n + start : copy * n + stop] = rand_augment.torchvision_batch(out[start:stop])


def check(images: Images, folder: Path) -> str:
    """As many images as the planted faults leave, in equal classes."""
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
            Peer("the fastest peers together", fastest_peers, target=5, images=4096),
        ),
        check,
        rounds=3,
        messy=True,
        seconds=True,
    ),
)
