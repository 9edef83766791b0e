"""The index records what was done to each image: replaying it gives the same bytes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.synthetic import CLASS_NAMES

from .helpers import (
    FORMATS,
    MOVE,
    dataset,
    write,
)

steps = st.one_of(
    st.builds(cp.Dedupe, on_conflict=st.sampled_from(["drop", "majority", "keep"])),
    st.builds(
        cp.Balance,
        target=st.sampled_from(["max", "median", 3, 6]),
        jitter=st.sampled_from([None, cp.Jitter(), cp.Jitter(rotation=10, fill="edge")]),
    ),
    st.builds(
        cp.Jitter,
        rotation=st.floats(0, 180),
        shift=st.floats(0, 1),
        flip=st.sampled_from(["both", "horizontal", "none"]),
        fill=st.sampled_from(["reflect", "edge", 0, 255]),
    ),
    st.builds(cp.Crop, st.integers(8, 10), st.sampled_from(["cell", "image"]), st.just(16)),
    st.builds(cp.KMeansMask, target=st.sampled_from(["cell", "nucleus"])),
    st.builds(
        cp.RandAugment,
        copies=st.integers(1, 3),
        num_ops=st.integers(1, 4),
        magnitude=st.floats(0, 1),
        rate=st.floats(0, 1),
        keep_originals=st.booleans(),
    ),
)
recipes = st.builds(cp.Recipe, st.lists(steps, min_size=1, max_size=4), st.integers(0, 2**63 - 1))


def apply(recipe: cp.Recipe, cells: cp.Dataset) -> cp.Dataset:
    """The output of a recipe; those that leave nothing of a class to balance are not tested."""
    made = recipe(cells)
    try:
        len(made)
    except CellprepError as error:
        assume("has no images to balance" not in str(error))
        raise
    return made


@given(recipes, st.sampled_from(["shards", "folder"]), st.integers(1, 60), st.data())
def test_replay_gives_the_written_bytes(recipe, format, rows_per_shard, data):
    with tempfile.TemporaryDirectory() as folder:
        path, cells = Path(folder) / "out", dataset()
        made = apply(recipe, cells)
        write(made, path, format=format, rows_per_shard=rows_per_shard)
        images = cp.read(path).images[:]
        np.testing.assert_array_equal(images, made.to_arrays()[0])
        np.testing.assert_array_equal(cp.replay(path, cells), images)
        at = data.draw(st.lists(st.integers(0, len(images) - 1), max_size=8))
        np.testing.assert_array_equal(cp.replay(path, cells, at), images[at])


@settings(max_examples=12)
@given(recipes, recipes)
def test_replay_continues_through_a_second_write(first, second):
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one", Path(folder) / "two"
        write(apply(first, dataset()), one, rows_per_shard=20)
        source = cp.read(one)
        write(apply(second, source), two, rows_per_shard=9)
        images = cp.read(two).images[:]
        np.testing.assert_array_equal(images, second(first(dataset())).to_arrays()[0])
        np.testing.assert_array_equal(cp.replay(two, dataset()), images)
        if source.source.history.stages:
            with pytest.raises(CellprepError, match="pass those"):
                cp.replay(two, source)
        index = pd.read_parquet(two / "index.parquet")
        assert not index.duplicated(["id", "copy"]).any()


def test_copies_of_copies_have_their_own_keys(tmp_path):
    augment = cp.Recipe([cp.RandAugment(copies=3)])
    write(cp.Recipe([cp.Dedupe(), cp.Balance()])(dataset()), tmp_path / "balanced")
    balanced = cp.read(tmp_path / "balanced")
    assert balanced.copies.any()
    write(augment(balanced), tmp_path / "out")
    out = cp.read(tmp_path / "out")
    assert len(out) == 4 * len(balanced) == len(set(zip(out.ids, out.copies, strict=True)))
    index = pd.read_parquet(tmp_path / "out" / "index.parquet")
    jittered = index[index["balance.jitter.rotation"].notna()]
    assert len(jittered) == 4 * (balanced.copies > 0).sum()  # the first record is continued
    slots = index.filter(like="rand_augment.").dropna()
    assert len(slots) == 3 * len(balanced)
    assert not slots.duplicated().any()


@pytest.mark.parametrize("format", ["shards", "folder"])
def test_index_has_one_row_per_image(format, tmp_path):
    path = tmp_path / "out"
    made = cp.Recipe([cp.Balance(), cp.RandAugment(copies=1, num_ops=2)])(dataset())
    write(made, path, format=format, rows_per_shard=10)
    index = pd.read_parquet(path / "index.parquet")
    for column, values in (("id", made.ids), ("copy", made.copies), ("label", made.labels)):
        np.testing.assert_array_equal(index[column], values)
    assert list(index["class_name"]) == [CLASS_NAMES[label] for label in made.labels]
    images = made.to_arrays()[0]
    if format == "shards":
        assert index["shard"].nunique() == 12
        for place in (0, 9, 10, 57, 111):
            name, row = f"shard-{index['shard'][place]:05}.npy", index["row"][place]
            np.testing.assert_array_equal(np.load(path / name)[row], images[place])
    else:
        assert sorted(index["file"]) == sorted(
            str(file.relative_to(path)) for file in path.rglob("*.png")
        )
    sampled_columns = {name.partition(".")[0] for name in index.columns if "." in name}
    assert sampled_columns == {"balance", "rand_augment"}
    copied = index["copy"] % 2 == 1
    assert (index["rand_augment.op_1"].notna() == copied).all()
    assert (index["balance.jitter.rotation"].notna() == (index["copy"] // 2 > 0)).all()
    saved = json.loads((path / "dataset.json").read_text())
    assert (saved["rows"], saved["shape"]) == (len(made), [24, 24, 3])
    assert saved["counts"] == made.counts()
    assert [step["step"] for step in saved["recipe"]] == ["Balance", "RandAugment"]


def test_replay_refuses_a_source_without_the_original_images(tmp_path):
    write(MOVE(dataset()), tmp_path / "out")
    with pytest.raises(CellprepError, match=r"was made from image .*pass the data"):
        cp.replay(tmp_path / "out", dataset(n=20))


@pytest.mark.parametrize("step", [cp.Balance(), cp.Balance("min"), cp.RandAugment(copies=1)])
@pytest.mark.parametrize("format", [None, *FORMATS])
def test_split_is_refused_after_balancing_or_augmenting(step, format, tmp_path):
    made = cp.Recipe([cp.Dedupe(), step, cp.KMeansMask()])(dataset())
    if format:
        path = tmp_path / ("out.npz" if format == "npz" else "out")
        write(made, path, format=format)
        made = cp.read(path)
    for late in (made, MOVE(made)):
        with pytest.raises(CellprepError, match=r"splitting after (balance|rand_augment) would"):
            cp.split(late, train=0.5, test=0.5)
