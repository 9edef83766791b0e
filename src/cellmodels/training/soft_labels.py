"""Soft labels: shares of classes instead of one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellprep.arrays import Labels


def soft_labels(
    labels: Labels,
    classes: int,
    *,
    others: Labels | None = None,
    shares: NDArray[np.float32] | None = None,
    weights: NDArray[np.float32] | None = None,
    smoothing: float = 0.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shares of classes, and the weight of each image in the loss.

    Parameters
    ----------
    labels : (b,) int
    classes : int
    others : (b,) int, optional
        Labels of the images that these were mixed with.
    shares : (b,) float32, optional
        Their shares, in [0, 1].
    weights : (classes,) float32, optional
        Class weights. The cross-entropy is weighted class by class, so mixed labels keep classes
        balanced: shares are multiplied by the weights, and their sum is the image's weight.
    smoothing : float
        The fraction of each label that all classes share equally [1]_, in [0, 1].

    Returns
    -------
    (b, classes) float32, (b,) float32
        Labels that sum to 1, and weights; without class weights these are 1.

    References
    ----------
    .. [1] C. Szegedy et al. Rethinking the Inception Architecture for Computer Vision. CVPR 2016.

    Examples
    --------
    >>> soft, weights = soft_labels(np.array([0, 1]), 2, smoothing=0.1)
    >>> print(soft, weights)
    [[0.95 0.05]
     [0.05 0.95]] [1. 1.]
    """
    one = np.eye(classes, dtype=np.float32)
    soft = one[labels]
    if others is not None and shares is not None:
        soft += shares[:, None] * (one[others] - soft)
    if weights is not None:
        soft *= weights
    total = soft.sum(axis=1)
    soft /= total[:, None]
    return soft + np.float32(smoothing) * (np.float32(1 / classes) - soft), total
