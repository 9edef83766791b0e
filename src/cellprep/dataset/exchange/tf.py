"""`tf.data`, for Keras and TensorFlow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ...arrays import Images, Labels, Positions
from ...errors import CellprepError, check_seed, in_range, require
from ...plan.plan import Plan
from ...plan.source import ArraySource
from ...system.executors import cut, usable_cores
from ..views import ImageView
from . import check_not_empty

if TYPE_CHECKING:
    import tensorflow as tf

_INSTALL = "cellprep[models]"
_PREFETCHED = 8
"""Batches to prefetch; TensorFlow's own choice may fill half of the memory."""


def to_tf(
    plan: Plan, batch: int, shuffle: bool, seed: int, epochs: int | range | None
) -> tf.data.Dataset:
    """See `Dataset.to_tf`."""
    tf = require("tensorflow", _INSTALL)
    in_range("batch", batch, 1, 2**31, whole=True)
    check_seed(seed)
    fresh = None if epochs is None else _checked_epochs(epochs)
    check_not_empty(plan)
    rows, passes = plan.rows, itertools.count()

    def positions() -> Iterator[tuple[int, Positions]]:
        for epoch in fresh or (next(passes),):
            order = rows.shuffled(seed, epoch) if shuffle else np.arange(len(rows))
            for start, stop in cut(len(order), batch):
                yield epoch, order[start:stop]

    def read(epoch: int, at: Positions) -> tuple[Images, Labels]:
        images = ImageView(plan.at_epoch(int(epoch)) if fresh else plan)
        return images[at], rows.labels[at]

    def batch_at(epoch: Any, at: Any) -> tuple[Any, Any]:
        pixels, labels = tf.numpy_function(read, [epoch, at], [tf.uint8, tf.int64])
        return tf.ensure_shape(pixels, (None, *plan.shape)), tf.ensure_shape(labels, (None,))

    # The generator runs on one thread and yields positions only; pixels are computed on all cores.
    batches = tf.data.Dataset.from_generator(
        positions,
        output_signature=(tf.TensorSpec((), tf.int64), tf.TensorSpec((None,), tf.int64)),
    )
    count = -(-len(rows) // batch) * len(fresh or (0,))
    counted = batches.apply(tf.data.experimental.assert_cardinality(count))
    # TensorFlow's tuning thread pauses twice as long each time, and a finished pipeline waits for
    # it: an epoch could take twice its time.
    options = tf.data.Options()
    options.autotune.enabled = False
    made = counted.map(batch_at, num_parallel_calls=usable_cores()).prefetch(_PREFETCHED)
    return made.with_options(options)


def _checked_epochs(epochs: int | range) -> range:
    if isinstance(epochs, range):
        for epoch in epochs[:1], epochs[-1:]:
            in_range("epochs", next(iter(epoch), None), 0, 2**31, whole=True)
        return epochs
    in_range("epochs", epochs, 1, 2**31, whole=True)
    return range(epochs)


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
        raise CellprepError("`data` is infinite; remove .repeat()")
    pairs = data.map(_pair(data.element_spec))
    shape = pairs.element_spec[0].shape
    one_by_one = shape.rank == 3 and not shape.is_fully_defined()  # they may differ in size
    if shape.rank == 3 and not one_by_one:
        pairs = pairs.batch(256)
    try:
        batches = list(pairs.as_numpy_iterator())
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split())
        raise CellprepError(f"`data` cannot be read: {reason}") from error
    if not batches:
        raise CellprepError("`data` contains no images")
    images: Any
    labels: Any
    images, labels = zip(*batches, strict=True)
    if not one_by_one:
        labels = np.concatenate(labels)
        each = {batch.shape[1:] for batch in images}
        images = (
            np.concatenate(images) if len(each) == 1 else [i for batch in images for i in batch]
        )
    names = class_names or getattr(data, "class_names", None)
    return ArraySource.of(images, labels, names, ids, groups)


def _pair(spec: Any) -> Any:
    """A function from an element to its image and label."""
    if isinstance(spec, tuple) and len(spec) >= 2:
        return lambda image, label, *_: (image, label)
    if isinstance(spec, dict) and {"image", "label"} <= spec.keys():
        return lambda element: (element["image"], element["label"])
    raise CellprepError(
        "elements of `data` must be pairs (image, label) or dicts with 'image' and 'label', got "
        f"{' '.join(str(spec).split())}; convert them with .map()"
    )
