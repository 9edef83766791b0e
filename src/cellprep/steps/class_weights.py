"""Weights of classes, for training without copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import encode_labels, read_labels
from ..errors import CellprepError


def class_weights(labels: ArrayLike, class_names: Sequence[str] | None = None) -> dict[Any, float]:
    """Weights that make every class count the same in a loss: n / (classes x images of the class).

    The formula is that of scikit-learn's `compute_class_weight("balanced")`.

    Parameters
    ----------
    labels : (n,), (n, 1) or one-hot (n, classes)
    class_names : sequence of str, optional
        Where a class may be without images (which is refused) or labels are text in another order.

    Returns
    -------
    dict
        Weight by label number, as Keras takes it for `class_weight=`.

    Examples
    --------
    >>> class_weights([0, 0, 0, 1])
    {0: 0.666..., 1: 2.0}
    """
    n = len(np.asarray(labels)) if np.ndim(labels) else 0
    if not n:
        raise CellprepError("`labels` holds no labels")
    codes, names = encode_labels(read_labels(labels, n, empty=class_names is not None), class_names)
    counts = np.bincount(codes, minlength=len(names))
    if (counts == 0).any():
        raise CellprepError(
            f"class '{names[int(counts.argmin())]}' has no images, so no weight makes it count"
        )
    return {number: n / (len(names) * count) for number, count in enumerate(counts.tolist())}
