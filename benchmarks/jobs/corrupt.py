"""Shifted test sets: one corruption per image, or two to four strong changes."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import cellprep as cp

from ..measure.job import Call, Images, Job, Peer
from ..measure.parallel import in_processes, in_threads


def ours(suite: str, images: Images, folder: Path) -> Call:
    return lambda: cp.corrupt(images, suite=suite)


@cache
def _medmnistc() -> list[Any]:
    from medmnistc.corruptions.registry import CORRUPTIONS_DS

    np.fromstring = np.frombuffer  # type: ignore[assignment] # its motion blur predates NumPy 2
    return list(CORRUPTIONS_DS["bloodmnist"].values())


def _medmnistc_batch(images: Images) -> Images:
    from PIL import Image

    rng = np.random.default_rng(0)
    corruptions = _medmnistc()
    sampled = zip(
        rng.integers(11, size=len(images)), rng.integers(5, size=len(images)), strict=True
    )
    return np.stack(
        [
            corruptions[which].apply(Image.fromarray(image), int(severity))
            for image, (which, severity) in zip(images, sampled, strict=True)
        ]
    )


def medmnistc_one(images: Images, folder: Path) -> Call:
    """one core"""
    return lambda: _medmnistc_batch(images)


def medmnistc_processes(images: Images, folder: Path) -> Call:
    """two processes"""
    _medmnistc()
    return in_processes(_medmnistc_batch, images, folder)


@cache
def _albumentations(suite: str) -> Any:
    import albumentations as A  # noqa: N812
    import cv2

    cv2.setNumThreads(1)
    if suite == "microscopy":  # spatter replaces stain deposits and bubbles, which it lacks
        operations = [
            A.Downscale((0.25, 0.6), p=1),
            A.ImageCompression(quality_range=(7, 50), p=1),
            A.Defocus((1, 3), (0.1, 0.1), p=1),
            A.MotionBlur((3, 9), p=1),
            A.ColorJitter((1.1, 1.4), (1, 1), (1, 1), (0, 0), p=1),
            A.ColorJitter((0.5, 0.9), (1, 1), (1, 1), (0, 0), p=1),
            A.ColorJitter((1, 1), (1.1, 1.3), (1, 1), (0, 0), p=1),
            A.ColorJitter((1, 1), (0.5, 0.9), (1, 1), (0, 0), p=1),
            A.HueSaturationValue(0, (10, 50), 0, p=1),
            A.Spatter(mode="mud", p=1),
            A.Spatter(mode="rain", p=1),
        ]
        return A.Compose([A.OneOf(operations, p=1)])
    mirror = cv2.BORDER_REFLECT
    operations = [  # it has no AugMix
        A.Affine(rotate=(-180, 180), border_mode=mirror, p=1),
        A.OneOf([A.HorizontalFlip(p=1), A.VerticalFlip(p=1)], p=1),
        A.Affine(translate_percent=(-0.4, 0.4), border_mode=mirror, p=1),
        A.Affine(shear=(-26, 26), border_mode=mirror, p=1),
        A.Affine(scale=(0.8, 1.25), border_mode=mirror, p=1),
        A.RandomBrightnessContrast((-0.7, 0.7), (0, 0), p=1),
        A.RandomBrightnessContrast((0, 0), (-0.7, 0.8), p=1),
        A.ColorJitter((1, 1), (1, 1), (0, 2), (0, 0), p=1),
        A.ColorJitter((1, 1), (1, 1), (0, 0.75), (0, 0), p=1),
        A.ColorJitter((1, 1), (1, 1), (1, 1), (-0.5, 0.5), p=1),
        A.ChannelShuffle(p=1),
        A.RGBShift(127, 127, 127, p=1),
        A.Solarize((0.25, 0.75), p=1),
        A.Posterize((2, 4), p=1),
        A.AutoContrast(p=1),
        A.Equalize(p=1),
        A.CoarseDropout((1, 1), (0.2, 0.5), (0.2, 0.5), p=1),
        A.GridDropout(0.45, random_offset=True, p=1),
        A.GaussNoise((0.05, 0.3), p=1),
        A.OneOf([A.GaussianBlur(0, (0.9, 2.6), p=1), A.MotionBlur((5, 13), p=1)], p=1),
    ]
    return A.Compose([A.SomeOf(operations, n=3, p=0.95)])


def _albumentations_batch(suite: str, images: Images) -> Images:
    change = _albumentations(suite)
    return np.stack([change(image=image)["image"] for image in images])


def albumentations_one(suite: str, images: Images, folder: Path) -> Call:
    """one core"""
    return lambda: _albumentations_batch(suite, images)


def albumentations_threads(suite: str, images: Images, folder: Path) -> Call:
    """two threads"""
    return in_threads(partial(_albumentations_batch, suite), images)


def albumentations_processes(suite: str, images: Images, folder: Path) -> Call:
    """two processes"""
    _albumentations(suite)
    return in_processes(partial(_albumentations_batch, suite), images, folder)


def check(suite: str, images: Images, folder: Path) -> None:
    """A subset of the images gives the same bytes."""
    few, ids = images[:64], np.arange(64)
    half = cp.corrupt(few[32:], suite=suite, ids=ids[32 : len(few)])
    assert np.array_equal(cp.corrupt(few, suite=suite)[32:], half)


def _job(suite: str, title: str, *peers: Peer) -> Job:
    ways = (albumentations_one, albumentations_threads, albumentations_processes)
    similar = Peer(
        f"albumentations, similar: {'one of 11' if suite == 'microscopy' else '3 of 20'}",
        tuple(partial(way, suite) for way in ways),
        images=1024,
    )
    return Job(
        f"corrupt_{suite}",
        title,
        partial(ours, suite),
        (*peers, similar),
        partial(check, suite),
        images=4096,
    )


JOBS = (
    _job(
        "microscopy",
        "`Corrupt`, microscopy: one of 11",
        Peer("medmnistc", (medmnistc_one, medmnistc_processes), images=256),
    ),
    _job("heavy", '`Corrupt("heavy")`: 2 to 4 of 21 changes'),
)
