"""K-Means masks in RGB: each image is clustered separately, the darkest cluster is the mask."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import cellprep as cp

from ..measure.job import Call, Images, Job, Make, Peer
from ..measure.parallel import in_processes, in_threads

SAMPLE = 48  # images for comparing inertia


def ours(k: int, images: Images, folder: Path) -> Call:
    return lambda: cp.segment(images, n_clusters=k, color_space="rgb", foreground="darkest")


def _darkest(labels: NDArray[np.integer], centers: NDArray[np.floating]) -> NDArray[np.bool_]:
    return labels == centers.sum(axis=1).argmin()


def cv2_masks(k: int, images: Images) -> NDArray[np.bool_]:
    import cv2

    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    masks = np.empty(images.shape[:3], bool)
    for image, mask in zip(images, masks, strict=True):
        pixels = image.reshape(-1, 3).astype(np.float32)
        _, labels, centers = cv2.kmeans(pixels, k, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
        mask[:] = _darkest(labels, centers).reshape(mask.shape)
    return masks


def cv2_own_threads(k: int, images: Images, folder: Path) -> Call:
    """its own threads"""
    import cv2

    cv2.setNumThreads(2)
    return lambda: cv2_masks(k, images)


def cv2_images_over_threads(k: int, images: Images, folder: Path) -> Call:
    """two images at a time"""
    return in_threads(partial(cv2_masks, k), images)


def sklearn_masks(k: int, mini: bool, images: Images) -> NDArray[np.bool_]:
    from sklearn.cluster import KMeans, MiniBatchKMeans

    masks = np.empty(images.shape[:3], bool)
    for image, mask in zip(images, masks, strict=True):
        pixels = image.reshape(-1, 3).astype(np.float32)
        model = (MiniBatchKMeans if mini else KMeans)(k, n_init=1, random_state=0).fit(pixels)
        mask[:] = _darkest(model.labels_, model.cluster_centers_).reshape(mask.shape)
    return masks


def sklearn(k: int, mini: bool, images: Images, folder: Path) -> Call:
    """its own threads"""
    return lambda: sklearn_masks(k, mini, images)


def sklearn_one_core(k: int, mini: bool, images: Images, folder: Path) -> Call:
    """one core"""
    from threadpoolctl import threadpool_limits

    def call() -> object:
        with threadpool_limits(1):
            return sklearn_masks(k, mini, images)

    return call


def sklearn_processes(k: int, mini: bool, images: Images, folder: Path) -> Call:
    """two processes"""
    return in_processes(partial(_sklearn_batch, k, mini), images, folder)


def _sklearn_batch(k: int, mini: bool, images: Images) -> Images:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return np.where(sklearn_masks(k, mini, images)[..., None], images, np.uint8(0))


def check(k: int, images: Images, folder: Path) -> str:
    """The inertia is at most 1.002 times that of scikit-learn's best of ten starts."""
    from cellprep.kernels.segment.kmeans import kmeans

    few = images[:: max(1, len(images) // SAMPLE)][:SAMPLE]
    pixels = few.reshape(len(few), -1, 3).astype(np.float32)
    labels, _ = kmeans(pixels, k)
    got = np.array([_inertia(x, each) for x, each in zip(pixels, labels, strict=True)])
    try:
        from sklearn.cluster import KMeans
    except ModuleNotFoundError:
        return "inertia not compared: scikit-learn is not installed"
    best = np.array([KMeans(k, n_init=10, random_state=0).fit(x).inertia_ for x in pixels])
    ratio = got.sum() / best.sum()
    assert ratio <= 1.002
    return (
        f"inertia {ratio:.5f} times that of sklearn n_init=10 over {len(few)} images "
        f"(mean of the images' ratios {(got / np.maximum(best, 1e-9)).mean():.5f})"
    )


def _inertia(pixels: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Sum of squares around each cluster's mean."""
    total = 0.0
    for label in np.unique(labels):
        mine = pixels[labels == label].astype(np.float64)
        total += float(((mine - mine.mean(axis=0)) ** 2).sum())
    return total


def _job(k: int, target: float, over_sklearn: float) -> Job:
    def ways(mini: bool) -> list[Make]:
        return [partial(way, k, mini) for way in (sklearn, sklearn_one_core, sklearn_processes)]

    return Job(
        f"segment-k{k}",
        f"`segment`, K-Means in RGB, k={k}",
        partial(ours, k),
        (
            Peer("cv2.kmeans, 1 attempt", partial(cv2_own_threads, k), target=target, images=1024),
            Peer("cv2.kmeans over 2 threads", partial(cv2_images_over_threads, k), images=1024),
            Peer("sklearn KMeans, n_init=1", ways(False), target=over_sklearn, images=128),
            Peer("sklearn MiniBatchKMeans", ways(True), images=64),
        ),
        partial(check, k),
        images=4096,
    )


JOBS = (_job(2, 6, 30), _job(3, 4, 30))
