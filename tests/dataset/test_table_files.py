"""Labels in a table: CSV and Parquet files that list image files."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp
from cellprep import cli

from ..bad_input.fuzz_helpers import fuzzed

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
NAMES = [f"{n:06d}.png" for n in range(6)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "pictures").mkdir(parents=True)
    for name, image in zip(NAMES, PIXELS, strict=True):
        Image.fromarray(image).save(tmp_path / "in" / "pictures" / name)
    return tmp_path / "in"


def listed(**columns) -> pd.DataFrame:
    return pd.DataFrame({"Image": [f"pictures/{name}" for name in NAMES], **columns})


def save(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep=";" if path.stem == "excel" else ",")
    return path


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet", "excel.csv"])
def test_a_table_beside_its_images_is_read_and_run(folder, name, tmp_path):
    path = save(listed(Class=["NA", "007", "NA", "7", "007", "7"]), folder / name)
    cells = cp.read(path)
    assert cells.class_names == ("007", "7", "NA")
    assert cells.labels.tolist() == [2, 0, 2, 1, 0, 1]
    assert cells.ids.tolist() == [f"pictures/{name}" for name in NAMES]
    np.testing.assert_array_equal(cells.images[:], PIXELS)
    cp.Recipe([cp.Jitter()]).to_toml(tmp_path / "recipe.toml")
    words = ["run", str(tmp_path / "recipe.toml"), str(path), str(tmp_path / "out")]
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 0, done.output
    assert cp.read(tmp_path / "out").counts() == {"007": 2, "7": 2, "NA": 2}


def test_columns_are_named_in_python_and_in_the_shell(folder):
    table = listed(Image2=[f"pictures/{name}" for name in NAMES[::-1]], kind=list("ababab"))
    table["key"], table["pid"] = [f"0{n}" for n in range(6)], list("ppqqrr")
    path = save(table.drop(columns="Image"), folder / "t.csv")
    with pytest.raises(cp.CellprepError, match=r"columns Image2, kind, .*image= \(--image\)"):
        cp.read(path)
    cells = cp.read(path, image="Image2", label="kind", id="key", group="pid")
    assert cells.ids.tolist() == [f"0{n}" for n in range(6)]
    assert cells.table()["group"].tolist() == list("ppqqrr")
    np.testing.assert_array_equal(cells.images[0], PIXELS[5])
    words = ["inspect", str(path), "--image", "Image2", "--label", "kind", "--id", "key"]
    assert "6 images, 2 classes" in CliRunner().invoke(cli.main, words).output
    with pytest.raises(cp.CellprepError, match=r"has no column 'knd'.*'kind'"):
        cp.read(path, image="Image2", label="knd")


def test_splits_and_masks_of_a_table(folder):
    for name, image in zip(NAMES, PIXELS, strict=True):
        Image.fromarray((image[..., 0] > 99).view(np.uint8)).save(folder / f"mask_{name}")
    table = listed(label=list("ababab"), split=["TRAIN", "train", "Test", "valid", "train", ""])
    table["mask"] = [f"mask_{name}" for name in NAMES[:5]] + [None]
    path = save(table, folder / "t.csv")
    with pytest.raises(cp.CellprepError, match="has the splits train, val, test, other; choose"):
        cp.read(path)
    cells = cp.read(path, part="train")
    assert cells.labels.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(cells.masks[2], PIXELS[4, ..., 0] > 99)
    everything = cp.read(path, part="all")
    assert everything.source.rows.parts.tolist() == [
        *["train"] * 2,
        "test",
        "val",
        "train",
        "other",
    ]
    assert not everything.masks[5].any()


def test_a_file_that_is_absent_is_named_and_a_table_of_absent_files_refused(folder):
    table = listed(label=list("ababab"))
    table.loc[2, "Image"] = "pictures/absent.png"
    assert list(cp.read(save(table, folder / "t.csv")).readable().bad) == ["pictures/absent.png"]
    path = save(listed(label=list("ababab")), folder / "pictures" / "t.csv")
    with pytest.raises(cp.CellprepError, match=r"do not exist, such as .*relative to the folder"):
        cp.read(path)


def test_missing_labels_and_paths_are_refused(folder):
    for column in ("Image", "label"):
        table = listed(label=list("ababab"))
        table.loc[3, column] = None
        with pytest.raises(cp.CellprepError, match="row 3"):
            cp.read(save(table, folder / "t.csv"))


def test_numbers_in_a_table_are_classes_in_numeric_order(folder):
    path = save(listed(label=[1, 2, 10, 1, 2, 10]), folder / "t.csv")
    assert cp.read(path).class_names == ("1", "2", "10")
    names = {1: "mono", 2: "baso", 10: "eosi"}
    assert cp.read(path, class_names=names).class_names == ("mono", "baso", "eosi")


def test_groups_of_a_table_are_text_and_found_by_the_first_column(folder, tmp_path):
    path = save(listed(label=list("ababab")), folder / "t.csv")
    decomposed = unicodedata.normalize("NFD", "pré")
    groups = pd.DataFrame({"file": [f"pictures/{name}" for name in NAMES]})
    groups["slide"] = ["NA", "01", "1", "NA", "pré", decomposed]
    save(groups, tmp_path / "g.csv")
    words = ["split", str(path), str(tmp_path / "out"), "--parts", "train=0.5,test=0.5"]
    done = CliRunner().invoke(cli.main, [*words, "--groups", f"{tmp_path}/g.csv:slide"])
    assert done.exit_code == 0, done.output
    slides = dict(zip(groups["file"], ["NA", "01", "1", "NA", "pré", "pré"], strict=True))
    train, test = (
        {slides[name] for name in cp.read(tmp_path / "out" / part).ids}
        for part in ("train", "test")
    )
    assert (train | test, train & test) == ({"NA", "01", "1", "pré"}, set())
    absent = CliRunner().invoke(cli.main, [*words, "--groups", "patient.csv:pid"])
    assert (absent.exit_code, "there is no table 'patient.csv'" in absent.output) == (2, True)


CELLS_OF_TABLES = st.sampled_from(
    [
        "",
        "a",
        "pictures/000000.png",
        "../x.png",
        "/etc/passwd",
        "~",
        "\x00",
        '"',
        "1",
        "nan",
        "é",
        ",",
    ]
)


@fuzzed(60)
@given(
    st.lists(
        st.sampled_from(["image", "label", "id", "group", "part", "mask", "", "x"]), max_size=6
    ),
    st.lists(st.lists(CELLS_OF_TABLES, max_size=6), max_size=5),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_any_table_is_read_or_refused(tmp_path_factory, header, rows, separator, encoding):
    folder = tmp_path_factory.getbasetemp() / "fuzzed-table"
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS[0]).save(folder / "pictures" / "000000.png")
    text = "\n".join(separator.join(row) for row in [header, *rows])
    (folder / "t.csv").write_bytes(text.encode(encoding))
    try:
        cp.read(folder / "t.csv").readable().to_arrays()
    except cp.CellprepError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_the_output_may_be_beside_the_files_that_a_table_lists(folder, monkeypatch):
    """The folder of the table is not the input, only the files that are listed."""
    save(listed(Class=list("aabbab")), folder / "labels.csv")
    monkeypatch.chdir(folder)
    assert cp.write(cp.read("labels.csv"), "out", progress=False).rows == 6
    table = pd.read_csv("labels.csv")
    cells = cp.Dataset.from_pandas(table, file="Image", label="Class", root=folder)
    assert cp.write(cells, "other", progress=False).rows == 6
    for path in ("pictures", "pictures/000000.png", "."):
        for overwrite in (False, True):
            with pytest.raises(cp.CellprepError, match=r"is inside the input|is the input itself"):
                cp.write(cp.read("labels.csv"), path, overwrite=overwrite, progress=False)
    assert len([*(folder / "pictures").iterdir()]) == 6


def test_the_output_may_be_beside_a_single_image(folder):
    one = cp.read(folder / "pictures" / NAMES[0], labels=None)
    assert cp.write(one, folder / "pictures" / "out", progress=False).rows == 1


def test_rows_with_more_values_than_names_are_refused_not_cut_off(folder):
    rows = [f"pictures/{name},left,{n % 2}" for n, name in enumerate(NAMES)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows]))
    with pytest.raises(cp.CellprepError, match="more values than the header has names"):
        cp.read(folder / "labels.csv")
    rows = [
        f"pictures/{name},{n % 2}," for n, name in enumerate(NAMES)
    ]  # as some programs end lines
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows]))
    assert cp.read(folder / "labels.csv").counts() == {"0": 3, "1": 3}
