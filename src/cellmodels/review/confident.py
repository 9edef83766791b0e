"""Confident learning: which labels are suspicious, given probabilities of images not trained on.

References
----------
.. [1] C. Northcutt, L. Jiang, I. Chuang. Confident Learning: Estimating Uncertainty in Dataset
   Labels. Journal of Artificial Intelligence Research 70, 2021.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellprep.arrays import Labels

_ROUNDING = 1e-6
"""Tolerance of the thresholds, as in the authors' library."""


def suspected(labels: Labels, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) bool: the images that count towards a class other than their label.

    An image counts towards a class if its probability is at least the class's threshold, the mean
    probability of the class over all images labelled with it; if there are several, towards the
    most probable class of all. These are the off-diagonal entries of the confident joint [1]_,
    without those whose label is the most probable class.

    Parameters
    ----------
    labels : (n,) int
    probabilities : (n, classes) float
        Of each image by a model that was not trained on it.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.95, 0.05]])
    >>> suspected(np.array([0, 0, 1, 1]), probabilities)
    array([False, False, False,  True])
    """
    classes = probabilities.shape[1]
    thresholds = np.full(classes, np.inf)
    for k in np.unique(labels):
        thresholds[k] = probabilities[labels == k, k].mean()
    confident = probabilities >= thresholds - _ROUNDING
    likeliest = probabilities.argmax(axis=1)
    towards = np.where(confident.sum(axis=1) > 1, likeliest, confident.argmax(axis=1))
    found: NDArray[np.bool_] = confident.any(axis=1) & (towards != labels) & (likeliest != labels)
    return found
