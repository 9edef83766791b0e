"""Three RandAugment operations per copy at magnitude 0.5, three copies of each image.

Out of KerasCV's ten operations, and out of the 27 of the wide list.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import cellprep as cp

from ..measure.job import Call, Images, Job, Peer
from ..measure.parallel import in_processes, in_tf_data, in_threads

COPIES = 3


def ours(operations: str, images: Images, folder: Path) -> Call:
    labels = np.zeros(len(images), np.int64)
    return lambda: cp.rand_augment(
        images, labels, copies=COPIES, keep_originals=False, operations=operations
    )


def _thrice(batch: Any, images: Images) -> list[Any]:
    return [batch(images) for _ in range(COPIES)]


def keras_cv_layer() -> Any:
    import keras_cv

    return keras_cv.layers.RandAugment(
        value_range=(0, 255), augmentations_per_image=3, magnitude=0.5, magnitude_stddev=0.15
    )


def keras_cv_eager(images: Images, folder: Path) -> Call:
    layer = keras_cv_layer()
    return lambda: _thrice(lambda x: np.asarray(layer(x)).astype(np.uint8), images)


def keras_cv_function(size: int, images: Images, folder: Path) -> Call:
    """tf.function, batches of {}"""
    import tensorflow as tf

    layer = keras_cv_layer()
    step = tf.function(lambda x: tf.cast(layer(x), tf.uint8))
    return lambda: _thrice(
        lambda x: [step(x[i : i + size]).numpy() for i in range(0, len(x), size)], images
    )


def keras_cv_data(size: int, images: Images, folder: Path) -> Call:
    """tf.data, batches of {}"""
    import tensorflow as tf

    layer = keras_cv_layer()
    data = tf.data.Dataset.from_tensor_slices(images).repeat(COPIES).batch(size)
    data = in_tf_data(lambda x: tf.cast(layer(x), tf.uint8), data)
    return lambda: [made.numpy() for made in data]


def keras_layer(images: Images, folder: Path) -> Call:
    import keras
    import tensorflow as tf

    layer = keras.layers.RandAugment(value_range=(0, 255), num_ops=3, factor=0.5)
    data = tf.data.Dataset.from_tensor_slices(images).repeat(COPIES).batch(64)
    data = in_tf_data(
        lambda x: tf.cast(layer(tf.cast(x, tf.float32), training=True), tf.uint8), data
    )
    return lambda: [made.numpy() for made in data]


@cache
def torchvision() -> Any:
    from . import torchvision_cpu

    torchvision_cpu.load()
    from torchvision.transforms import InterpolationMode, v2

    return v2.RandAugment(num_ops=3, magnitude=15, interpolation=InterpolationMode.BILINEAR)


def torchvision_batch(images: Images) -> Images:
    """v2.RandAugment on Pillow images."""
    from PIL import Image

    change = torchvision()
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def torchvision_one(images: Images, folder: Path) -> Call:
    """PIL, one core"""
    return lambda: _thrice(torchvision_batch, images)


def torchvision_threads(images: Images, folder: Path) -> Call:
    """PIL, two threads"""
    call = in_threads(torchvision_batch, images)
    return lambda: [call() for _ in range(COPIES)]


def torchvision_processes(images: Images, folder: Path) -> Call:
    """PIL, two processes"""
    torchvision()
    call = in_processes(torchvision_batch, images, folder)
    return lambda: [call() for _ in range(COPIES)]


def torchvision_tensors(images: Images, folder: Path) -> Call:
    """tensors, one image at a time"""
    change = torchvision()
    import torch

    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return lambda: _thrice(lambda x: [change(image).numpy() for image in x], tensors)


def _ten() -> list[Any]:
    import albumentations as A  # noqa: N812

    return [
        A.AutoContrast(p=1),
        A.Equalize(p=1),
        A.Solarize(threshold_range=(0.3, 0.7), p=1),
        A.ColorJitter((1, 1), (1, 1), (0, 1), (0, 0), p=1),
        A.RandomBrightnessContrast((0, 0), (-0.5, 0.5), p=1),
        A.RandomBrightnessContrast((-0.5, 0.5), (0, 0), p=1),
        A.Affine(shear={"x": (-26, 26), "y": (0, 0)}, p=1),
        A.Affine(shear={"x": (0, 0), "y": (-26, 26)}, p=1),
        A.Affine(translate_percent={"x": (-0.5, 0.5), "y": (0, 0)}, p=1),
        A.Affine(translate_percent={"x": (0, 0), "y": (-0.5, 0.5)}, p=1),
    ]


def _wide_but_stain() -> list[Any]:
    import albumentations as A  # noqa: N812
    import cv2

    mirror = cv2.BORDER_REFLECT
    return [
        *_ten(),
        A.Affine(rotate=(-90, 90), border_mode=mirror, p=1),
        A.OneOf([A.HorizontalFlip(p=1), A.VerticalFlip(p=1)], p=1),
        A.Affine(scale=(0.89, 1.125), border_mode=mirror, p=1),
        A.HueSaturationValue(45, 0, 0, p=1),
        A.ColorJitter((1, 1), (1, 1), (0.5, 1.5), (0, 0), p=1),
        A.RandomGamma((67, 150), p=1),
        A.ChannelShuffle(p=1),
        A.Posterize((3, 7), p=1),
        A.InvertImg(p=1),
        A.RGBShift(32, 32, 32, p=1),
        A.GaussNoise((0.07, 0.23), p=1),
        A.GaussianBlur(0, (0.8, 1.8), p=1),
        A.MotionBlur((3, 9), p=1),
        A.ImageCompression(quality_range=(30, 80), p=1),
        A.CoarseDropout((1, 1), (0.1, 0.4), (0.1, 0.4), p=1),
        A.GridDropout(0.3, random_offset=True, p=1),
    ]


def _wide() -> list[Any]:
    import albumentations as A  # noqa: N812

    return [*_wide_but_stain(), A.HEStain(p=1)]


Operations = Callable[[], list[Any]]


@cache
def _albumentations(operations: Operations) -> Any:
    import albumentations as A  # noqa: N812
    import cv2

    cv2.setNumThreads(1)
    return A.Compose([A.SomeOf(operations(), n=3)])


def _albumentations_batch(operations: Operations, images: Images) -> Images:
    change = _albumentations(operations)
    return np.stack([change(image=image)["image"] for image in images])


def albumentations_one(operations: Operations, images: Images, folder: Path) -> Call:
    """one core"""
    return lambda: _thrice(partial(_albumentations_batch, operations), images)


def albumentations_threads(operations: Operations, images: Images, folder: Path) -> Call:
    """two threads"""
    call = in_threads(partial(_albumentations_batch, operations), images)
    return lambda: [call() for _ in range(COPIES)]


def albumentations_processes(operations: Operations, images: Images, folder: Path) -> Call:
    """two processes"""
    _albumentations(operations)
    call = in_processes(partial(_albumentations_batch, operations), images, folder)
    return lambda: [call() for _ in range(COPIES)]


def albumentations(operations: Operations) -> tuple[Any, ...]:
    """The ways to call it."""
    ways = (albumentations_one, albumentations_threads, albumentations_processes)
    return tuple(partial(way, operations) for way in ways)


def augrs(threads: int, images: Images, folder: Path) -> Call:
    import augrs as A  # noqa: N812

    operations = [  # cheap ones replace auto contrast, equalization, solarization
        A.RandomGamma((50, 150), p=1),
        A.ToGray(p=1),
        A.HueSaturationValue(0, 0, 50, p=1),
        A.ColorJitter((1, 1), (1, 1), (0, 1), (0, 0), p=1),
        A.RandomBrightnessContrast((0, 0), (-0.5, 0.5), p=1),
        A.RandomBrightnessContrast((-0.5, 0.5), (0, 0), p=1),
        A.Affine(shear={"x": (-26, 26), "y": (0, 0)}, p=1),
        A.Affine(shear={"x": (0, 0), "y": (-26, 26)}, p=1),
        A.Affine(translate_percent={"x": (-0.5, 0.5), "y": (0, 0)}, p=1),
        A.Affine(translate_percent={"x": (0, 0), "y": (-0.5, 0.5)}, p=1),
    ]
    change = A.Compose([A.SomeOf(operations, n=3)])
    singles = list(images)

    def batch(seed: int) -> Images:
        made = change.augment_batch(singles, seed=seed, num_threads=threads)
        return np.stack([out["image"] for out in made])

    return lambda: [batch(seed) for seed in range(COPIES)]


def check(operations: str, images: Images, folder: Path) -> None:
    """A subset of the images gives the same bytes."""
    few, labels = images[:64], np.zeros(64, np.int64)[: len(images)]
    augment = partial(cp.rand_augment, operations=operations)
    all_rows = augment(few, labels)[0]
    subset = augment(few[32:], labels[32:], ids=np.arange(32, len(few)))[0]
    assert np.array_equal(all_rows[32 * (COPIES + 1) :], subset)


JOBS = (
    Job(
        "rand_augment",
        "`RandAugment`, native",
        partial(ours, "keras-cv"),
        (
            Peer("keras-cv, eager", keras_cv_eager, images=32),
            Peer(
                "keras-cv, its best",
                (
                    partial(keras_cv_function, 64),
                    partial(keras_cv_function, 256),
                    partial(keras_cv_data, 64),
                ),
                target=45,
                images=256,
            ),
            Peer("keras.layers.RandAugment", keras_layer, images=64),
            Peer(
                "torchvision v2, its best",
                (torchvision_one, torchvision_threads, torchvision_processes, torchvision_tensors),
                target=16,
                images=512,
            ),
            Peer(
                "albumentations, 3 of 10 similar",
                albumentations(_ten),
                target=12,
                images=512,
            ),
            Peer("augrs, 3 of 10 cheap, 2 threads", partial(augrs, 2), target=7),
            Peer("augrs, 3 of 10 cheap, 1 thread", partial(augrs, 1)),
        ),
        partial(check, "keras-cv"),
        copies=COPIES,
        images=4096,
    ),
    Job(
        "rand_augment_wide",
        '`RandAugment(operations="wide")`',
        partial(ours, "wide"),
        (
            Peer("albumentations, 3 of 27 similar", albumentations(_wide), target=4, images=512),
            Peer("the same without stain, 3 of 26", albumentations(_wide_but_stain), images=512),
        ),
        partial(check, "wide"),
        copies=COPIES,
        images=4096,
    ),
)
