"""Ids lead somewhere: rows are chosen, left out and relabelled by them, in Python and the shell."""

from __future__ import annotations

import io

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cellprep as cp
from cellprep import cli

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
IDS = [f"a/{n}.png" for n in range(6)]


@pytest.fixture
def cells():
    return cp.Dataset.from_arrays(IMAGES, list("abcabc"), ids=IDS, groups=list("ppqqrr"))


def test_rows_are_taken_in_any_order_with_the_pixels_of_their_recipe(cells):
    made = cp.Recipe([cp.RandAugment(copies=2)], seed=1)(cells)
    at = [7, 2, 16]
    np.testing.assert_array_equal(made.take(at).images[:], made.images[at])
    np.testing.assert_array_equal(made[-3:].images[:], made.images[-3:])
    np.testing.assert_array_equal(made[made.labels == 1].images[:], made.images[made.labels == 1])
    # what is computed does not depend on what was left out before
    np.testing.assert_array_equal(
        cp.Recipe([cp.RandAugment(copies=2)], seed=1)(cells[[4]]).images[:],
        made.where(id=IDS[4]).images[:],
    )
    for wrong, error in (([1, 1], cp.CellprepError), ([18], IndexError), ([True], IndexError)):
        with pytest.raises(error):
            len(made.take(wrong))


def test_a_row_has_its_picture(cells):
    row = cells[-1]
    assert repr(row) == "Row('a/5.png', 'c', group 'r', 8x8)"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(row._repr_png_()))), IMAGES[5])


def test_ids_of_a_table_are_left_out_with_their_copies(cells):
    twice = cp.Dataset.from_arrays(
        np.concatenate([IMAGES, IMAGES[:1]]), list("abcabca"), ids=[*IDS, "a/again.png"]
    )
    found = cp.find_duplicates(twice)
    made = cp.Recipe([cp.RandAugment(copies=1)])(twice).without(found)
    assert made.table().id.unique().tolist() == IDS[1:]
    assert len(cells.without("a/3.png")) == 5
    assert cells.without("a/3.png").removed()["reason"].tolist() == ["left out by id"]
    with pytest.raises(cp.CellprepError, match=r"no image has the id 'a/9.png'"):
        len(cells.without(["a/9.png"]))


def test_rows_are_chosen_by_their_columns(cells):
    assert cells.where(class_name="a", group="q").ids.tolist() == ["a/3.png"]
    assert cells.where(lambda table: table["label"] > 1).ids.tolist() == [IDS[2], IDS[5]]
    with pytest.raises(cp.CellprepError, match=r"no column 'clas'.*class_name"):
        len(cells.where(clas="a"))
    with pytest.raises(cp.CellprepError, match="one bool for each of 6 rows"):
        len(cells.where(lambda table: 1))


def test_relabelled_images_are_written_with_their_new_classes(cells, tmp_path):
    made = cells.relabel({"a/0.png": "c"}, classes={"a": "blast", "b": "blast"})
    assert made.class_names == ("blast", "c")
    assert "plan" not in made.__dict__  # the names are known without planning
    cp.write(cp.Recipe([cp.Balance()])(made), tmp_path / "out", progress=False)
    again = cp.read(tmp_path / "out")
    assert again.where(id="a/0.png")[0].class_name == "c"
    assert {*again.counts().items()} == {("blast", 3), ("c", 3)}
    with pytest.raises(cp.CellprepError, match=r"contains other images|another|made from"):
        cp.write(cp.Recipe([cp.Balance()])(cells), tmp_path / "out", progress=False)
    with pytest.raises(cp.CellprepError, match="there is no class 'z'"):
        cells.relabel({"a/0.png": "z"}).counts()


def test_ids_of_a_file_are_left_out_in_the_shell(cells, tmp_path):
    cp.write(cells, tmp_path / "in.npz", progress=False)
    ids = {"ids.csv": "id,why\na/0.png,blurred\n", "ids.txt": "a/0.png\n"}
    for name, text in ids.items():
        (tmp_path / name).write_text(text)
        out = str(tmp_path / f"out-{name}.npz")
        words = ["convert", str(tmp_path / "in.npz"), out, "--without", str(tmp_path / name)]
        done = CliRunner().invoke(cli.main, words)
        assert done.exit_code == 0, done.output
        assert cp.read(out).ids.tolist() == IDS[1:]


def test_the_text_of_a_data_set_has_its_own_length_once_it_is_known(cells):
    part = cells.where(class_name="a")
    assert repr(part).startswith("Dataset(6 images of 8x8")
    len(part)
    assert repr(part) == "Dataset(2 from 6 images of 8x8, 3 classes, in memory, then " + (
        "where(class_name='a'))"
    )
