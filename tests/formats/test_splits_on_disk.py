"""Training, validation and test sets on disk are recognised, never merged and never classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import cellprep as cp
from cellprep.cli import main
from cellprep.formats.tfrecord_example import example_type, framed

from .exchange_helpers import png, tar_of

N = 6
PICTURES = np.random.default_rng(0).integers(0, 256, (3 * N, 12, 12, 3), np.uint8)


def pictures(number: int) -> dict[str, bytes]:
    """Six images of one split in two class folders, by name."""
    return {
        f"{'mono' if k % 2 else 'baso'}/{k}.png": png(PICTURES[number * N + k]) for k in range(N)
    }


def save(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def folders_above(path: Path) -> None:
    for number, split in enumerate(("TRAIN", "TEST")):
        save(path / split, pictures(number))


def wrapped(path: Path) -> None:
    folders_above(path / "images")


def folders_below(path: Path) -> None:
    for number, split in enumerate(("training", "testing")):
        for name, data in pictures(number).items():
            kind, file = name.split("/")
            save(path, {f"{kind}/{split}/{file}": data})


def tars(path: Path) -> None:
    path.mkdir()
    for number, split in enumerate(("cells-train-000", "cells-test-000")):
        tar_of(path / f"{split}.tar", pictures(number))


def tars_in_folders(path: Path) -> None:
    for number, split in enumerate(("train", "test")):
        (path / split).mkdir(parents=True)
        tar_of(path / split / "0.tar", pictures(number))


def records(path: Path) -> None:
    path.mkdir()
    for number, split in enumerate(("train", "test")):
        data = b""
        for name, encoded in pictures(number).items():
            example = example_type()()
            example.features.feature["image"].bytes_list.value.append(encoded)
            example.features.feature["label"].bytes_list.value.append(name.split("/")[0].encode())
            data += framed(example.SerializeToString())
        (path / f"cells-{split}-00000-of-00001.tfrec").write_bytes(data)


def tables(path: Path) -> None:
    path.mkdir()
    for number, split in enumerate(("train", "test")):
        files = pictures(number)
        kinds = [name.split("/")[0] for name in files]
        table = pa.table({"image": [*files.values()], "label": kinds})
        pq.write_table(table, path / f"{split}-00000.parquet")


def arrays(path: Path) -> None:
    labels = np.array(["baso", "mono"] * (N // 2))
    x = {f"x_{s}": PICTURES[n * N : (n + 1) * N] for n, s in enumerate(("train", "test"))}
    with path.with_suffix(".npz").open("wb") as file:
        np.savez(file, **x, y_train=labels, y_test=labels)


def files_of_arrays(path: Path) -> None:
    path.mkdir()
    for number, split in enumerate(("train", "test")):
        images = PICTURES[number * N : (number + 1) * N]
        np.savez(path / f"{split}.npz", images=images, labels=["baso", "mono"] * (N // 2))


def written(path: Path) -> None:
    for number, split in enumerate(("train", "test")):
        images = PICTURES[number * N : (number + 1) * N]
        cells = cp.Dataset.from_arrays(images, ["baso", "mono"] * (N // 2))
        cp.write(cells, path / split, progress=False)


LAYOUTS = [
    *(folders_above, wrapped, folders_below, tars, tars_in_folders),
    *(records, tables, arrays, files_of_arrays, written),
]


@pytest.fixture(params=LAYOUTS, ids=lambda make: make.__name__)
def on_disk(request, tmp_path) -> Path:
    path = tmp_path / "in"
    request.param(path)
    return path if path.exists() else path.with_suffix(".npz")


def test_splits_are_chosen_or_kept_as_a_column_in_every_format(on_disk, tmp_path) -> None:
    with pytest.raises(cp.CellprepError, match=r"has the splits train, test; choose one with part"):
        cp.read(on_disk)
    for number, part in enumerate(("train", "TEST")):
        cells = cp.read(on_disk, part=part)
        assert cells.counts() == {"baso": 3, "mono": 3}
        expected = {image.tobytes() for image in PICTURES[number * N : (number + 1) * N]}
        assert {image.tobytes() for image in cells.images[:]} == expected
    with pytest.raises(cp.CellprepError, match="Allowed: train, test"):
        cp.read(on_disk, part="val")
    both = cp.read(on_disk, part="all")
    assert both.counts() == {"baso": 6, "mono": 6}
    assert len({*both.ids.tolist()}) == 12
    parts = cp.split(both)
    assert {name: len(part) for name, part in parts.items()} == {"train": 6, "test": 6}
    found = {image.tobytes() for image in parts["test"].images[:]}
    assert found == {image.tobytes() for image in PICTURES[N : 2 * N]}
    out = tmp_path / "out"
    cp.write(both, out, progress=False)  # the column outlives a write
    assert len(cp.read(out, part="test")) == 6
    assert {name: len(part) for name, part in cp.split(cp.read(out)).items()} == {
        "train": 6,
        "test": 6,
    }


def test_one_split_on_disk_is_divided_and_the_others_stay(tmp_path) -> None:
    folders_above(tmp_path)
    both = cp.read(tmp_path, part="all")
    parts = cp.split(both, train=2 / 3, val=1 / 3)
    assert {name: len(part) for name, part in parts.items()} == {"train": 4, "val": 2, "test": 6}
    ids = [name for part in parts.values() for name in part.ids.tolist()]
    assert sorted(ids) == sorted(both.ids.tolist())
    assert all(name.startswith("TEST/") for name in parts["test"].ids.tolist())
    for fractions in ({"train": 0.5, "test": 0.5}, {"a": 0.5, "b": 0.5}):
        with pytest.raises(cp.CellprepError, match="has the splits train, test"):
            cp.split(both, **fractions)


def test_leaks_between_splits_on_disk_are_counted(tmp_path) -> None:
    folders_above(tmp_path)
    (tmp_path / "TEST/mono/again.png").write_bytes(pictures(0)["mono/1.png"])
    parts = cp.split(cp.read(tmp_path, part="all"))
    assert "1 image also in other splits" in parts["test"].changes()["why"].iloc[-1]


def test_the_shell_selects_and_keeps_splits(tmp_path) -> None:
    folders_above(tmp_path / "in")
    run = CliRunner().invoke
    refused = run(main, ["inspect", str(tmp_path / "in")])
    assert refused.exit_code == 2
    assert "choose one with part= (--part)" in refused.output
    assert "6 images" in run(main, ["inspect", str(tmp_path / "in"), "--part", "test"]).output
    arguments = ["split", str(tmp_path / "in"), str(tmp_path / "out"), "--part", "all"]
    assert run(main, arguments).exit_code == 0
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["test", "train"]


def test_folders_that_only_sound_like_splits_are_classes(tmp_path) -> None:
    for number, names in enumerate((["train", "bus"], ["covid_test", "flu_test"], ["dev_a", "b"])):
        for name in names:
            save(tmp_path / str(number), {f"{name}/0.png": png(PICTURES[0])})
        assert {*cp.read(tmp_path / str(number)).class_names} == {*names}


def test_images_of_splits_without_classes_are_no_classes(tmp_path) -> None:
    for split in ("train", "test"):
        save(tmp_path, {f"{split}/0.png": png(PICTURES[0])})
    with pytest.raises(cp.CellprepError, match="1 image outside its class folders"):
        cp.read(tmp_path, part="train")
    assert len(cp.read(tmp_path, part="train", labels=None)) == 1
    with pytest.raises(cp.CellprepError, match="has the splits train, test"):
        cp.read(tmp_path, labels=None)


def test_a_second_test_set_is_a_split_of_its_own(tmp_path) -> None:
    for number, name in enumerate(("TRAIN", "TEST", "TEST_SIMPLE")):
        save(tmp_path / name, pictures(number))
    with pytest.raises(cp.CellprepError, match="has the splits train, test, TEST_SIMPLE"):
        cp.read(tmp_path)
    assert cp.read(tmp_path, part="test").ids[0] == "TEST/baso/0.png"
    assert cp.read(tmp_path, part="test_simple").ids[0] == "TEST_SIMPLE/baso/0.png"


def test_splits_have_the_classes_of_all_and_other_folders_are_listed(tmp_path) -> None:
    folders_above(tmp_path)
    save(tmp_path, {"TRAIN/eosi/9.png": png(PICTURES[0]), "masks/0.png": png(PICTURES[1])})
    test = cp.read(tmp_path, part="test")
    assert test.class_names == ("baso", "eosi", "mono")
    assert test.counts()["eosi"] == 0
    both = cp.read(tmp_path, part="all")
    assert len(both) == 13
    assert both.unread["masks/0.png"] == "is in no split"


def test_splits_inside_one_tar_file_are_refused(tmp_path) -> None:
    members = {f"train/{name}": data for name, data in pictures(0).items()}
    members |= {f"test/{name}": data for name, data in pictures(1).items()}
    with pytest.raises(cp.CellprepError, match="has the splits test, train in the same files"):
        cp.read(tar_of(tmp_path / "cells.tar", members))
