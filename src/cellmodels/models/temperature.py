"""A temperature: one number that makes probabilities as high as predictions are reliable."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_COLDEST, _HOTTEST = 0.05, 20.0


def fit_temperature(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The temperature that minimises the negative log-likelihood of a validation set [1]_.

    The likelihood is that of targets which are 1 - 1 / (n + 2) for the true class, as in Platt
    scaling [2]_: if every image is predicted correctly, no finite temperature fits targets of 1.

    Parameters
    ----------
    probabilities : (n, classes) float
        Before any temperature.
    labels : (n,) int

    Returns
    -------
    float
        In [0.05, 20]; above 1 if the model is too sure of itself.

    References
    ----------
    .. [1] C. Guo et al. On Calibration of Modern Neural Networks. ICML 2017.
    .. [2] J. Platt. Probabilistic outputs for support vector machines. 1999.

    Examples
    --------
    >>> sure = np.array([[0.99, 0.01]] * 4)
    >>> fit_temperature(sure, [0, 0, 0, 1]) > 1
    True
    """
    scores, truth = _scores(probabilities), np.asarray(labels)
    n, classes = scores.shape
    rest = 1 / (n + 2)
    targets = np.full((n, classes), rest / classes)
    targets[np.arange(n), truth] += 1 - rest
    wanted = (targets * scores).sum()

    # The likelihood is concave in b = 1 / temperature, with the slope wanted - sum(p * scores).
    low, high = np.log(1 / _HOTTEST), np.log(1 / _COLDEST)
    for _ in range(40):
        middle = (low + high) / 2
        if (_softmax(np.exp(middle) * scores) * scores).sum() < wanted:
            low = middle
        else:
            high = middle
    return round(float(np.exp(-(low + high) / 2)), 4)


def soften(probabilities: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities with another temperature: softmax(scores / temperature).

    Parameters
    ----------
    probabilities : (..., classes) float
    temperature : float
        Above 0. Above 1 probabilities become more equal; their order stays.

    Returns
    -------
    (..., classes) float64

    Examples
    --------
    >>> soften([[0.9, 0.1]], 2.0).round(3)
    array([[0.75, 0.25]])
    """
    return _softmax(_scores(probabilities) / temperature)


def _scores(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Scores whose softmax are these probabilities; 0 counts as the smallest float32."""
    given = np.asarray(probabilities, np.float64)
    found: NDArray[np.float64] = np.log(np.maximum(given, np.finfo(np.float32).tiny))
    return found


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return found
