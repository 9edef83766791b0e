"""`tf.data`, for Keras and TensorFlow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ...arrays import Images, Labels, Positions
from ...errors import CellprepError, check_seed, in_range
from ...formats.format import require
from ...plan.plan import Plan
from ...plan.source import ArraySource
from ...system.executors import cut, usable_cores
from ..views import ImageView
from . import check_not_empty

if TYPE_CHECKING:
    import tensorflow as tf

_INSTALL = "cellprep[models]"
_AHEAD = 8
"""Batches that wait to be trained on; let to itself, TensorFlow takes half of the memory."""


def to_tf(plan: Plan, batch: int, shuffle: bool, seed: int) -> tf.data.Dataset:
    """See `Dataset.to_tf`."""
    tf = require("tensorflow", _INSTALL)
    in_range("batch", batch, 1, 2**31, whole=True)
    check_seed(seed)
    check_not_empty(plan)
    images, rows = ImageView(plan), plan.rows
    passes = itertools.count()

    def places() -> Iterator[Positions]:
        order = rows.shuffled(seed, next(passes)) if shuffle else np.arange(len(rows))
        for start, stop in cut(len(order), batch):
            yield order[start:stop]

    def look(at: Positions) -> tuple[Images, Labels]:
        return images[at], rows.labels[at]

    def made(at: Any) -> tuple[Any, Any]:
        some, named = tf.numpy_function(look, [at], [tf.uint8, tf.int64])
        return tf.ensure_shape(some, (None, *images.shape[1:])), tf.ensure_shape(named, (None,))

    # The generator, one thread, gives places alone; pixels are made on as many as there are cores.
    batches = tf.data.Dataset.from_generator(
        places, output_signature=tf.TensorSpec((None,), tf.int64)
    )
    counted = batches.apply(tf.data.experimental.assert_cardinality(-(-len(rows) // batch)))
    return counted.map(made, num_parallel_calls=usable_cores()).prefetch(_AHEAD)


def from_tf(
    data: tf.data.Dataset,
    class_names: Sequence[str] | None,
    ids: ArrayLike | None,
    groups: ArrayLike | None,
) -> ArraySource:
    """See `Dataset.from_tf`."""
    tf = require("tensorflow", _INSTALL)
    if not isinstance(data, tf.data.Dataset):
        raise CellprepError(f"`data` must be a tf.data.Dataset, got {type(data).__name__}")
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise CellprepError("`data` has no end; pass it without .repeat()")
    pairs = data.map(_pair(data.element_spec))
    if pairs.element_spec[0].shape.rank == 3:
        pairs = pairs.batch(256)
    found = list(pairs.as_numpy_iterator())
    if not found:
        raise CellprepError("`data` holds no images")
    images, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    names = class_names or getattr(data, "class_names", None)
    return ArraySource.of(images, labels, names, ids, groups)


def _pair(spec: Any) -> Any:
    """The function that takes image and label from an element."""
    if isinstance(spec, tuple) and len(spec) >= 2:
        return lambda image, label, *_: (image, label)
    if isinstance(spec, dict) and {"image", "label"} <= spec.keys():
        return lambda element: (element["image"], element["label"])
    raise CellprepError(
        "`data` must give (images, labels) or a dict with 'image' and 'label', got "
        f"{' '.join(str(spec).split())}; use .map() to make pairs"
    )
