"""Batches for Keras: weights, sizes and the order of an epoch."""

from __future__ import annotations

import numpy as np
import pytest

import cellprep as cp

from ..helpers import splits, synthetic_cells

keras = pytest.importorskip("keras")


def test_class_weights_balance_the_classes():
    from cellmodels.training.batches import Batches

    train = splits()["train"]
    batches = Batches(train, 5, weights=cp.class_weights(train.labels))
    seen = [batches[k] for k in range(len(batches))]
    labels, weights = (np.concatenate([b[k] for b in seen]) for k in (1, 2))
    totals = np.bincount(labels, weights)
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)
    assert seen[0][0].dtype == np.uint8
    assert len(seen[-1][0]) == len(train) % 5 or 5


def test_the_order_of_an_epoch_depends_on_seed_epoch_and_id_only():
    data = synthetic_cells()
    backwards = cp.Dataset.from_arrays(
        data.images[::-1], data.labels[::-1], data.class_names, ids=data.ids[::-1]
    )
    one, two = data.shuffled(3, 1), backwards.shuffled(3, 1)
    np.testing.assert_array_equal(data.ids[one], backwards.ids[two])
    assert (data.shuffled(3, 2) != one).any()
    assert (data.shuffled(4, 1) != one).any()


@pytest.mark.parametrize("images", [1, 7, 16, 40])
def test_a_training_on_a_number_of_images_ends_after_as_many(images):
    from cellmodels.training.batches import training_batches
    from cellmodels.training.phases import FINE_TUNING, TRANSFER, epochs_of
    from cellmodels.training.settings import Training

    train = splits()["train"]
    rows = len(train)
    how = Training(images=images, transfer_epochs=1, batch_size=4).sized(rows)
    assert how.epochs == -(-images // rows)
    batches = [training_batches(train, how, epoch, None) for epoch in range(how.total)]
    seen = [[len(each[k][0]) for k in range(len(each))] for each in batches]
    assert sum(seen[0]) == rows  # the head trains on all
    assert sum(map(sum, seen[1:])) == images
    assert how.steps(epochs_of(TRANSFER, how), rows) == len(batches[0])
    assert how.steps(epochs_of(FINE_TUNING, how), rows) == sum(map(len, batches[1:]))
