"""`to_tf` and `from_tf`, with the real TensorFlow and Keras."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cellprep import Dataset
from cellprep.errors import CellprepError

from .arrays import many


def concatenated(batches: Any) -> tuple[np.ndarray, np.ndarray]:
    pairs = list(batches.as_numpy_iterator())
    images, labels = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return images, labels


def test_batches_have_all_images_in_order_on_each_pass(made):
    tf = pytest.importorskip("tensorflow")
    batches = made.to_tf(batch=7)
    assert batches.element_spec == (
        tf.TensorSpec((None, 48, 48, 3), tf.uint8),
        tf.TensorSpec((None,), tf.int64),
    )
    assert len(batches) == 14
    for _ in range(2):
        images, labels = concatenated(batches)
        np.testing.assert_array_equal(images, made.images[:])
        np.testing.assert_array_equal(labels, made.labels)
    assert [len(labels) for _, labels in batches][-1] == 96 - 13 * 7


def test_the_shuffled_order_depends_on_seed_and_pass():
    pytest.importorskip("tensorflow")
    values = np.arange(100, dtype=np.uint8)
    data = Dataset.from_arrays(np.tile(values[:, None, None, None], (1, 2, 2, 3)), values % 2)

    def passes(seed: int) -> list[list[int]]:
        batches = data.to_tf(batch=8, shuffle=True, seed=seed)
        orders = []
        for _ in range(3):
            images, labels = concatenated(batches)
            np.testing.assert_array_equal(images[:, 0, 0, 0] % 2, labels)
            orders.append(images[:, 0, 0, 0].tolist())
        return orders

    first, again, other_seed = passes(0), passes(0), passes(1)
    assert first == again
    assert all(sorted(order) == values.tolist() for order in first)
    assert len({tuple(order) for order in [*first, *other_seed, values.tolist()]}) == 7


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_pipeline_over_epochs_has_fresh_copies_in_each(made, shuffle):
    pytest.importorskip("tensorflow")
    batches = made.to_tf(batch=50, shuffle=shuffle, seed=2, epochs=3)
    assert len(batches) == 6
    every = np.arange(96)
    orders = [made.shuffled(2, epoch) if shuffle else every for epoch in range(3)]
    expected = [made.epoch(e).images[order] for e, order in enumerate(orders)]
    images, labels = concatenated(batches)
    np.testing.assert_array_equal(images, np.concatenate(expected))
    np.testing.assert_array_equal(labels, made.labels[np.concatenate(orders)])
    later = made.to_tf(batch=50, shuffle=shuffle, seed=2, epochs=range(2, 3))
    assert len(later) == 2
    np.testing.assert_array_equal(concatenated(later)[0], expected[2])


@pytest.mark.parametrize("wrong", [0, -1, 2.0, range(0), range(-1, 3)])
def test_wrong_epochs_are_refused(made, wrong):
    pytest.importorskip("tensorflow")
    with pytest.raises(CellprepError, match="`epochs` must be a whole number in"):
        made.to_tf(epochs=wrong)


def test_a_bounded_number_of_batches_is_prefetched(read_rows):
    pytest.importorskip("tensorflow")
    batches = many().to_tf(batch=10)
    assert not read_rows
    iterator = iter(batches)
    next(iterator)
    time.sleep(0.3)
    assert 10 < len(read_rows) < 1000


def test_a_finished_pipeline_does_not_wait_for_tensorflows_tuning_thread(made):
    assert made.to_tf(8).options().autotune.enabled is False


def test_keras_trains_on_the_batches(made):
    keras = pytest.importorskip("keras")
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(8)]
    model = keras.Sequential([keras.Input((48, 48, 3)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    before = [weight.copy() for weight in model.get_weights()]
    history = model.fit(made.to_tf(48, shuffle=True), shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert int(model.optimizer.iterations) == 2
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_from_tf_reads_all_images_labels_ids_and_groups(grouped):
    tf = pytest.importorskip("tensorflow")
    images, labels = grouped.images[:], grouped.labels
    batches = grouped.to_tf(batch=7)
    singles = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
    weighted = tf.data.Dataset.from_tensor_slices((images, labels, labels * 0.5))
    for data in (batches, singles, weighted):
        back = Dataset.from_tf(
            data, class_names=grouped.class_names, ids=grouped.ids, groups=grouped.ids
        )
        np.testing.assert_array_equal(back.images[:], images)
        pd.testing.assert_frame_equal(
            back.table().drop(columns="group"), grouped.table().iloc[:, :4]
        )
        assert back.table()["group"].tolist() == grouped.ids.tolist()


def test_from_tf_refuses_unusable_data(grouped):
    tf = pytest.importorskip("tensorflow")
    refused = [
        (np.zeros(3), "must be a tf.data.Dataset, got ndarray"),
        (grouped.to_tf(4).repeat(), "is infinite"),
        (grouped.to_tf(4).map(lambda image, label: image), "must be pairs (image, label)"),
        (grouped.to_tf(4).take(0), "contains no images"),
        (
            grouped.to_tf(4).map(lambda x, y: (tf.cast(x, tf.float32) / 255, y)),
            "if the range is 0-1",
        ),
    ]
    for data, message in refused:
        with pytest.raises(CellprepError, match=re.escape(message)):
            Dataset.from_tf(data)
