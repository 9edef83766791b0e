"""Rotation by any angle, shift and zoom by 10 %, flips; bilinear with mirrored borders."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import cellprep as cp

from ..measure.job import Call, Images, Job, Peer
from ..measure.parallel import in_processes, in_tf_data, in_threads


def ours(images: Images, folder: Path) -> Call:
    return lambda: cp.jitter(images)


def image_data_generator(images: Images, folder: Path) -> Call:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    make = ImageDataGenerator(
        rotation_range=180,
        width_shift_range=0.1,
        height_shift_range=0.1,
        zoom_range=0.1,
        horizontal_flip=True,
        vertical_flip=True,
        fill_mode="reflect",
    )
    return lambda: [
        make.apply_transform(image, make.get_random_transform(image.shape)) for image in images
    ]


def keras_layers(images: Images, folder: Path) -> Call:
    """keras layers in tf.data"""
    import keras
    import tensorflow as tf

    layers = keras.layers
    chain = [
        layers.RandomFlip("horizontal_and_vertical"),
        layers.RandomRotation(0.5),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomZoom(0.1),
    ]

    def batch(x: Any) -> Any:
        x = tf.cast(x, tf.float32)
        for layer in chain:
            x = layer(x, training=True)
        return tf.cast(x, tf.uint8)

    data = in_tf_data(batch, tf.data.Dataset.from_tensor_slices(images).batch(64))
    return lambda: [made.numpy() for made in data]


@cache
def _albumentations() -> Any:
    import albumentations as A  # noqa: N812
    import cv2

    cv2.setNumThreads(1)
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.Affine(
                rotate=(-180, 180),
                translate_percent=(-0.1, 0.1),
                scale=(0.9, 1.1),
                border_mode=cv2.BORDER_REFLECT,
                p=1,
            ),
        ]
    )


def _albumentations_batch(images: Images) -> Images:
    move = _albumentations()
    return np.stack([move(image=image)["image"] for image in images])


def albumentations_one(images: Images, folder: Path) -> Call:
    """one core"""
    return lambda: _albumentations_batch(images)


def albumentations_threads(images: Images, folder: Path) -> Call:
    """two threads"""
    return in_threads(_albumentations_batch, images)


def albumentations_processes(images: Images, folder: Path) -> Call:
    """two processes"""
    _albumentations()
    return in_processes(_albumentations_batch, images, folder)


def augrs(threads: int, images: Images, folder: Path) -> Call:
    import augrs as A  # noqa: N812

    move = A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.Affine(
                rotate=(-180, 180),
                translate_percent=(-0.1, 0.1),
                scale=(0.9, 1.1),
                border_mode=2,  # cv2.BORDER_REFLECT
                p=1,
            ),
        ]
    )
    singles = list(images)
    return lambda: np.stack(
        [out["image"] for out in move.augment_batch(singles, seed=0, num_threads=threads)]
    )


def matrices(n: int, side: int) -> np.ndarray[Any, Any]:
    """(n, 2, 3) random maps from output to input about the centre, including flips."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, n)
    scale = 1 / rng.uniform(0.9, 1.1, n)
    flip = rng.choice([-1.0, 1.0], (2, n))
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    move = np.empty((n, 2, 3))
    move[:, 0, 0], move[:, 0, 1] = cos * flip[0], -sin * flip[1]
    move[:, 1, 0], move[:, 1, 1] = sin * flip[0], cos * flip[1]
    middle = (side - 1) / 2
    shift = rng.uniform(-0.1, 0.1, (n, 2)) * side
    move[:, :, 2] = middle + shift - move[:, :, :2].sum(axis=2) * middle
    return move


def warp_affine(images: Images) -> Images:
    """Sample a matrix for each image and warp it."""
    import cv2

    side = images.shape[1]
    out = np.empty_like(images)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for image, made, move in zip(images, out, matrices(len(images), side), strict=True):
        cv2.warpAffine(image, move, (side, side), made, flags, cv2.BORDER_REFLECT)
    return out


def by_hand_threads(images: Images, folder: Path) -> Call:
    """two threads over images"""
    import cv2

    pooled = in_threads(warp_affine, images)

    def call() -> Any:
        cv2.setNumThreads(1)
        return pooled()

    return call


def by_hand_one(images: Images, folder: Path) -> Call:
    """one thread"""
    import cv2

    def call() -> Any:
        cv2.setNumThreads(1)
        return warp_affine(images)

    return call


def check(images: Images, folder: Path) -> None:
    """A subset of the images gives the same bytes."""
    few = images[:64]
    assert np.array_equal(cp.jitter(few)[32:], cp.jitter(few[32:], ids=np.arange(32, len(few))))


JOBS = (
    Job(
        "jitter",
        "`Jitter`: rotation, shift, zoom, flips",
        ours,
        (
            Peer("keras ImageDataGenerator", image_data_generator, target=25, images=256),
            Peer("keras layers in tf.data", keras_layers, images=512),
            Peer(
                "albumentations Affine + flips",
                (albumentations_one, albumentations_threads, albumentations_processes),
                target=4,
                images=2048,
            ),
            Peer("augrs Affine + flips, 2 threads", partial(augrs, 2)),
            Peer("cv2.warpAffine by hand, 2 threads", by_hand_threads, target=1),
            Peer("cv2.warpAffine by hand, 1 thread", by_hand_one),
        ),
        check,
        images=8192,
    ),
)
