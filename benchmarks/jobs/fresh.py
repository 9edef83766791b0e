"""The loader of a training with fresh copies: the report's recipe, every epoch anew, shuffled.

The set-up reads the first epoch, which removes duplicates and finds the masks or windows of images
that are the same in every epoch; each call then reads as many rows of the next epoch as there are
images. So one call is not a whole epoch, which has more rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cellprep as cp

from ..measure.job import Call, Images, Job, Peer
from ..measure.parallel import cores, in_tf_data
from . import rand_augment

BATCH = 64
COPIES = rand_augment.COPIES


def _recipe(step: cp.Step) -> cp.Recipe:
    return cp.Recipe([cp.Dedupe(), cp.Balance(), step, cp.RandAugment(copies=COPIES)], seed=0)


def _made(step: cp.Step, images: Images, folder: Path) -> cp.Dataset:
    labels = np.load(folder.parent / "labels.npy")
    cells = cp.Dataset.from_arrays(images, labels, class_names=[*"abcdefgh"])
    return _recipe(step)(cells)


def _epochs(made: cp.Dataset, n: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Every epoch's number, and n of its rows in shuffled order."""
    return ((epoch, made.shuffled(0, epoch)[:n]) for epoch in itertools.count(1))


def _drained(batches: Any) -> int:
    return sum(len(labels) for _, labels in batches)


def ours(step: cp.Step, images: Images, folder: Path) -> Call:
    made = _made(step, images, folder)
    _drained(made.epoch(0).batches(BATCH))
    epochs = _epochs(made, len(images))

    def call() -> int:
        epoch, order = next(epochs)
        return _drained(made.epoch(epoch).batches(BATCH, order=order))

    return call


def torch_loader(step: cp.Step, images: Images, folder: Path) -> Call:
    """one worker per core, which persist"""
    from torch.utils.data import DataLoader

    made = _made(step, images, folder)
    data, order = made.to_torch(), list[int]()
    how: Any = {"batch_size": BATCH, "num_workers": cores(), "persistent_workers": True}
    loader = DataLoader(data, sampler=order, **how)
    epochs = _epochs(made, len(images))

    def call(rows: int = 0) -> int:
        epoch, some = next(epochs)
        data.set_epoch(epoch)
        order[:] = some.tolist() if not rows else range(rows)
        return _drained(loader)

    call(len(made))
    return call


def tensorflow(step: cp.Step, images: Images, folder: Path) -> Call:
    """one pipeline over all epochs"""
    made = _made(step, images, folder)
    batches = iter(made.to_tf(BATCH, shuffle=True, epochs=2**20))
    for _ in range(len(made) // BATCH):
        next(batches)
    return lambda: _drained(itertools.islice(batches, len(images) // BATCH))


def keras_cv(images: Images, folder: Path) -> Call:
    """tf.data, batches of 64, the layer alone"""
    return partial(next, _keras_cv_epochs(images))


def _keras_cv_epochs(images: Images) -> Iterator[int]:
    import tensorflow as tf

    layer = rand_augment.keras_cv_layer()
    data = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images)).batch(BATCH)
    data = in_tf_data(lambda x: tf.cast(layer(x), tf.uint8), data)
    while True:
        yield sum(len(made) for made in data)


def torchvision(images: Images, folder: Path) -> Call:
    """DataLoader, one worker per core, RandAugment alone"""
    from torch.utils.data import DataLoader

    how: Any = {"batch_size": BATCH, "num_workers": cores(), "persistent_workers": True}
    loader = DataLoader(_Augmented(images), shuffle=True, **how)  # type: ignore[arg-type]
    return lambda: sum(len(made) for made in loader)


class _Augmented:
    """A map-style data set as in torchvision: one random image at a time."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, at: int) -> Images:
        return rand_augment.torchvision_batch(self.images[at : at + 1])[0]


def check(step: cp.Step, images: Images, folder: Path) -> str:
    """A row of an epoch is the same alone and in any batch."""
    made = _made(step, images, folder / "check")
    order = made.shuffled(0, 3)[:BATCH]
    ((batch, _),) = made.epoch(3).batches(BATCH, order=order)
    assert all((made.epoch(3).images[row] == batch[at]).all() for at, row in enumerate(order))
    return f"{len(made):,} images per epoch"


def _job(name: str, step: cp.Step, peers: tuple[Peer, ...]) -> Job:
    return Job(
        name,
        f"fresh copies every epoch, with {type(step).__name__}",
        partial(ours, step),
        (
            Peer("the same by `to_torch`", partial(torch_loader, step)),
            Peer("the same by `to_tf`", partial(tensorflow, step)),
            *peers,
        ),
        partial(check, step),
        images=4096,
        at_least=10_000,
        messy=True,
    )


JOBS = (
    _job(
        "fresh_mask",
        cp.KMeansMask(),
        (
            Peer("keras-cv, RandAugment only", keras_cv, images=512),
            Peer("torchvision v2, RandAugment only", torchvision, images=512),
        ),
    ),
    _job("fresh_crop", cp.Crop(80), ()),
)
