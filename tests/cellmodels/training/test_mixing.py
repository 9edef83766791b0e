"""MixUp, CutMix, soft labels, and training on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellmodels as cm
import cellprep as cp
from cellmodels.training.checkpoint import Checkpoint
from cellmodels.training.mixing import sample_mixes
from cellmodels.training.settings import Training
from cellmodels.training.soft_labels import soft_labels
from cellprep import CellprepError

from ..helpers import fit, pictures, splits, synthetic_cells

keras = pytest.importorskip("keras")
MIXED = {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1}


def pair(n=40, side=12):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (2, n, side, side, 3), dtype=np.uint8)


def mixes(n=40, side=12, seed=0, epoch=0, **how):
    return sample_mixes(
        n, side, side, **{"mixup": 0.0, "cutmix": 0.0, **how}, seed=seed, epoch=epoch
    )


def test_mixup_blends_whole_images_and_labels_by_one_share_per_image():
    images, others = pair()
    found = mixes(mixup=0.4)
    share = found.shares(12, 12)
    blended = (1 - share)[:, None, None, None] * images + share[:, None, None, None] * others
    assert np.abs(found.images(images, others) - blended).max() <= 0.51
    assert len(np.unique(share)) == 40
    many = mixes(20_000, mixup=0.4).opacity  # Beta(a, a): mean 1/2, variance 1 / (8 a + 4)
    assert many.mean() == pytest.approx(0.5, abs=0.01)
    assert many.var() == pytest.approx(1 / (8 * 0.4 + 4), rel=0.03)


def test_cutmix_pastes_a_box_and_labels_count_by_its_area():
    images, others = pair()
    found = mixes(cutmix=1.0)
    mixed, share = found.images(images, others), found.shares(12, 12)
    pasted = (mixed == others).all(-1) & (mixed != images).any(-1)
    equal = (images == others).all(-1)
    assert not equal.any()
    np.testing.assert_allclose(pasted.mean(axis=(1, 2)), share, atol=1e-6)
    assert ((mixed == images).all(-1) | pasted).all()
    for box in pasted[share > 0]:  # a rectangle: rows and columns that it touches are full
        assert box.sum() == box.any(0).sum() * box.any(1).sum()
    # Boxes that the border cuts are smaller: less than the mean of 1/2 of Beta(1, 1).
    assert 0.3 < mixes(20_000, cutmix=1.0, side=96).shares(96, 96).mean() < 0.45


def test_with_both_settings_each_image_is_mixed_by_one_of_them():
    found = mixes(10_000, mixup=0.2, cutmix=1.0)
    cut = found.opacity == 1
    whole = (found.boxes == [0, 12, 0, 12]).all(axis=1)
    assert (cut | whole).all()
    assert (~whole).mean() == pytest.approx(0.5, abs=0.1)
    assert mixes() is None


def test_mixes_depend_on_seed_and_epoch_only():
    one, same = mixes(**{"mixup": 0.2, "cutmix": 1.0}), mixes(**{"mixup": 0.2, "cutmix": 1.0})
    np.testing.assert_array_equal(one.boxes, same.boxes)
    for change in ({"seed": 1}, {"epoch": 1}):
        assert (mixes(mixup=0.2, cutmix=1.0, **change).opacity != one.opacity).any()


@given(
    st.integers(2, 6),
    st.floats(0, 0.9),
    st.lists(st.floats(0.25, 4), min_size=6, max_size=6),
    st.lists(st.floats(0, 1), min_size=9, max_size=9),
    st.booleans(),
)
@settings(deadline=None, max_examples=50)
def test_soft_labels_are_shares_of_classes(classes, smoothing, weights, shares, weighted):
    labels, others = np.arange(9) % classes, np.arange(9)[::-1] % classes
    share = np.array(shares, np.float32)
    by_class = np.array(weights[:classes], np.float32) if weighted else None
    soft, weight = soft_labels(
        labels, classes, others=others, shares=share, weights=by_class, smoothing=smoothing
    )
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    assert soft.min() >= smoothing / classes - 1e-6
    # Weighted cross-entropy, class by class; what smoothing adds is weighted as a whole.
    log = np.log(np.linspace(0.1, 1, classes))
    mixed = np.zeros((9, classes))
    np.add.at(mixed, (np.arange(9), labels), 1 - share)
    np.add.at(mixed, (np.arange(9), others), share)
    mixed *= 1 if by_class is None else by_class
    total = mixed.sum(axis=1)
    expected = (1 - smoothing) * mixed @ log + smoothing * total * log.mean()
    np.testing.assert_allclose((soft @ log) * weight, expected, rtol=1e-4, atol=1e-4)


def test_the_same_images_are_mixed_for_any_batch_size():
    from cellmodels.training.batches import training_batches

    cells = synthetic_cells()
    weights = cp.class_weights(cells.labels)

    def epoch(batch_size):
        how = Training(batch_size=batch_size, seed=3, **MIXED)
        batches = training_batches(cells, how, 2, weights)
        return [
            np.concatenate(part)
            for part in zip(*(batches[k] for k in range(len(batches))), strict=True)
        ]

    for a, b in zip(epoch(5), epoch(24), strict=True):
        np.testing.assert_array_equal(a, b)
    images, labels, weight = epoch(5)
    assert (images.dtype, labels.shape, weight.shape) == (np.uint8, (24, 3), (24,))
    # Mixed and balanced, every class still has about the same weight.
    many = Training(mixup=1.0, seed=1)
    total = sum(
        (labels * weight[:, None]).sum(axis=0)
        for e in range(40)
        for _, labels, weight in [training_batches(cells, many, e, weights)[0]]
    )
    np.testing.assert_allclose(total / total.sum(), 1 / 3, atol=0.02)


SHORT = {"epochs": 2, "transfer_epochs": 0, **MIXED}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return fit(out=tmp_path_factory.mktemp("mixed"), **SHORT)


def test_validation_labels_are_neither_mixed_nor_smoothed(uninterrupted):
    model, history = cm.load(uninterrupted.path), uninterrupted.history
    assert {name: model.card.settings[name] for name in MIXED} == MIXED
    images, labels = splits()["val"].to_arrays()
    given = model.predict_on_batch(images.astype("f4"))
    entropy = -np.log(given[np.arange(len(labels)), labels]).mean()
    best = uninterrupted.best_epoch
    assert history["val_cross_entropy"][best] == pytest.approx(entropy, rel=1e-4)
    assert history["val_accuracy"][best] == pytest.approx((given.argmax(1) == labels).mean())


def test_a_training_with_mixing_resumes_with_the_same_history(tmp_path, monkeypatch, uninterrupted):
    write = Checkpoint.write

    def stopping(self, state, model):
        write(self, state, model)
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", stopping)
        with pytest.raises(RuntimeError):
            fit(out=tmp_path, **SHORT)
    done = fit(out=tmp_path, **SHORT)
    assert done.resumed_at == 1
    assert done.history == uninterrupted.history
    with pytest.raises(CellprepError, match=r"settings mixup is 0\.4 there"):
        fit(out=tmp_path, **{**SHORT, "mixup": 0.2})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixup": -0.1}, r"`mixup` must be a number in \[0, 100\], got -0.1"),
        ({"cutmix": "yes"}, "`cutmix` must be a number"),
        ({"label_smoothing": 1.0}, r"`label_smoothing` must be a number in \[0, 0.99\]"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(CellprepError, match=message):
        Training(**settings)


def test_soft_labels_of_a_data_set_are_refused_in_one_line():
    images, labels = pictures(12)
    soft = 0.9 * np.eye(3)[labels] + 0.1 / 3
    for refused in (
        lambda: fit(data={"train": (images, soft)}),
        lambda: cm.evaluate(None, (images, soft)),
        lambda: cm.score(soft, soft, class_names=["a", "b", "c"]),
    ):
        with pytest.raises(CellprepError, match="argmax") as error:
            refused()
        assert "\n" not in str(error.value)
