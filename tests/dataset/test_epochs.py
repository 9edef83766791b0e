"""`Dataset.epoch`: the same rows with fresh pixels, each of which can be recreated."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellprep as cp
from cellprep import CellprepError, Dataset
from cellprep.kernels.segment import segment as segment_module
from cellprep.plan import found as found_module
from cellprep.report.operations import planned
from cellprep.system import executors

REPORT = cp.Recipe(
    [cp.Dedupe(), cp.Balance(target=6), cp.KMeansMask(), cp.RandAugment(copies=2)], seed=3
)
CROPPED = cp.Recipe([cp.Balance(target=6), cp.Crop(32), cp.RandAugment(copies=1)], seed=3)


@pytest.fixture
def source(cells) -> Dataset:
    return Dataset.from_arrays(*cells)


@pytest.fixture
def segmented(monkeypatch) -> list[int]:
    """The number of images in each call of `segment`."""
    calls: list[int] = []
    segment = segment_module.segment

    def recorded(images, **how):
        calls.append(len(images))
        return segment(images, **how)

    monkeypatch.setattr(segment_module, "segment", recorded)
    return calls


@settings(max_examples=8)
@given(st.integers(0, 2**31), st.permutations(range(144)), st.integers(1, 144))
def test_an_image_depends_on_its_epoch_and_row_alone(epoch, order, size) -> None:
    at, made = np.array(order), MADE.epoch(epoch)
    batches = [made.images[at[start : start + size]] for start in range(0, 144, size)]
    again = REPORT(SOURCE.epoch(epoch)).images[:]  # steps that follow have the same epoch
    np.testing.assert_array_equal(np.concatenate(batches), again[at])
    assert (made.labels == MADE.labels).all()
    assert (made.copies == MADE.copies).all()


SOURCE = Dataset.from_arrays(
    np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8), np.arange(40) % 8
)
MADE = REPORT(SOURCE)


def test_every_augmented_image_differs_between_epochs_and_no_other(source) -> None:
    made = REPORT(source)
    epochs = [made.epoch(epoch).images[:] for epoch in range(4)]
    fixed = made.copies == 0
    assert fixed.sum() == 40
    changed = [(a != b).any(axis=(1, 2, 3)) for a in epochs for b in epochs if a is not b]
    assert not np.any([c[fixed] for c in changed])
    assert np.mean([c[~fixed] for c in changed]) > 0.97  # two copies may have no operation
    assert made.varies
    assert not cp.Recipe([cp.Crop(32), cp.KMeansMask()])(source).varies
    np.testing.assert_array_equal(source.epoch(9).images[:], source.images[:])


@pytest.mark.parametrize(("recipe", "again"), [(REPORT, 8), (CROPPED, 8)], ids=["mask", "crop"])
def test_masks_and_windows_of_fixed_images_are_found_once(source, segmented, recipe, again):
    made = recipe(source)
    made.plan.rows  # noqa: B018
    segmented.clear()
    for epoch in range(3):
        made.epoch(epoch).images[::-1]
    assert segmented == [48, again, again]  # 40 images, and Balance's 8 jittered copies
    segmented.clear()
    made.epoch(3).images[made.copies == 0]
    assert not sum(segmented)


def test_what_is_found_is_bounded_and_not_sent_to_other_processes(
    source, segmented, monkeypatch
) -> None:
    made = REPORT(source)
    expected = [made.epoch(epoch).images[:] for epoch in range(2)]
    monkeypatch.setattr(found_module, "_MOST_BYTES", 48 * 48 // 8 * 5)
    limited = REPORT(source)
    for images, epoch in zip(expected * 2, (0, 1, 0, 1), strict=True):
        segmented.clear()
        np.testing.assert_array_equal(limited.epoch(epoch).images[:], images)
    assert 43 <= sum(segmented) < 48
    before = len(pickle.dumps(REPORT(source).epoch(1).plan))
    assert len(pickle.dumps(limited.epoch(1).plan)) < before + 2000
    copied = pickle.loads(pickle.dumps(limited.epoch(1).plan))
    np.testing.assert_array_equal(copied.evaluate(np.arange(144))[0], expected[1])


def test_batches_have_the_given_order_and_are_prefetched_a_few_at_a_time(source, monkeypatch):
    made = REPORT(source)
    order = made.shuffled(0, epoch=1)
    images, labels = zip(*made.batches(25, order=order), strict=True)
    assert [len(batch) for batch in images] == [25] * 5 + [19]
    np.testing.assert_array_equal(np.concatenate(images), made.images[order])
    np.testing.assert_array_equal(np.concatenate(labels), made.labels[order])
    started: list[int] = []
    evaluate = type(made.plan).evaluate
    monkeypatch.setattr(
        type(made.plan), "evaluate", lambda plan, at: started.append(len(at)) or evaluate(plan, at)
    )
    monkeypatch.setattr(executors, "usable_cores", lambda: 2)
    batches = made.batches(10)
    next(batches)
    assert len(started) <= 4
    batches.close()


def test_a_crop_after_a_random_step_follows_the_cell_of_each_epoch(source) -> None:
    """A window that `crops` measured in epoch 0 must not be used in another."""
    jittered = cp.Recipe([cp.Jitter(shift=0.3)])(source)
    measured = cp.crops(jittered, sizes=(24,))[24]
    for epoch in (0, 2):
        expected = cp.crop(jittered.epoch(epoch).images[:], size=24)
        np.testing.assert_array_equal(measured.epoch(epoch).images[:], expected)


def test_steps_after_an_epoch_are_as_if_it_were_set_last(source) -> None:
    """What they measure is that of epoch 0, as it is if the epoch is set at the end."""
    jitter, match = cp.Recipe([cp.Jitter()]), cp.Recipe([cp.MatchColors(), cp.RandAugment()])
    early, late = match(jitter(source).epoch(2)), match(jitter(source)).epoch(2)
    np.testing.assert_array_equal(early.images[:], late.images[:])
    assert early.provenance() == late.provenance()


def test_an_epoch_is_written_with_its_record_and_replayed(source, tmp_path) -> None:
    made = REPORT(source)
    cp.write(made.epoch(3), tmp_path / "three", progress=False)
    read = cp.read(tmp_path / "three")
    np.testing.assert_array_equal(read.images[:], made.epoch(3).images[:])
    np.testing.assert_array_equal(cp.replay(tmp_path / "three", source), read.images[:])
    manifest = json.loads((tmp_path / "three" / "dataset.json").read_text())
    assert {step["epoch"] for step in manifest["recipe"]} == {3}
    assert read.provenance()["steps"] == made.epoch(3).provenance()["steps"]
    assert cp.write(made.epoch(3), tmp_path / "three", progress=False).resumed == len(made)
    with pytest.raises(CellprepError, match="step 1, Dedupe: epoch 3 there, 0 here"):
        cp.write(made, tmp_path / "three", progress=False)
    with pytest.raises(CellprepError, match="epoch 3 there, 4 here"):
        cp.write(made.epoch(4), tmp_path / "three", progress=False)


def test_epoch_0_is_written_as_the_data_set_itself(source, tmp_path) -> None:
    for name, made in {"plain": REPORT(source), "zero": REPORT(source).epoch(5).epoch(0)}.items():
        cp.write(made, tmp_path / name, progress=False)
    plain, zero = (
        {p.name: p.read_bytes() for p in (tmp_path / n).iterdir()}
        for n in (
            "plain",
            "zero",
        )
    )
    assert plain == zero


@pytest.mark.parametrize("wrong", [-1, 1.0, True, "1", None, 2**40])
def test_wrong_epochs_are_refused_in_one_line(source, wrong) -> None:
    with pytest.raises(CellprepError, match=r"`epoch` must be a whole number in \[0, ") as error:
        source.epoch(wrong)
    assert "\n" not in str(error.value)


def test_the_report_of_an_epoch_shows_its_operations(source) -> None:
    made = REPORT(source)
    plain, zero, one = (planned(each) for each in (made, made.epoch(0), made.epoch(1)))
    assert plain == zero
    assert plain != one
    assert "epoch 1" in repr(made.epoch(1))
