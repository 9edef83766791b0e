"""Images brought to the size and colours of another set, and crops relative to the cell."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import cellprep as cp

from ..measure.job import Call, Images, Job, Make, Peer
from ..measure.parallel import Batch, in_threads

WANTED = cp.Profile(
    256, 256, (96, 96), (190, 160, 170), (40, 52, 28), 0.25, (225, 215, 220), (9, 11, 8)
)


def adapt(images: Images, folder: Path) -> Call:
    return lambda: cp.adapt(images, WANTED, color="channels")


def opencv_adapt(images: Images) -> Images:
    """The same by hand, with a given zoom."""
    import cv2

    cv2.setNumThreads(1)
    height, width = images.shape[1:3]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, 1.2)
    means, spreads = images[:256].mean(axis=(0, 1, 2)), images[:256].std(axis=(0, 1, 2))
    gains = np.divide(WANTED.spread, spreads)
    levels = np.arange(256)[:, None] * gains + np.subtract(WANTED.mean, gains * means)
    table = (levels.clip(0, 255) + 0.5).astype(np.uint8)[:, None]
    made = np.empty_like(images)
    for n, image in enumerate(images):
        zoomed = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        made[n] = cv2.LUT(zoomed, table)
    return made


def crop(images: Images, folder: Path) -> Call:
    return lambda: cp.crop(images, 1.3, relative=True, resize_to=64)


def scikit_image_crop(images: Images) -> Images:
    """Otsu's threshold of saturation, the largest region, Pillow."""
    from PIL import Image
    from skimage.filters import threshold_otsu
    from skimage.measure import label, regionprops

    made = np.empty((len(images), 64, 64, 3), np.uint8)
    height, width = images.shape[1:3]
    for n, image in enumerate(images):
        saturation = np.ptp(image, axis=2)
        regions = regionprops(label(saturation > threshold_otsu(saturation)))
        cell = max(regions, key=lambda region: region.area)
        top, left, bottom, right = cell.bbox
        side = min(round(1.3 * max(bottom - top, right - left)), height, width)
        top = min(max((top + bottom - side) // 2, 0), height - side)
        left = min(max((left + right - side) // 2, 0), width - side)
        window = Image.fromarray(image[top : top + side, left : left + side])
        made[n] = window.resize((64, 64), Image.Resampling.BILINEAR)
    return made


def one_core(batch: Batch, images: Images, folder: Path) -> Call:
    """one core"""
    return lambda: batch(images)


def two_threads(batch: Batch, images: Images, folder: Path) -> Call:
    """two threads"""
    return in_threads(batch, images)


def _ways(batch: Batch) -> tuple[Make, ...]:
    return tuple(partial(way, batch) for way in (one_core, two_threads))


def check_adapted(images: Images, folder: Path) -> str:
    """The set has the cells and the colours of the profile."""
    few = images[:256]
    found = cp.profile(cp.adapt(few, WANTED, color="channels"))
    assert np.abs(np.subtract(found.mean, WANTED.mean)).max() < 8
    return f"median share {found.share:.3f}, {WANTED.share} asked"


JOBS = (
    Job(
        "adapt",
        '`Adapt(color="channels")`',
        adapt,
        (Peer("OpenCV, by hand, the cells not measured", _ways(opencv_adapt)),),
        check_adapted,
        images=4096,
    ),
    Job(
        "crop_relative",
        "`Crop(1.3, relative=True, resize_to=64)`",
        crop,
        (Peer("scikit-image and Pillow, by hand", _ways(scikit_image_crop), images=512),),
        images=4096,
    ),
)
