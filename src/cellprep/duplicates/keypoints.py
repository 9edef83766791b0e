"""Confirmation of look-alikes: local features that two images share, by OpenCV."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions
from ..dataset.views import ImageView
from ..errors import require

MOST = 128
"""Keypoints of an image that are compared."""
_ENLARGED = 2
_RATIO = 0.8
"""Lowe's ratio: the best match of a keypoint must be closer than this share of the second best."""
_TOLERANCE = 2.0
"""Pixels by which a keypoint may be off after one image is moved onto the other."""


def keypoints(image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """(k, 2) positions in pixels and (k, 128) descriptors of the strongest SIFT keypoints [1]_.

    They depend on neither rotation, size, shift nor the strength of colours.

    References
    ----------
    .. [1] D. Lowe. Distinctive Image Features from Scale-Invariant Keypoints. IJCV 60, 2004.
    """
    cv2 = require("cv2", "cellprep[review]")
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    large = cv2.resize(grey, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
    sift = cv2.SIFT_create(nfeatures=MOST, contrastThreshold=0.01)
    points, descriptors = sift.detectAndCompute(large, None)
    positions = np.array([point.pt for point in points[:MOST]], np.float32).reshape(-1, 2)
    if descriptors is None:
        return positions, np.zeros((0, 128), np.uint8)
    return positions / np.float32(_ENLARGED), descriptors[:MOST].astype(np.uint8)


def shared_keypoints(one: Any, other: Any) -> int:
    """How many keypoints of two images agree after one is turned, zoomed and moved."""
    cv2 = require("cv2", "cellprep[review]")
    (here, ours), (there, theirs) = one, other
    if len(ours) < 4 or len(theirs) < 4:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(ours, theirs, k=2)
    good = [best for best, second in pairs if best.distance < _RATIO * second.distance]
    if len(good) < 4:
        return 0
    cv2.setRNGSeed(0)
    _, inside = cv2.estimateAffinePartial2D(
        here[[match.queryIdx for match in good]],
        there[[match.trainIdx for match in good]],
        ransacReprojThreshold=_TOLERANCE,
    )
    return 0 if inside is None else int(inside.sum())


def count_shared(images: ImageView, first: Positions, second: Positions) -> NDArray[np.int64]:
    """(p,) the keypoints that the images of each pair share.

    Parameters
    ----------
    images : ImageView
    first, second : (p,) int
        Rows of `images`.
    """
    rows, index = np.unique(np.concatenate([first, second]), return_inverse=True)
    found: list[Any] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(rows), 512):
            found += pool.map(keypoints, images[rows[start : start + 512]])
        left, right = index[: len(first)], index[len(first) :]
        pairs = pool.map(
            lambda a, b: shared_keypoints(found[a], found[b]), left.tolist(), right.tolist()
        )
        return np.fromiter(pairs, np.int64, len(first))
