"""Stain strengths changed in optical density, and colours taken from other images."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import cellprep as cp

from ..measure.job import Call, Images, Job, Peer
from ..measure.parallel import Batch, in_processes, in_threads


def stains(matrix: str, images: Images, folder: Path) -> Call:
    return lambda: cp.stain_jitter(images, matrix=matrix)


def scikit_image(images: Images) -> Images:
    """The same by hand, one strength per image."""
    from skimage.color import combine_stains, hed_from_rgb, rgb_from_hed, separate_stains

    random = np.random.default_rng(0)
    factors = random.uniform(0.7, 1.3, (len(images), 1, 1, 3))
    offsets = random.uniform(-0.1, 0.1, (len(images), 1, 1, 3)) / -np.log(1e-6)
    strengths = separate_stains(images, hed_from_rgb) * factors + offsets
    return (combine_stains(strengths, rgb_from_hed) * 255 + 0.5).astype(np.uint8)


@cache
def _he_stain(matrix: str) -> Any:
    import albumentations as A  # noqa: N812
    import cv2

    cv2.setNumThreads(1)
    method = {"method": "preset", "preset": "ruifrok"} if matrix == "hed" else {"method": "macenko"}
    ranges = {"intensity_scale_range": (0.7, 1.3), "intensity_shift_range": (-0.1, 0.1)}
    return A.HEStain(**method, **ranges, augment_background=True, p=1)


def albumentations_stains(matrix: str, images: Images) -> Images:
    change = _he_stain(matrix)
    return np.stack([change(image=image)["image"] for image in images])


def torchstain_stains(images: Images) -> Images:
    from torchstain.numpy.augmentors.macenko import NumpyMacenkoAugmentor

    change = NumpyMacenkoAugmentor(sigma1=0.3, sigma2=0.1)
    made = np.empty_like(images)
    for n, image in enumerate(images):
        change.fit(image)
        made[n] = change.augment()
    return made


def colors(color_space: str, images: Images, folder: Path) -> Call:
    return lambda: cp.match_colors(images, color_space=color_space)


def opencv_colors(color_space: str, images: Images) -> Images:
    """The same by hand; means and deviations of all images are measured first."""
    import cv2

    cv2.setNumThreads(1)
    lab = color_space == "lab"
    values = [image.astype(np.float32) / 255 for image in images]
    if lab:
        values = [cv2.cvtColor(value, cv2.COLOR_RGB2LAB) for value in values]
    table = np.array([cv2.meanStdDev(value) for value in values])[..., 0].astype(np.float32)
    random = np.random.default_rng(0)
    other = table[random.integers(len(images), size=len(images))]
    goal = table + random.uniform(0, 0.5, (len(images), 1, 1)).astype(np.float32) * (other - table)
    made = np.empty_like(images)
    for n, value in enumerate(values):
        value = (value - table[n, 0]) * (goal[n, 1] / np.maximum(table[n, 1], 1e-6)) + goal[n, 0]
        value = cv2.cvtColor(value, cv2.COLOR_LAB2RGB) if lab else value
        made[n] = cv2.convertScaleAbs(value.clip(0, 1), alpha=255)
    return made


def torchstain_colors(images: Images) -> Images:
    from torchstain.numpy.normalizers.reinhard import NumpyReinhardNormalizer

    move = NumpyReinhardNormalizer()
    made = np.empty_like(images)
    for n, image in enumerate(images):
        move.fit(images[(7 * n + 3) % len(images)])
        made[n] = move.normalize(image)
    return made


def albumentations_colors(images: Images) -> Images:
    import albumentations as A  # noqa: N812

    move = A.PixelDistributionAdaptation(
        metadata_key="other", transform_type="standard", blend_ratio=(0, 0.5), p=1
    )
    others = (images[(7 * n + 3) % len(images)] for n in range(len(images)))
    return np.stack(
        [
            move(image=image, other=[other])["image"]
            for image, other in zip(images, others, strict=True)
        ]
    )


def one_core(batch: Batch, images: Images, folder: Path) -> Call:
    """one core"""
    return lambda: batch(images)


def two_threads(batch: Batch, images: Images, folder: Path) -> Call:
    """two threads"""
    return in_threads(batch, images)


def two_processes(batch: Batch, images: Images, folder: Path) -> Call:
    """two processes"""
    return in_processes(batch, images, folder)


def _peer(name: str, batch: Batch, images: int) -> Peer:
    ways = (one_core, two_threads, two_processes)
    return Peer(name, tuple(partial(way, batch) for way in ways), images=images)


def check(function: Any, images: Images, folder: Path) -> None:
    """Reversed rows give the same bytes, and most images change."""
    few, ids = images[:64], np.arange(min(64, len(images)))
    made = function(few, ids=ids)
    assert np.array_equal(function(few[::-1], ids=ids[::-1])[::-1], made)
    assert (made != few).any(axis=(1, 2, 3)).mean() > 0.9


JOBS = (
    Job(
        "stain_jitter",
        "`StainJitter`",
        partial(stains, "hed"),
        (
            _peer("scikit-image, by hand", scikit_image, 1024),
            _peer("albumentations `HEStain`", partial(albumentations_stains, "hed"), 1024),
        ),
        partial(check, cp.stain_jitter),
        images=4096,
    ),
    Job(
        "stain_jitter_macenko",
        '`StainJitter(matrix="macenko")`',
        partial(stains, "macenko"),
        (
            _peer("torchstain", torchstain_stains, 256),
            _peer("albumentations `HEStain`", partial(albumentations_stains, "macenko"), 256),
        ),
        partial(check, partial(cp.stain_jitter, matrix="macenko")),
        images=4096,
    ),
    Job(
        "match_colors",
        "`MatchColors`",
        partial(colors, "rgb"),
        (
            _peer("OpenCV, by hand", partial(opencv_colors, "rgb"), 1024),
            _peer("albumentations `PixelDistributionAdaptation`", albumentations_colors, 1024),
        ),
        partial(check, cp.match_colors),
        images=4096,
    ),
    Job(
        "match_colors_lab",
        '`MatchColors(color_space="lab")`',
        partial(colors, "lab"),
        (
            _peer("OpenCV, by hand", partial(opencv_colors, "lab"), 1024),
            _peer("torchstain", torchstain_colors, 1024),
        ),
        partial(check, partial(cp.match_colors, color_space="lab")),
        images=4096,
    ),
)
