"""Class weights: balance without copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import encode_labels, read_labels
from ..errors import CellprepError


def class_weights(labels: ArrayLike, class_names: Sequence[str] | None = None) -> dict[Any, float]:
    """Weights that make all classes count equally in a loss: n / (classes x images of the class).

    The formula is that of scikit-learn's `compute_class_weight("balanced")`.

    Parameters
    ----------
    labels : (n,), (n, 1) or one-hot (n, classes)
    class_names : sequence of str, optional
        All classes in label order. Needed if some have no images, which is an error, or if text
        labels are not in alphabetical order.

    Returns
    -------
    dict
        Weight by label number, as Keras expects for `class_weight=`.

    Examples
    --------
    >>> class_weights([0, 0, 0, 1])
    {0: 0.666..., 1: 2.0}
    """
    n = len(np.asarray(labels)) if np.ndim(labels) else 0
    if not n:
        raise CellprepError("`labels` is empty, so there is nothing to weigh")
    codes, names = encode_labels(read_labels(labels, n, empty=class_names is not None), class_names)
    counts = np.bincount(codes, minlength=len(names))
    if (counts == 0).any():
        raise CellprepError(
            f"class '{names[int(counts.argmin())]}' has no images, so it cannot be weighted"
        )
    return {number: n / (len(names) * count) for number, count in enumerate(counts.tolist())}
