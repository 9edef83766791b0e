"""What a data set reports about its rows and their origin."""

from __future__ import annotations

import json

import numpy as np

import cellprep as cp


def test_provenance_lists_all_steps_also_those_before_a_write(cells, tmp_path) -> None:
    images, labels = cells
    recipe = cp.Recipe([cp.Dedupe(), cp.Crop(24)], seed=3)
    made = recipe(cp.Dataset.from_arrays(images, labels))
    cp.write(made, tmp_path / "set", progress=False)
    written = cp.Recipe([cp.Balance()])(cp.read(tmp_path / "set")).provenance()
    assert [step["step"] for step in written["steps"]] == ["Dedupe", "Crop", "Balance"]
    manifest = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert written["steps"][:2] == manifest["recipe"] == made.provenance()["steps"]
    assert written["path"] == str(tmp_path / "set")
    assert made.provenance()["path"] is None
    assert json.loads(json.dumps(written)) == written


def test_provenance_changes_with_ids_and_labels(cells) -> None:
    images, labels = cells
    names = [str(name) for name in range(8)]

    def rows(labels, ids=None) -> str:
        dataset = cp.Dataset.from_arrays(images, labels, names, ids=ids)
        return str(dataset.provenance()["rows"])

    assert rows(labels) == rows(labels.copy())
    changed = labels.copy()
    changed[0] = (changed[0] + 1) % 8
    assert rows(changed) != rows(labels)
    assert rows(labels, ids=np.arange(len(images)) + 1) != rows(labels)


def test_ids_are_shared_by_data_sets_written_from_one_source(cells, tmp_path) -> None:
    images, labels = cells
    source = cp.Dataset.from_arrays(images, labels)
    splits = cp.split(source, train=0.5, test=0.5)
    for name, split in splits.items():
        cp.write(split, tmp_path / name, progress=False)
    train, test = (cp.read(tmp_path / name) for name in splits)
    assert train.shares_ids(test)
    assert train.shares_ids(source)
    other = cp.Dataset.from_arrays(255 - images, labels)
    assert not train.shares_ids(other)


def test_file_names_are_shared_ids_and_never_equal_to_row_numbers(cells) -> None:
    images, labels = cells
    names = [f"image {row}" for row in range(len(images))]
    named = cp.Dataset.from_arrays(images, labels, ids=names)
    assert named.shares_ids(cp.Dataset.from_arrays(255 - images, labels, ids=names))
    assert not named.shares_ids(cp.Dataset.from_arrays(images, labels))


def test_shuffled_is_a_permutation_that_depends_on_seed_and_epoch(cells) -> None:
    images, labels = cells
    dataset = cp.Dataset.from_arrays(images, labels)
    order = dataset.shuffled(3, epoch=1)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(images)))
    np.testing.assert_array_equal(order, dataset.shuffled(3, epoch=1))
    assert (dataset.shuffled(3, epoch=2) != order).any()
    assert (dataset.shuffled(4, epoch=1) != order).any()
