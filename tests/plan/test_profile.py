"""`profile`: what is measured, on which images, and what a written set saves of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.dataset import profile as profile_module
from cellprep.kernels.segment import segment as segment_module
from cellprep.plan.profile import SAMPLE, Measured, sample
from cellprep.writing import shards

from .. import manifests

NAMES = [str(n) for n in range(8)]


def manifest(path):
    return json.loads((path / "dataset.json").read_text())


@pytest.fixture
def dataset(cells) -> cp.Dataset:
    return cp.Dataset.from_arrays(*cells, NAMES)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 4))
def test_a_profile_equals_that_of_numpy_however_images_are_divided(seed, n, size) -> None:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (n, 5, 7, 3), np.uint8)
    masks = random.random((n, 5, 7)) < 0.4
    masks[0] = False  # no cell is known
    parts = [slice(start, start + size) for start in range(0, n, size)]
    measured = Measured.total(Measured.of(images[at], masks[at], None) for at in parts)
    found = cp.Profile.of(measured, images.shape[1:])
    assert (found.images, found.cells) == (n, masks.any(axis=(1, 2)).sum())
    np.testing.assert_allclose(found.mean, images.mean(axis=(0, 1, 2)), atol=6e-4)
    np.testing.assert_allclose(found.spread, images.std(axis=(0, 1, 2)), atol=6e-4)
    if found.cells:
        known = masks.any(axis=(1, 2))
        outside = images[known][~masks[known]]
        assert found.share == pytest.approx(np.median(masks[known].mean(axis=(1, 2))), abs=1e-6)
        np.testing.assert_allclose(found.background_mean, outside.mean(axis=0), atol=6e-4)
        np.testing.assert_allclose(found.background_spread, outside.std(axis=0), atol=6e-4)


def test_row_order_does_not_change_a_profile() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (SAMPLE + 40, 4, 4, 3), np.uint8)
    ids = np.array([f"{n}.png" for n in range(len(images))])
    order = random.permutation(len(images))
    one, other = (
        cp.Dataset.from_arrays(images[at], np.zeros(len(at), int), ["cell"], ids[at])
        for at in (np.arange(len(images)), order)
    )
    assert set(one.ids[sample(one.plan.table)]) == set(other.ids[sample(other.plan.table)])
    assert cp.profile(one) == cp.profile(other)
    assert cp.profile(one).images == SAMPLE


def test_added_copies_are_left_out_unless_there_are_only_copies(dataset) -> None:
    plain = cp.profile(dataset)
    steps = [cp.Balance(target=9), cp.RandAugment(copies=2)]
    assert cp.profile(cp.Recipe(steps)(dataset)) == plain
    only = cp.Recipe([cp.RandAugment(copies=1, keep_originals=False)])(dataset)
    assert cp.profile(only).images == len(dataset)
    assert cp.profile(only) != plain


def test_cells_are_those_of_given_masks_or_of_a_painted_background(dataset, cells) -> None:
    images, labels = cells
    masks = np.zeros(images.shape[:3], bool)
    masks[:, :24] = True
    masks[::2] = False  # not known: searched for
    found = cp.profile(cp.Dataset.from_arrays(images, labels, NAMES, masks=masks))
    searched = cp.segment(images)[::2].mean(axis=(1, 2))
    expected = np.median(np.r_[searched, np.full(len(images) // 2, 0.5)])
    assert found.share == pytest.approx(expected, abs=1e-6)
    for level in (0, 200):
        masked = cp.profile(cp.Recipe([cp.KMeansMask(background=level)])(dataset))
        assert masked.share == pytest.approx(cp.profile(dataset).share, rel=0.01)
        assert masked.background_mean is None


def test_images_without_a_cell_have_no_share() -> None:
    for images in (np.full((3, 16, 16, 3), 80, np.uint8), np.zeros((2, 4, 4, 3), np.uint8)):
        found = cp.profile(images)
        assert (found.cells, found.share, found.background_mean) == (0, None, None)
        assert cp.Profile.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("name", ["set", "set.npz"])
@pytest.mark.parametrize("masks", [False, True])
def test_a_written_set_has_the_profile_of_its_images(name, masks, cells, tmp_path) -> None:
    images, labels = cells
    given_masks = images[..., 1] < 128 if masks else None
    dataset = cp.Dataset.from_arrays(images, labels, NAMES, masks=given_masks)
    made = cp.Recipe([cp.Crop(40), cp.RandAugment(copies=1)])(dataset)
    cp.write(made, tmp_path / name, masks=masks, rows_per_shard=30, progress=False)
    read = cp.read(tmp_path / name)
    assert cp.profile(read) == cp.profile(made)
    saved = read.source.history.profile
    assert ("share" in saved) == masks
    assert saved["mean"] == list(cp.profile(made).mean)


def test_writing_searches_for_no_cells(dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(segment_module, "segment", None)  # slow to compile on a new machine
    cp.write(dataset, tmp_path / "out", progress=False)
    assert manifest(tmp_path / "out")["profile"]["images"] == len(dataset)


def test_the_saved_profile_is_that_of_a_set_until_a_step_changes_it(
    dataset, tmp_path, monkeypatch
) -> None:
    masked = cp.Recipe([cp.KMeansMask()])(dataset)
    cp.write(masked, tmp_path / "out", progress=False)
    read, expected = cp.read(tmp_path / "out"), cp.profile(masked)
    smaller = cp.profile(cp.Recipe([cp.Crop(24, center="image")])(read))
    assert (smaller.size, smaller.share > expected.share) == ((24, 24), True)
    monkeypatch.setattr(profile_module, "profile_of", None)  # no image is read
    assert cp.profile(read) == expected


def test_a_resumed_write_has_the_same_manifest(dataset, tmp_path, monkeypatch) -> None:
    settings = {"rows_per_shard": 9, "progress": False}
    cp.write(dataset, tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_index", lambda path, records, n: [*records][7])
        with pytest.raises(IndexError):
            cp.write(dataset, tmp_path / "out", **settings)
    (tmp_path / "out" / "shard-00001.npy").unlink()
    assert cp.write(dataset, tmp_path / "out", **settings).resumed
    assert manifest(tmp_path / "out") == manifest(tmp_path / "whole")
    index = tmp_path / "out" / "index.parquet"
    index.unlink()  # the repair computes the index from all shards
    cp.write(dataset, tmp_path / "out", **settings)
    assert manifest(tmp_path / "out") == manifest(tmp_path / "whole")


def test_a_profile_is_read_from_a_file_or_a_set(dataset, tmp_path) -> None:
    expected = cp.profile(dataset)
    (tmp_path / "train.json").write_text(json.dumps(expected.to_dict()))
    cp.write(dataset, tmp_path / "train", progress=False)
    assert cp.profile(tmp_path / "train.json") == expected
    assert cp.profile(str(tmp_path / "train")) == expected
    assert cp.profile(dataset.images[:]) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shares": 0.2}, "a profile has no 'shares'; did you mean 'share'"),
        ({"share": 1.2}, "`share` must be a number in"),
        ({"mean": [1, 2]}, "`mean` must be 3 numbers, got"),
        ({"mean": None}, "`mean` must be 3 numbers, got None"),
        ({"spread": [1, 2, "x"]}, "`spread` must be a number in"),
        ({"cells": 41}, "`cells` must be a whole number in"),
        ({"size": [48.5, 48]}, "`size` must be a whole number"),
    ],
)
def test_a_damaged_profile_is_refused_in_one_line(change, message, dataset, tmp_path) -> None:
    cp.write(cp.Recipe([cp.KMeansMask()])(dataset), tmp_path / "out", progress=False)
    saved = manifests.load(tmp_path / "out")
    saved["profile"] |= change
    manifests.save(tmp_path / "out", saved)
    with pytest.raises(cp.CellprepError, match=message):
        cp.profile(tmp_path / "out")
    saved["profile"] = [1]
    manifests.save(tmp_path / "out", saved)
    with pytest.raises(cp.CellprepError, match="a profile must be a table of numbers"):
        cp.profile(cp.read(tmp_path / "out"))
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(cp.CellprepError, match="is not a profile as printed by"):
        cp.profile(tmp_path / "bad.json")
